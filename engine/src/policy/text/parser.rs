//! Policy files to policies: the sentences of the grammar.
//!
//! Must never accept what the printer cannot print back. Called by `PolicySet::parse`. No recursion; predicates are read by
//! `predicate::read` within its bounds.

use super::diagnostic::{Diagnostic, Located, Problem, Severity, did_you_mean};
use super::lexer::{self, Kind, Token};
use super::words;
use crate::entitlement::Operation;
use crate::limits;
use crate::policy::model::{
    Branch, Grant, Guardrail, MaskRule, Place, Policy, Rows, RowsShown, Rule, Scope, State, Strength, Watches,
};
use crate::policy::predicate::{self, Predicate};

pub(crate) type Parsed<T> = Result<T, Located>;

/// A place in one file's tokens.
pub(crate) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    file: u32,
}

/// Reads one file.
///
/// # Errors
/// Every policy that cannot be read gives one finding, up to `limits::POLICY_DIAGNOSTICS_MAX`.
pub(crate) fn file(number: u32, name: &str, text: &str) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    let report = |(offset, problem): Located| Diagnostic::at(Severity::Error, name, text, offset, problem);
    if text.len() > limits::POLICY_FILE_BYTES_MAX {
        let most = limits::POLICY_FILE_BYTES_MAX;
        let problem = Problem::new(format!("a policy file has at most {most} bytes"));
        return Err(vec![report((0, problem.hint("split it into several files")))]);
    }
    let tokens = lexer::tokens(text).map_err(|found| found.into_iter().map(report).collect::<Vec<_>>())?;
    let mut parser = Parser { tokens: &tokens, at: 0, file: number };
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    while *parser.kind() != Kind::End {
        match parser.policy() {
            Ok(policy) => policies.push(policy),
            Err(problem) => {
                problems.push(report(problem));
                if problems.len() >= limits::POLICY_DIAGNOSTICS_MAX {
                    break;
                }
                parser.skip_to_next_policy();
            }
        }
    }
    if problems.is_empty() { Ok(policies) } else { Err(problems) }
}

impl<'t> Parser<'t> {
    pub(crate) fn kind(&self) -> &'t Kind {
        self.ahead(0)
    }

    /// The token that many places further; the end stays the end.
    pub(crate) fn ahead(&self, places: usize) -> &'t Kind {
        static END: Kind = Kind::End;
        self.tokens.get(self.at + places).map_or(&END, |t| &t.kind)
    }

    pub(crate) fn offset(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.start)
    }

    pub(crate) fn place(&self) -> Place {
        Place { file: self.file, offset: self.offset() }
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    pub(crate) fn sees_at(&self, places: usize, word: &str) -> bool {
        matches!(self.ahead(places), Kind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    pub(crate) fn sees(&self, word: &str) -> bool {
        self.sees_at(0, word)
    }

    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let seen = self.sees(word);
        self.at += usize::from(seen);
        seen
    }

    pub(crate) fn accept_symbol(&mut self, symbol: &str) -> bool {
        let seen = matches!(self.kind(), Kind::Symbol(s) if *s == symbol);
        self.at += usize::from(seen);
        seen
    }

    pub(crate) fn found(&self) -> String {
        match self.kind() {
            Kind::Word(word) => format!("'{word}'"),
            Kind::Quoted(name) => format!("\"{name}\""),
            Kind::Text(_) => "a string".to_owned(),
            Kind::Number(number) => format!("'{number}'"),
            Kind::Attribute(_) => "an attribute".to_owned(),
            Kind::Tagged(_) => "'@tagged'".to_owned(),
            Kind::Symbol(symbol) => format!("'{symbol}'"),
            Kind::End => "the end of the file".to_owned(),
        }
    }

    /// An error here: one of these words was expected.
    pub(crate) fn expected<T>(&self, words: &[&str]) -> Parsed<T> {
        let list: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
        let list = match list.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let problem = Problem::new(format!("expected {list}, found {}", self.found()));
        let hint = match self.kind() {
            Kind::Word(word) => did_you_mean(word, words.iter().copied()),
            _ => None,
        };
        let problem = match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        Err((self.offset(), problem))
    }

    /// An error here: something that is not one word was expected.
    pub(crate) fn wanted<T>(&self, what: &str, hint: &str) -> Parsed<T> {
        let problem = Problem::new(format!("expected {what}, found {}", self.found()));
        Err((self.offset(), problem.hint(hint)))
    }

    pub(crate) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word) { Ok(()) } else { self.expected(&[word]) }
    }

    pub(crate) fn expect_symbol(&mut self, symbol: &str) -> Parsed<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { self.expected(&[symbol]) }
    }

    /// A name: a bare word that is not one of the language, or a quoted one.
    pub(crate) fn name(&mut self, what: &str) -> Parsed<String> {
        let name = match self.kind() {
            Kind::Word(word) if words::is_reserved(word) => {
                let problem = Problem::new(format!("expected {what}, found the word '{word}'"));
                return Err((self.offset(), problem.hint(format!("write \"{word}\" if that is its name"))));
            }
            Kind::Word(word) | Kind::Quoted(word) => word.clone(),
            _ => return self.wanted(what, "a word, or anything in double quotes"),
        };
        self.advance();
        Ok(name)
    }

    pub(crate) fn string(&mut self, what: &str) -> Parsed<String> {
        let Kind::Text(text) = self.kind() else {
            return self.wanted(what, "strings stand in single quotes");
        };
        self.advance();
        Ok(text.clone())
    }

    fn starts_policy(&self, places: usize) -> bool {
        let head = self.sees_at(places, "policy") || self.sees_at(places, "guardrail");
        let named = match self.ahead(places + 1) {
            Kind::Word(word) => !words::is_reserved(word),
            Kind::Quoted(_) => true,
            _ => false,
        };
        head && named
    }

    fn skip_to_next_policy(&mut self) {
        // The head of the policy that failed is passed first.
        self.at += usize::from(self.starts_policy(0));
        while *self.kind() != Kind::End && !self.starts_policy(0) {
            self.advance();
        }
    }

    fn policy(&mut self) -> Parsed<Policy> {
        let guardrail = self.sees("guardrail");
        if !guardrail && !self.sees("policy") {
            return self.expected(&["policy", "guardrail"]);
        }
        self.advance();
        let place = self.place();
        let name = self.name("a name for the policy")?;
        let state = self.state()?;
        let watches = self.watches()?;
        let start = self.offset();
        let rule = if guardrail {
            if !self.sees("require") {
                return self.expected(&["require"]);
            }
            self.guardrail()?
        } else {
            self.rule()?
        };
        if watches == Watches::Actor && matches!(rule, Rule::Grant(_)) {
            let problem = Problem::new("a policy on who acts can only restrict");
            return Err((start, problem.hint("leave 'when an agent acts' out, and say 'to agents …'")));
        }
        if *self.kind() != Kind::End && !self.starts_policy(0) {
            return self.after_rule(&rule);
        }
        Ok(Policy { name, state, watches, rule, place })
    }

    /// What could have followed where a policy neither goes on nor ends.
    fn after_rule<T>(&self, rule: &Rule) -> Parsed<T> {
        match rule {
            Rule::Grant(_) => self.expected(&["and", "or", "policy", "guardrail"]),
            Rule::Guardrail(_) => self.expected(&["or", "policy", "guardrail"]),
            Rule::Rows(_) => self.expected(&["for", "who", "otherwise", "policy", "guardrail"]),
            Rule::Mask(_) => self.expected(&["for", "floor", "policy", "guardrail"]),
        }
    }

    fn state(&mut self) -> Parsed<State> {
        if !self.accept_symbol("(") {
            return Ok(State::Active);
        }
        let found = State::ALL.into_iter().find(|s| self.sees(s.word()));
        let Some(state) = found else {
            return self.expected(&State::ALL.map(State::word));
        };
        self.advance();
        self.expect_symbol(")")?;
        Ok(state)
    }

    fn watches(&mut self) -> Parsed<Watches> {
        if !self.accept("when") {
            return Ok(Watches::Subject);
        }
        if !self.accept("an") {
            self.accept("any");
        }
        self.expect("agent")?;
        self.expect("acts")?;
        Ok(Watches::Actor)
    }

    fn rule(&mut self) -> Parsed<Rule> {
        if self.accept("allow") {
            self.grant()
        } else if self.accept("show") {
            self.rows()
        } else if self.accept("mask") {
            self.mask_rule()
        } else if self.sees("require") {
            self.guardrail()
        } else {
            self.expected(&["allow", "show", "mask", "require", "when"])
        }
    }

    fn grant(&mut self) -> Parsed<Rule> {
        let mut operations = std::collections::BTreeSet::new();
        loop {
            if self.accept("read") {
                operations.insert(Operation::Read);
            } else if self.accept("write") {
                operations.insert(Operation::Write);
            } else {
                return self.expected(&["read", "write"]);
            }
            if !self.accept_symbol(",") && !self.accept("and") {
                break;
            }
        }
        self.expect("on")?;
        let on = self.tables()?;
        self.expect("to")?;
        let to = self.who()?;
        Ok(Rule::Grant(Grant { operations, on, to }))
    }

    fn guardrail(&mut self) -> Parsed<Rule> {
        self.expect("require")?;
        let require = self.who()?;
        self.expect("on")?;
        let on = self.tables()?;
        Ok(Rule::Guardrail(Guardrail { require, on }))
    }

    fn rows(&mut self) -> Parsed<Rule> {
        self.expect("rows")?;
        self.expect("of")?;
        let of = self.tables()?;
        let mut branches = Vec::new();
        let otherwise = if self.accept("where") {
            RowsShown::Where(self.predicate()?)
        } else {
            while self.accept("who") {
                let who = self.who_described()?;
                let shown = self.rows_shown()?;
                branches.push(Branch { who, shown });
            }
            if branches.is_empty() {
                return self.expected(&["where", "who"]);
            }
            if self.accept("otherwise") { self.rows_shown()? } else { RowsShown::None }
        };
        let scope = self.scope()?;
        Ok(Rule::Rows(Rows { of, branches, otherwise, scope }))
    }

    fn rows_shown(&mut self) -> Parsed<RowsShown> {
        if self.accept("where") {
            Ok(RowsShown::Where(self.predicate()?))
        } else if self.accept("all") {
            Ok(RowsShown::All)
        } else if self.accept("none") {
            Ok(RowsShown::None)
        } else {
            self.expected(&["where", "all", "none"])
        }
    }

    /// Everything up to a word that no predicate holds outside parentheses.
    fn predicate(&mut self) -> Parsed<Predicate> {
        let place = self.place();
        let from = self.at;
        let mut depth = 0usize;
        loop {
            match self.kind() {
                Kind::End => break,
                Kind::Symbol("(") => depth += 1,
                Kind::Symbol(")") => depth = depth.saturating_sub(1),
                Kind::Word(_) if depth == 0 => {
                    let ends = ["for", "who", "otherwise"].iter().any(|w| self.sees(w));
                    if ends || self.starts_policy(0) {
                        break;
                    }
                }
                _ => {}
            }
            self.advance();
        }
        let expr = predicate::read::predicate(&self.tokens[from..self.at], self.offset())?;
        Ok(Predicate { expr, place })
    }

    fn mask_rule(&mut self) -> Parsed<Rule> {
        let columns = self.columns()?;
        self.expect("with")?;
        let mask = self.mask()?;
        let early = self.accept("floor");
        let scope = self.scope()?;
        let floor = early || self.accept("floor");
        let strength = if floor { Strength::Floor } else { Strength::Usual };
        Ok(Rule::Mask(MaskRule { columns, mask, scope, strength }))
    }

    fn scope(&mut self) -> Parsed<Scope> {
        if !self.accept("for") {
            return Ok(Scope::Everyone);
        }
        if !self.sees("everyone") {
            return if self.sees("users") || self.sees("agents") {
                Ok(Scope::Only(self.who()?))
            } else {
                self.expected(&["everyone", "users", "agents"])
            };
        }
        if self.sees_at(1, "except") {
            self.advance();
            self.advance();
            return Ok(Scope::Except(self.who()?));
        }
        if self.sees_at(1, "who") {
            self.advance();
            self.advance();
            return Ok(Scope::Only(self.who_described()?));
        }
        if ["in", "with", "has", "named", "not"].iter().any(|w| self.sees_at(1, w)) {
            return Ok(Scope::Only(self.who()?));
        }
        self.advance();
        Ok(Scope::Everyone)
    }
}
