//! Whom a sentence means: parties and their conditions.
//!
//! Must never accept what the printer cannot print back. Called by the sentences in `parser`. Recursion is bounded by
//! `limits::POLICY_DEPTH_MAX`.

use super::diagnostic::Problem;
use super::lexer::Kind;
use super::masks::MASKS;
use super::parser::{Parsed, Parser};
use super::words;
use crate::identity::PurposeName;
use crate::limits;
use crate::policy::model::{Condition, Party, PartyKind, Question, Test, Who};

/// Words that start another party after `or`.
const PARTIES: [&str; 3] = ["users", "agents", "everyone"];
/// Words that start a condition.
const TESTS: [&str; 7] = ["in", "with", "has", "named", "under", "not", "is"];
/// After `or`, these start something else than another name of a list.
const NOT_NAMES: [&str; 10] =
    ["users", "agents", "everyone", "in", "with", "has", "named", "under", "not", "is"];

/// What may follow a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// No mask: `with` starts a test.
    NoMask,
    /// `with` may start a mask.
    Mask,
}

impl Parser<'_> {
    pub(crate) fn who(&mut self) -> Parsed<Who> {
        self.parties(Follows::NoMask)
    }

    fn parties(&mut self, follows: Follows) -> Parsed<Who> {
        let mut any = vec![self.party(follows)?];
        while self.or() {
            any.push(self.party(follows)?);
        }
        Ok(Who { any })
    }

    /// After `who`: parties, or a condition on everyone.
    pub(super) fn who_described(&mut self, follows: Follows) -> Parsed<Who> {
        if PARTIES.iter().any(|w| self.sees(w)) {
            return self.parties(follows);
        }
        let condition = Some(self.condition(0)?);
        let mut any = vec![Party { kind: PartyKind::Everyone, condition }];
        while self.or() {
            any.push(self.party(follows)?);
        }
        Ok(Who { any })
    }

    fn party(&mut self, follows: Follows) -> Parsed<Party> {
        let kind = if self.accept("users") {
            PartyKind::Users
        } else if self.accept("agents") {
            PartyKind::Agents
        } else if self.accept("everyone") {
            PartyKind::Everyone
        } else {
            return self.expected(&PARTIES);
        };
        let described = self.accept("who");
        let condition =
            if described || self.sees_condition(follows) { Some(self.condition(0)?) } else { None };
        Ok(Party { kind, condition })
    }

    fn sees_condition(&self, follows: Follows) -> bool {
        let with_mask = follows == Follows::Mask && self.sees("with") && self.mask_at(1);
        !with_mask && (matches!(self.kind(), Kind::Symbol("(")) || TESTS.iter().any(|w| self.sees(w)))
    }

    /// A mask's word that is no attribute's name: `with hash = 'x'` is a test.
    fn mask_at(&self, places: usize) -> bool {
        let mask = MASKS.iter().any(|w| self.sees_at(places, w));
        mask && !matches!(self.ahead(places + 1), Kind::Symbol("=")) && !self.sees_at(places + 1, "in")
    }

    /// `a or b`, where `and` binds tighter.
    fn condition(&mut self, depth: usize) -> Parsed<Condition> {
        let mut terms = vec![self.conjunction(depth)?];
        // `or users …` is another party.
        while self.sees("or") && !PARTIES.iter().any(|w| self.sees_at(1, w)) {
            self.advance();
            terms.push(self.conjunction(depth)?);
        }
        Ok(flat(terms, Condition::Any, |c| match c {
            Condition::Any(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn conjunction(&mut self, depth: usize) -> Parsed<Condition> {
        let mut terms = vec![self.negation(depth)?];
        while self.accept("and") {
            terms.push(self.negation(depth)?);
        }
        Ok(flat(terms, Condition::All, |c| match c {
            Condition::All(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn negation(&mut self, depth: usize) -> Parsed<Condition> {
        if depth >= limits::POLICY_DEPTH_MAX {
            return Err((self.offset(), Problem::new("this condition nests too deep")));
        }
        self.accept("is");
        if self.accept("not") {
            return Ok(Condition::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.accept_symbol("(") {
            let inner = self.condition(depth + 1)?;
            if !self.accept_symbol(")") {
                return self.expected(&["and", "or", ")"]);
            }
            return Ok(inner);
        }
        Ok(Condition::Test(self.test()?))
    }

    fn test(&mut self) -> Parsed<Test> {
        let place = self.place();
        let question = if self.accept("in") {
            self.expect("group")?;
            let group = |p: &mut Self| p.name("a group");
            Question::Group(self.names(group)?)
        } else if self.accept("with") || self.accept("has") {
            let name = self.name("an attribute")?;
            Question::Attribute { name, values: self.attribute_values()? }
        } else if self.accept("named") {
            let id = |p: &mut Self| p.name("a user's or agent's id");
            Question::Id(self.names(id)?)
        } else if self.accept("under") {
            self.expect("purpose")?;
            Question::Purpose(self.names(Self::purpose_name)?)
        } else {
            return self.expected(&["in", "with", "named", "under", "not", "("]);
        };
        Ok(Test { question, place })
    }

    /// `a, b or c`; `or (` goes on with the condition.
    pub(super) fn names<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut list = vec![item(self)?];
        while !matches!(self.ahead(1), Kind::Symbol("(")) && self.another(&NOT_NAMES) {
            list.push(item(self)?);
        }
        Ok(list)
    }

    pub(super) fn purpose_name(&mut self) -> Parsed<PurposeName> {
        let start = self.offset();
        let hint = "as in Marketing.Campaign";
        let mut text = match self.kind() {
            Kind::Word(word) if !words::is_reserved(word) => word.clone(),
            Kind::Quoted(text) => {
                self.advance();
                let wrong =
                    |e: crate::identity::PurposeError| (start, Problem::new(e.to_string()).hint(hint));
                return PurposeName::parse(text).map_err(wrong);
            }
            _ => return self.wanted("a purpose", hint),
        };
        self.advance();
        while self.accept_symbol(".") {
            let Kind::Word(part) = self.kind() else {
                return self.wanted("the next part of the purpose", hint);
            };
            text.push('.');
            text.push_str(part);
            self.advance();
        }
        PurposeName::parse(&text).map_err(|e| (start, Problem::new(e.to_string()).hint(hint)))
    }

    fn attribute_values(&mut self) -> Parsed<Vec<String>> {
        if self.accept_symbol("=") {
            return Ok(vec![self.string("the attribute's value")?]);
        }
        if !self.accept("in") {
            return self.expected(&["=", "in"]);
        }
        self.expect_symbol("(")?;
        let mut values = vec![self.string("the attribute's value")?];
        while self.accept_symbol(",") {
            values.push(self.string("the attribute's value")?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }
}

/// One term stays itself; terms of the same kind are taken in.
fn flat(
    terms: Vec<Condition>,
    make: fn(Vec<Condition>) -> Condition,
    open: fn(Condition) -> Result<Vec<Condition>, Condition>,
) -> Condition {
    let mut all = Vec::with_capacity(terms.len());
    for term in terms {
        match open(term) {
            Ok(inner) => all.extend(inner),
            Err(other) => all.push(other),
        }
    }
    match <[Condition; 1]>::try_from(all) {
        Ok([one]) => one,
        Err(all) => make(all),
    }
}
