//! Policy files to policies: the sentences of the grammar.
//!
//! Must never accept what the printer cannot print back. Called by `PolicySet::parse`. No recursion; predicates are read by
//! `predicate::read` within its bounds.

use super::diagnostic::{Diagnostic, Located, Problem, Severity, did_you_mean};
use super::lexer::{self, Kind, Token};
use super::who::Follows;
use super::{lessons, words};
use crate::entitlement::{Leftovers, Operation};
use crate::limits;
use crate::policy::model::{
    Grant, Guardrail, Mask, MaskBranch, MaskRule, Masking, Permit, Permitted, Place, Policy, Purpose, Reveal,
    Rule, Scope, State, Strength, Watches,
};
use crate::policy::predicate::read::{Form, expression};
use crate::policy::predicate::{Expr, Predicate};

pub(crate) type Parsed<T> = Result<T, Located>;

/// A place in one file's tokens.
pub(crate) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    file: u32,
    /// Bytes of the file before the text.
    before: usize,
    /// Regular expressions compiled so far.
    pub(super) patterns: usize,
}

/// Reads one file.
///
/// # Errors
/// Every policy that cannot be read gives one finding, up to `limits::POLICY_DIAGNOSTICS_MAX`.
pub(crate) fn file(number: u32, name: &str, text: &str) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    policies(number, name, text, 0)
}

/// The same, for a text before which that many bytes stand in its file.
///
/// # Errors
/// As for [`file`].
pub(super) fn policies(
    number: u32,
    name: &str,
    text: &str,
    before: usize,
) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    let report = |(offset, problem): Located| Diagnostic::at(Severity::Error, name, text, offset, problem);
    if text.len() > limits::POLICY_FILE_BYTES_MAX {
        let most = limits::POLICY_FILE_BYTES_MAX;
        let problem = Problem::new(format!("a policy file has at most {most} bytes"));
        return Err(vec![report((0, problem.hint("split it into several files")))]);
    }
    let tokens = lexer::tokens(text).map_err(|found| found.into_iter().map(report).collect::<Vec<_>>())?;
    let mut parser = Parser { tokens: &tokens, at: 0, file: number, before, patterns: 0 };
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
        Place { file: self.file, offset: self.before + self.offset() }
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
            Kind::Masked => "'@column'".to_owned(),
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
        let near = match self.kind() {
            Kind::Word(word) => did_you_mean(word, words.iter().copied()),
            _ => None,
        };
        // A lesson knows what was meant where a near word would only be alike: `is` is no `in`, `REDACTED` no `redact`.
        let lesson = || lessons::hint(words, self.kind());
        let hint = if words.contains(&"=") || words == super::masks::MASKS {
            lesson().or(near)
        } else {
            near.or_else(lesson)
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
            Kind::Text(text) => {
                let hint =
                    format!("a name stands without quotes, or as \"{text}\"; single quotes make a string");
                return self.wanted(what, &hint);
            }
            _ => return self.wanted(what, "a word, or anything in double quotes"),
        };
        self.advance();
        Ok(name)
    }

    pub(crate) fn string(&mut self, what: &str) -> Parsed<String> {
        let Kind::Text(text) = self.kind() else {
            let hint = match self.kind() {
                Kind::Word(word) | Kind::Quoted(word) => format!("strings stand in single quotes: '{word}'"),
                _ => "strings stand in single quotes".to_owned(),
            };
            return self.wanted(what, &hint);
        };
        self.advance();
        Ok(text.clone())
    }

    pub(super) fn starts_policy(&self, places: usize) -> bool {
        if self.sees_at(places, "purpose") {
            return self.starts_purpose(places + 1);
        }
        let head = self.sees_at(places, "policy") || self.sees_at(places, "guardrail");
        let named = match self.ahead(places + 1) {
            Kind::Word(word) => !words::is_reserved(word),
            Kind::Quoted(_) => true,
            _ => false,
        };
        head && named
    }

    /// `purpose A.B '…'` or `purpose A.B (state)`; a purpose that is only named is followed by neither.
    fn starts_purpose(&self, mut places: usize) -> bool {
        let most = places + limits::POLICY_NAME_BYTES_MAX;
        while places < most
            && matches!(self.ahead(places), Kind::Word(_) | Kind::Quoted(_))
            && matches!(self.ahead(places + 1), Kind::Symbol("."))
        {
            places += 2;
        }
        let named = matches!(self.ahead(places), Kind::Word(_) | Kind::Quoted(_));
        let state = matches!(self.ahead(places + 1), Kind::Symbol("("))
            && matches!(self.ahead(places + 3), Kind::Symbol(")"));
        named && (matches!(self.ahead(places + 1), Kind::Text(_)) || state)
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
        if self.accept("purpose") {
            return self.purpose();
        }
        if !guardrail && !self.sees("policy") {
            return self.expected(&["policy", "guardrail", "purpose"]);
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
        let widens = match &rule {
            Rule::Grant(_) | Rule::Permit(_) | Rule::Reveal(_) | Rule::Purpose(_) => true,
            Rule::Guardrail(_) | Rule::Rows(_) | Rule::Mask(_) => false,
        };
        if watches == Watches::Actor && widens {
            let problem = Problem::new("a policy on who acts can only restrict");
            return Err((start, problem.hint("leave 'when an agent acts' out, and say 'to agents …'")));
        }
        if *self.kind() != Kind::End && !self.starts_policy(0) {
            return self.after_rule(&rule);
        }
        Ok(Policy { name, state, watches, rule, place })
    }

    /// `purpose Marketing.Campaign (state) 'statement' to …`
    fn purpose(&mut self) -> Parsed<Policy> {
        let place = self.place();
        let name = self.purpose_name()?;
        let state = self.state()?;
        let start = self.offset();
        let statement = self.string("the statement one acknowledges by naming the purpose")?;
        let most = limits::POLICY_STATEMENT_BYTES_MAX;
        if statement.trim().is_empty() || statement.len() > most {
            return Err((start, Problem::new(format!("a purpose's statement has 1 to {most} bytes"))));
        }
        self.expect("to")?;
        let to = self.who()?;
        let rule = Rule::Purpose(Purpose { statement, to });
        if *self.kind() != Kind::End && !self.starts_policy(0) {
            return self.after_rule(&rule);
        }
        Ok(Policy { name: name.into(), state, watches: Watches::Subject, rule, place })
    }

    /// What could have followed where a policy neither goes on nor ends.
    fn after_rule<T>(&self, rule: &Rule) -> Parsed<T> {
        if ["in", "with", "has", "named", "under", "not"].iter().any(|w| self.sees(w)) {
            return self.wanted("'and' before another test", "write 'and' when both must hold");
        }
        match rule {
            Rule::Grant(_) | Rule::Permit(_) | Rule::Reveal(_) | Rule::Purpose(_) => {
                self.expected(&["and", "or", "policy", "guardrail"])
            }
            Rule::Guardrail(_) => self.expected(&["or", "policy", "guardrail"]),
            Rule::Rows(_) => {
                self.expected(&["for", "who", "otherwise", "on missing skip", "policy", "guardrail"])
            }
            Rule::Mask(rule) if rule.branches.is_empty() => {
                self.expected(&["for", "floor", "where", "policy", "guardrail"])
            }
            Rule::Mask(_) => self.expected(&["for", "floor", "who", "otherwise", "policy", "guardrail"]),
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
        if self.accept("watches") {
            let known = [("subject", Watches::Subject), ("actor", Watches::Actor), ("both", Watches::Both)];
            let Some((_, watches)) = known.into_iter().find(|(word, _)| self.sees(word)) else {
                return self.expected(&known.map(|(word, _)| word));
            };
            self.advance();
            return Ok(watches);
        }
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
        } else if self.accept("reveal") {
            let columns = self.columns()?;
            self.expect("to")?;
            Ok(Rule::Reveal(Reveal { columns, to: self.who()? }))
        } else if self.sees("require") {
            self.guardrail()
        } else {
            self.expected(&["allow", "show", "mask", "reveal", "require", "when", "watches"])
        }
    }

    fn grant(&mut self) -> Parsed<Rule> {
        if let Some(what) = self.permitted()? {
            self.expect("to")?;
            return Ok(Rule::Permit(Permit { what, to: self.who()? }));
        }
        let mut operations = std::collections::BTreeSet::new();
        loop {
            if self.accept("read") {
                operations.insert(Operation::Read);
            } else if self.accept("write") {
                operations.insert(Operation::Write);
            } else if operations.is_empty() {
                return self.expected(&[
                    "read",
                    "write",
                    "workspace",
                    "function",
                    "type",
                    "extension",
                    "channel",
                    "unmask",
                ]);
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

    /// What `allow` names that is no operation on tables.
    fn permitted(&mut self) -> Parsed<Option<Permitted>> {
        let object = |p: &mut Self| p.table_name().map(|t| t.relation);
        Ok(Some(if self.accept("workspace") {
            let leftovers = if self.accept("kept") {
                Leftovers::Kept
            } else {
                self.accept("dropped");
                Leftovers::Dropped
            };
            Permitted::Workspace(leftovers)
        } else if self.accept("function") || self.accept("functions") {
            Permitted::Functions(self.list(&[], object)?)
        } else if self.accept("type") || self.accept("types") {
            Permitted::Types(self.list(&[], object)?)
        } else if self.accept("extension") || self.accept("extensions") {
            Permitted::Extensions(self.list(&[], |p| p.identifier("an extension"))?)
        } else if self.accept("channel") || self.accept("channels") {
            Permitted::Channels(self.list(&[], Self::channel)?)
        } else if self.accept("unmask") {
            self.expect("on")?;
            Permitted::Unmask(self.columns()?)
        } else {
            return Ok(None);
        }))
    }

    fn guardrail(&mut self) -> Parsed<Rule> {
        self.expect("require")?;
        let require = self.who()?;
        self.expect("on")?;
        let on = self.tables()?;
        Ok(Rule::Guardrail(Guardrail { require, on }))
    }

    /// The tokens from here to where `stops` says so, at a depth of parentheses, or to the end; none is passed twice.
    pub(super) fn until(&mut self, stops: impl Fn(&Self, usize) -> bool) -> &'t [Token] {
        let from = self.at;
        let mut depth = 0usize;
        while *self.kind() != Kind::End && !stops(self, depth) {
            match self.kind() {
                Kind::Symbol("(") => depth += 1,
                Kind::Symbol(")") => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.advance();
        }
        &self.tokens[from..self.at]
    }

    /// Everything up to a word that no predicate holds outside parentheses.
    pub(super) fn predicate(&mut self) -> Parsed<Predicate> {
        const ENDS: [&str; 5] = ["for", "who", "otherwise", "on", "floor"];
        let place = self.place();
        let tokens =
            self.until(|p, depth| depth == 0 && (ENDS.iter().any(|w| p.sees(w)) || p.starts_policy(0)));
        let expr = expression(tokens, self.offset(), Form::Predicate)?;
        Ok(Predicate { expr, place })
    }

    fn mask_rule(&mut self) -> Parsed<Rule> {
        let columns = self.columns()?;
        let mut branches = Vec::new();
        let otherwise = if self.accept("with") {
            self.masked()?
        } else {
            while self.accept("who") {
                let who = self.who_described(Follows::Mask)?;
                branches.push(MaskBranch { who, masking: self.masking()? });
            }
            if branches.is_empty() {
                return self.expected(&["with", "who"]);
            }
            // Whom no branch names sees nothing.
            let nothing = Masking::With { mask: Mask::Null, cells: None };
            if self.accept("otherwise") { self.masking()? } else { nothing }
        };
        let early = self.accept("floor");
        let scope = self.scope()?;
        let floor = early || self.accept("floor");
        let strength = if floor { Strength::Floor } else { Strength::Usual };
        Ok(Rule::Mask(MaskRule { columns, branches, otherwise, scope, strength }))
    }

    fn masking(&mut self) -> Parsed<Masking> {
        if self.accept("clear") {
            Ok(Masking::Clear)
        } else if self.accept("with") {
            self.masked()
        } else {
            self.expected(&["with", "clear"])
        }
    }

    /// `MASK [where PREDICATE]`
    fn masked(&mut self) -> Parsed<Masking> {
        let mask = self.mask()?;
        let start = self.offset();
        let cells = if self.accept("where") { Some(Box::new(self.predicate()?)) } else { None };
        if mask == Mask::Deny && cells.is_some() {
            let problem = Problem::new("a column that does not exist cannot depend on the row");
            return Err((start, problem.hint("use 'null' for some rows")));
        }
        let looks_up = |p: &Predicate| p.expr.nodes().any(|e| matches!(e, Expr::Lookup { .. }));
        if cells.as_deref().is_some_and(looks_up) {
            let problem = Problem::new("a mask looks at its own row only, not into another table");
            return Err((start, problem.hint("compare columns of the same table")));
        }
        Ok(Masking::With { mask, cells })
    }

    pub(super) fn scope(&mut self) -> Parsed<Scope> {
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
            return Ok(Scope::Only(self.who_described(Follows::NoMask)?));
        }
        if ["in", "with", "has", "named", "not", "under", "is"].iter().any(|w| self.sees_at(1, w)) {
            return Ok(Scope::Only(self.who()?));
        }
        self.advance();
        Ok(Scope::Everyone)
    }
}
