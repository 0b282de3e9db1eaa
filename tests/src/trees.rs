//! Names in a statement, read from its printed tree: code that shares nothing with the judge's walk.
//!
//! Called by the fuzz targets and the relations test.

use crate::Outcome;

/// What a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Statements in the text.
    pub statements: usize,
    /// Schema and name of every relation reference; no schema for CTEs.
    pub relations: Vec<(Option<String>, String)>,
    /// Names of CTEs, wherever they stand.
    pub ctes: Vec<String>,
    /// Schema and name of every qualified type.
    pub types: Vec<(String, String)>,
    /// Parts of every function name.
    pub functions: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Words, texts and brackets of a `{:?}`.
fn tokens(print: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = print.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => text.extend(chars.next()),
                        '"' => break,
                        c => text.push(c),
                    }
                }
                tokens.push(Token::Text(text));
            }
            '{' | '}' | '[' | ']' | '(' | ')' => tokens.push(Token::Mark(c)),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            _ => {}
        }
    }
    tokens
}

/// The text of `field: Some("…")` at these tokens, which begin with the field's name.
fn some_text(tokens: &[Token]) -> Option<String> {
    match tokens {
        [_, Token::Word(some), Token::Mark('('), Token::Text(text), ..] if some == "Some" => {
            Some(text.clone())
        }
        _ => None,
    }
}

/// Reads the names in a text.
///
/// # Errors
/// It does not parse.
pub fn named(text: &str) -> Outcome<Named> {
    let parsed = pg_raw_parse::parse(text).map_err(|e| format!("{e:?}"))?.into_inner();
    let mut named = Named { statements: parsed.len(), ..Named::default() };
    for statement in parsed.iter() {
        let tokens = tokens(&format!("{:?}", statement.stmt()));
        let word = |at: usize| match tokens.get(at) {
            Some(Token::Word(word)) => word.as_str(),
            _ => "",
        };
        for at in 0..tokens.len() {
            let opens = tokens.get(at + 1) == Some(&Token::Mark('{'));
            match word(at) {
                "RangeVar" if opens => {
                    let field = |name: &str| {
                        let near = tokens.get(at..at + 20.min(tokens.len() - at))?;
                        let place = near.iter().position(|t| *t == Token::Word(name.to_owned()))?;
                        some_text(&near[place..])
                    };
                    named.relations.push((field("schemaname"), field("relname").unwrap_or_default()));
                }
                "TypeName" if opens => {
                    let list = tokens[at + 1..].iter().take_while(|t| **t != Token::Mark(']'));
                    let mut parts = list.filter_map(|t| match t {
                        Token::Text(text) => Some(text.clone()),
                        Token::Word(_) | Token::Mark(_) => None,
                    });
                    if let (Some(schema), Some(name)) = (parts.next(), parts.next()) {
                        named.types.push((schema, name));
                    }
                }
                "ctename" => named.ctes.extend(some_text(&tokens[at..])),
                "funcname" => {
                    let list = tokens[at + 1..].iter().take_while(|t| **t != Token::Mark(']'));
                    let parts = list.filter_map(|t| match t {
                        Token::Text(text) => Some(text.clone()),
                        Token::Word(_) | Token::Mark(_) => None,
                    });
                    named.functions.push(parts.collect());
                }
                _ => {}
            }
        }
    }
    Ok(named)
}
