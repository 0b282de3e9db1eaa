//! Tokens to a predicate, by sqlparser's PostgreSQL grammar and an allow-list over its tree.
//!
//! Must never let a node through that is not named here: `_ => refuse`. Called by the parser. sqlparser gets our tokens, not
//! the text, so nothing is read twice.

use std::collections::BTreeMap;

use sqlparser::ast::{BinaryOperator, Expr as Sql, Ident, Spanned, UnaryOperator};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token as SqlToken, TokenWithSpan};

use super::lookup::{self, Lookup};
use super::{Case, CastType, Comparison, Expr, Function, Literal, Polarity, Truth};
use crate::limits;
use crate::policy::text::diagnostic::{Located, Problem};
use crate::policy::text::lexer::{self, Kind, Token};

/// Deepest predicate tree; printed with parentheses it stays under `limits::POLICY_DEPTH_MAX`.
const TREE_DEPTH_MAX: usize = limits::POLICY_DEPTH_MAX / 2 - 1;

/// sqlparser's own recursion, several steps per parenthesis.
const RECURSION_MAX: usize = limits::POLICY_DEPTH_MAX * 4;

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A condition over a row.
    Predicate,
    /// A value over `@column`.
    Formula,
}

/// Reads an expression that stands alone, as JSON has it.
///
/// # Errors
/// What is wrong, and where in the text.
pub(super) fn from_text(text: &str, form: Form) -> Result<Expr, String> {
    let told = |(offset, problem): Located| format!("{} (at byte {offset} of '{text}')", problem.message);
    if text.len() > limits::POLICY_FILE_BYTES_MAX {
        return Err("this predicate is too long".to_owned());
    }
    let tokens =
        lexer::tokens(text).map_err(|found| found.into_iter().map(told).collect::<Vec<_>>().join("; "))?;
    let end = tokens.iter().position(|t| t.kind == Kind::End).unwrap_or(tokens.len());
    expression(&tokens[..end], text.len(), form).map_err(told)
}

/// Reads the tokens of one expression. The slice holds no [`Kind::End`].
///
/// # Errors
/// What is wrong, at the token where it is.
pub(crate) fn expression(tokens: &[Token], end: usize, form: Form) -> Result<Expr, Located> {
    check_bounds(tokens, end)?;
    let mut reader = Reader { tokens, end, form, lookups: BTreeMap::new() };
    let mut sql_tokens = Vec::with_capacity(tokens.len());
    let mut n = 0;
    while let Some(token) = tokens.get(n) {
        let at = Location::new(1, n as u64 + 1);
        if lookup::starts(tokens, n) {
            let (found, after) = lookup::read(tokens, n, end)?;
            reader.lookups.insert(n, found);
            // Stands for the whole sub-select, found again by its number.
            let stands = SqlToken::make_word(&format!("@{n}"), Some('"'));
            sql_tokens.push(TokenWithSpan::new(stands, Span::new(at, at)));
            n = after;
            continue;
        }
        sql_tokens.push(TokenWithSpan::new(reader.sql_token(n, token)?, Span::new(at, at)));
        n += 1;
    }
    let dialect = PostgreSqlDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(sql_tokens);
    let tree = parser.parse_expr().map_err(|e| reader.syntax(&e.to_string()))?;
    let next = parser.peek_token();
    if next.token != SqlToken::EOF {
        let problem = Problem::new(format!("'{next}' was not expected here"));
        return Err((reader.offset(next.span), problem));
    }
    match form {
        Form::Predicate => reader.condition(&tree, 0),
        Form::Formula => reader.operand(&tree, 0),
    }
}

fn check_bounds(tokens: &[Token], end: usize) -> Result<(), Located> {
    let Some(first) = tokens.first() else {
        let problem = Problem::new("a predicate was expected here");
        return Err((end, problem.hint("as in: where region in (@user.region)")));
    };
    let joint = |t: &&Token| {
        !matches!(t.kind, Kind::Text(_) | Kind::Number(_) | Kind::Attribute(_) | Kind::Symbol(","))
    };
    let joints = tokens.iter().filter(joint).count();
    if tokens.len() > limits::POLICY_PREDICATE_TOKENS_MAX || joints > limits::POLICY_PREDICATE_WORDS_MAX {
        let problem = Problem::new("this predicate is too long");
        return Err((first.start, problem.hint("split it into several policies")));
    }
    let mut depth = 0usize;
    for token in tokens {
        match token.kind {
            Kind::Symbol("(") => depth += 1,
            Kind::Symbol(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::POLICY_DEPTH_MAX {
            return Err((token.start, Problem::new("parentheses nest too deep")));
        }
    }
    Ok(())
}

pub(super) struct Reader<'a> {
    tokens: &'a [Token],
    end: usize,
    pub(super) form: Form,
    /// Sub-selects by the number of their first token.
    lookups: BTreeMap<usize, Lookup>,
}

pub(super) type Read<T> = Result<T, Located>;

impl Reader<'_> {
    /// SQL that people expect here, and what the language has for it.
    fn taught(&self, number: usize, token: &Token) -> Option<Problem> {
        let Kind::Word(word) = &token.kind else {
            return None;
        };
        let word = word.to_ascii_lowercase();
        let next = self.tokens.get(number + 1).map(|t| &t.kind);
        match (word.as_str(), next) {
            ("user" | "agent", Some(Kind::Symbol("."))) => Some(
                Problem::new(format!("'{word}.' is not known here"))
                    .hint(format!("attributes are written with '@', as in @{word}.region")),
            ),
            ("now", Some(Kind::Symbol("(")))
            | ("interval", Some(Kind::Text(_)))
            | ("current_date" | "current_timestamp", _) => Some(
                Problem::new("predicates do not know what time it is")
                    .hint("a time window is a rule of its own, as in: newer than 90 days by created_at"),
            ),
            _ => None,
        }
    }

    fn sql_token(&self, number: usize, token: &Token) -> Read<SqlToken> {
        if let Some(problem) = self.taught(number, token) {
            return Err((token.start, problem));
        }
        let refuse = |what: String| Err((token.start, Problem::new(what)));
        Ok(match &token.kind {
            Kind::Word(word) if word.contains('-') => {
                let problem = Problem::new(format!("'{word}' is not a column's name"));
                return Err((
                    token.start,
                    problem.hint(format!(
                        "write \"{word}\" for a column of that name; arithmetic is not part of predicates"
                    )),
                ));
            }
            Kind::Word(word) => SqlToken::make_word(word, None),
            Kind::Quoted(name) if name.starts_with('@') => {
                return refuse(format!("a column named '{name}' cannot be used here"));
            }
            Kind::Quoted(name) => SqlToken::make_word(name, Some('"')),
            Kind::Text(text) => SqlToken::SingleQuotedString(text.clone()),
            Kind::Number(number) => SqlToken::Number(number.clone(), false),
            // Stands for the token itself, found again by its number.
            Kind::Attribute(_) | Kind::Tagged(_) | Kind::Masked => {
                SqlToken::make_word(&format!("@{number}"), Some('"'))
            }
            Kind::Symbol(symbol) => {
                match sql_symbol(symbol) {
                    Some(token) => token,
                    None => {
                        let problem = Problem::new(format!("'{symbol}' is not part of predicates"));
                        return Err((
                        token.start,
                        problem.hint("comparisons, and, or, not, in, between, is, like, casts and a few functions are"),
                    ));
                    }
                }
            }
            Kind::End => return refuse("the predicate ends here".to_owned()),
        })
    }

    fn offset(&self, span: Span) -> usize {
        let column = usize::try_from(span.start.column).unwrap_or(0);
        match column.checked_sub(1) {
            Some(n) => self.tokens.get(n).map_or(self.end, |t| t.start),
            None => self.end,
        }
    }

    /// sqlparser's words end in ` at Line: 1, Column: n`; the column is our token's number.
    fn syntax(&self, message: &str) -> Located {
        let plain = message.trim_start_matches("sql parser error: ");
        let (what, place) = plain.split_once(" at Line: ").unwrap_or((plain, ""));
        let column = place.rsplit("Column: ").next().and_then(|n| n.trim().parse::<usize>().ok());
        let offset = match column.and_then(|n| n.checked_sub(1)) {
            Some(n) => self.tokens.get(n).map_or(self.end, |t| t.start),
            None => self.end,
        };
        let what = if what.contains("ecursion") { "it nests too deep" } else { what.trim_end() };
        let mut words = what.chars();
        let lower =
            words.next().map(|c| c.to_lowercase().chain(words).collect::<String>()).unwrap_or_default();
        (offset, Problem::new(format!("this is not a predicate: {}", lower.replace("EOF", "the end"))))
    }

    pub(super) fn refuse<T>(&self, at: &Sql, what: impl Into<String>, hint: &str) -> Read<T> {
        let problem = Problem::new(what);
        let problem = if hint.is_empty() { problem } else { problem.hint(hint) };
        Err((self.offset(at.span()), problem))
    }

    pub(super) fn deeper(&self, at: &Sql, depth: usize) -> Read<usize> {
        if depth >= TREE_DEPTH_MAX {
            return self.refuse(at, "this predicate nests too deep", "split it into several policies");
        }
        Ok(depth + 1)
    }

    fn condition(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let sql = peel(sql);
        let deep = self.deeper(sql, depth)?;
        match sql {
            Sql::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                self.chain(sql, op, deep)
            }
            Sql::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(Expr::Not(Box::new(self.condition(expr, deep)?)))
            }
            Sql::BinaryOp { left, op, right } => match comparison(op) {
                Some(operator) => self.compare(sql, left, operator, right, deep),
                None => self.refuse(sql, format!("the operator '{op}' is not part of predicates"), ""),
            },
            Sql::IsDistinctFrom(left, right) => self.compare(sql, left, Comparison::Distinct, right, deep),
            Sql::IsNotDistinctFrom(left, right) => {
                self.compare(sql, left, Comparison::NotDistinct, right, deep)
            }
            Sql::InList { expr, list, negated } if self.is_lookup(list) => {
                self.lookup(sql, expr, list, Polarity::of(*negated), deep)
            }
            Sql::InList { expr, list, negated } => {
                let items = list.iter().map(|i| self.item(i, deep)).collect::<Read<Vec<_>>>()?;
                self.member(sql, expr, items, Polarity::of(*negated), deep)
            }
            Sql::Between { expr, negated, low, high } => Ok(Expr::Between {
                value: Box::new(self.operand(expr, deep)?),
                low: Box::new(self.operand(low, deep)?),
                high: Box::new(self.operand(high, deep)?),
                polarity: Polarity::of(*negated),
            }),
            Sql::Like { .. } | Sql::ILike { .. } => self.like(sql, deep),
            Sql::IsNull(_)
            | Sql::IsNotNull(_)
            | Sql::IsTrue(_)
            | Sql::IsNotTrue(_)
            | Sql::IsFalse(_)
            | Sql::IsNotFalse(_)
            | Sql::IsUnknown(_)
            | Sql::IsNotUnknown(_) => self.is(sql, deep),
            Sql::Identifier(_) | Sql::Value(_) | Sql::Cast { .. } | Sql::Function(_) => self.truth(sql, deep),
            _ => self.other(sql),
        }
    }

    /// A value that stands where a condition is wanted.
    fn truth(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let value = self.operand(sql, depth)?;
        match value {
            Expr::Column(_) | Expr::Tagged(_) | Expr::Literal(Literal::Truth(_)) => Ok(value),
            Expr::Cast { to: CastType::Boolean, .. } => Ok(value),
            Expr::Call { function: Function::StartsWith | Function::Coalesce, .. } => Ok(value),
            _ => self.refuse(
                sql,
                "a condition was expected here, this is a value",
                "compare it with something",
            ),
        }
    }

    /// AND and OR chains lean left as deep as they are long; taken apart in a loop.
    fn chain(&self, sql: &Sql, op: &BinaryOperator, depth: usize) -> Read<Expr> {
        let mut stack = vec![sql];
        let mut terms = Vec::new();
        while let Some(next) = stack.pop() {
            match peel(next) {
                Sql::BinaryOp { left, op: inner, right } if inner == op => {
                    stack.push(right);
                    stack.push(left);
                }
                other => terms.push(self.condition(other, depth)?),
            }
        }
        Ok(if *op == BinaryOperator::And { Expr::And(terms) } else { Expr::Or(terms) })
    }

    fn is(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let (tested, what, negated) = match sql {
            Sql::IsNull(e) => (e, Truth::Null, false),
            Sql::IsNotNull(e) => (e, Truth::Null, true),
            Sql::IsTrue(e) => (e, Truth::True, false),
            Sql::IsNotTrue(e) => (e, Truth::True, true),
            Sql::IsFalse(e) => (e, Truth::False, false),
            Sql::IsNotFalse(e) => (e, Truth::False, true),
            Sql::IsUnknown(e) => (e, Truth::Unknown, false),
            Sql::IsNotUnknown(e) => (e, Truth::Unknown, true),
            _ => return self.other(sql),
        };
        let value = match what {
            Truth::Null => self.operand(tested, depth)?,
            Truth::True | Truth::False | Truth::Unknown => self.condition(tested, depth)?,
        };
        Ok(Expr::Is { value: Box::new(value), what, polarity: Polarity::of(negated) })
    }

    fn compare(&self, at: &Sql, left: &Sql, operator: Comparison, right: &Sql, depth: usize) -> Read<Expr> {
        let attribute = |sql: &Sql| match peel(sql) {
            Sql::Identifier(ident) => match self.reference(ident) {
                Some(Kind::Attribute(a)) => Some(Expr::Attribute(a.clone())),
                Some(_) | None => None,
            },
            _ => None,
        };
        let (value, set) = match (attribute(left), attribute(right)) {
            (None, None) => {
                return Ok(Expr::Compare {
                    left: Box::new(self.operand(left, depth)?),
                    operator,
                    right: Box::new(self.operand(right, depth)?),
                });
            }
            (Some(_), Some(_)) => {
                return self.refuse(
                    at,
                    "two attributes cannot be compared",
                    "compare a column with an attribute",
                );
            }
            (Some(set), None) => (right, set),
            (None, Some(set)) => (left, set),
        };
        let polarity = match operator {
            Comparison::Equal => Polarity::Plain,
            Comparison::Unequal => Polarity::Negated,
            _ => {
                let what = format!(
                    "an attribute is a set of values, '{}' does not compare sets",
                    operator.sql().to_lowercase()
                );
                return self.refuse(at, what, "use '=', '<>', 'in' or 'not in'");
            }
        };
        self.member(at, value, vec![set], polarity, depth)
    }

    fn member(
        &self,
        at: &Sql,
        value: &Sql,
        items: Vec<Expr>,
        polarity: Polarity,
        depth: usize,
    ) -> Read<Expr> {
        if items.is_empty() {
            return self.refuse(at, "the list after 'in' is empty", "");
        }
        Ok(Expr::In { value: Box::new(self.operand(value, depth)?), items, polarity })
    }

    fn found(&self, list: &[Sql]) -> Option<&Lookup> {
        let [Sql::Identifier(ident)] = list else {
            return None;
        };
        self.lookups.get(&number(ident)?)
    }

    fn is_lookup(&self, list: &[Sql]) -> bool {
        self.found(list).is_some()
    }

    fn lookup(&self, at: &Sql, value: &Sql, list: &[Sql], polarity: Polarity, depth: usize) -> Read<Expr> {
        let Some(found) = self.found(list) else {
            return self.other(at);
        };
        let value = match peel(value) {
            Sql::Identifier(ident) if matches!(self.reference(ident), Some(Kind::Attribute(_))) => {
                return self.refuse(at, "an attribute cannot be looked up", "look up a column of the table");
            }
            other => self.operand(other, depth)?,
        };
        Ok(Expr::Lookup {
            value: Box::new(value),
            table: found.table.clone(),
            column: found.column.clone(),
            condition: found.condition.clone().map(Box::new),
            polarity,
        })
    }

    fn item(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        if let Sql::Identifier(ident) = peel(sql)
            && let Some(Kind::Attribute(attribute)) = self.reference(ident)
        {
            return Ok(Expr::Attribute(attribute.clone()));
        }
        match self.operand(sql, depth)? {
            literal @ Expr::Literal(_) => Ok(literal),
            _ => self.refuse(
                sql,
                "a list after 'in' holds literals and attributes",
                "use '=' and 'or' for columns",
            ),
        }
    }

    fn like(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let (value, pattern, case, negated) = match sql {
            Sql::Like { negated, any: false, expr, pattern, escape_char: None } => {
                (expr, pattern, Case::Counts, *negated)
            }
            Sql::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                (expr, pattern, Case::Ignored, *negated)
            }
            _ => return self.other(sql),
        };
        let Expr::Literal(Literal::Text(text)) = self.operand(pattern, depth)? else {
            return self.refuse(pattern, "the pattern of 'like' is a string literal", "");
        };
        let escapes = text.chars().rev().take_while(|c| *c == '\\').count();
        if escapes % 2 == 1 {
            return self.refuse(pattern, "a pattern cannot end with its escape character '\\'", "");
        }
        Ok(Expr::Like {
            value: Box::new(self.operand(value, depth)?),
            pattern: text,
            case,
            polarity: Polarity::of(negated),
        })
    }

    pub(super) fn other<T>(&self, sql: &Sql) -> Read<T> {
        let what = match sql {
            Sql::Subquery(_) | Sql::Exists { .. } => {
                return self.refuse(
                    sql,
                    "a subquery stands after 'in' only",
                    "as in: region in (select region from public.territories where manager = @user.id)",
                );
            }
            Sql::Case { .. } => "'case' is not part of predicates",
            Sql::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }
            | Sql::UnaryOp { op: UnaryOperator::Not, .. } => "a value was expected here, this is a condition",
            Sql::Like { .. } | Sql::ILike { .. } => "'like' is written without 'any' and 'escape'",
            Sql::Cast { .. } => "this cast is not part of predicates",
            _ => "this is not part of predicates",
        };
        self.refuse(
            sql,
            what,
            "comparisons, and, or, not, in, between, is, like, literals, casts and a few functions are",
        )
    }

    pub(super) fn reference(&self, ident: &Ident) -> Option<&Kind> {
        self.tokens.get(number(ident)?).map(|t| &t.kind)
    }
}

/// The number of the token that a placeholder stands for.
fn number(ident: &Ident) -> Option<usize> {
    ident.quote_style?;
    ident.value.strip_prefix('@')?.parse::<usize>().ok()
}

/// Parentheses mean nothing in a tree. A loop: they nest.
pub(super) fn peel(mut sql: &Sql) -> &Sql {
    while let Sql::Nested(inner) = sql {
        sql = inner;
    }
    sql
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::Unequal,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn sql_symbol(symbol: &str) -> Option<SqlToken> {
    Some(match symbol {
        "(" => SqlToken::LParen,
        ")" => SqlToken::RParen,
        "," => SqlToken::Comma,
        "." => SqlToken::Period,
        "=" => SqlToken::Eq,
        "<>" | "!=" => SqlToken::Neq,
        "<" => SqlToken::Lt,
        "<=" => SqlToken::LtEq,
        ">" => SqlToken::Gt,
        ">=" => SqlToken::GtEq,
        "::" => SqlToken::DoubleColon,
        "-" => SqlToken::Minus,
        "||" => SqlToken::StringConcat,
        _ => return None,
    })
}
