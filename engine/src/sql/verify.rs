//! `tree(new) == expected(tree(old))`, on every rewrite.
//!
//! Shares no code with the splicing: it reads the planned changes, walks both trees' printed forms in lockstep, and
//! demands that they differ in exactly those places and in exactly that way. Any surprise refuses the statement.
//! Positions in the text are left out of the comparison, because splicing moves them.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::ops::Range;

use pg_raw_parse::{Node, nodes};

use crate::limits;
use crate::names::CATALOG_SCHEMA;
use crate::refusal::Refusal;

use super::judge::not_spliced;
use super::named::PLACEHOLDER;
use super::parse::{self, Tree};
use super::plan::{Change, Plan};
use super::print::{Printed, Token};
use super::statement::too_large;

/// Parses the spliced text and compares.
///
/// # Errors
/// 0A000 when the new tree is not what the plan says; XX000 when the spliced text does not parse.
pub(super) fn check(old: &Tree, spliced: &str, plan: &Plan) -> Result<(), Refusal> {
    let new = parse::parse(spliced).map_err(|_| not_spliced())?;
    if new.len() != old.len() {
        return Err(not_spliced());
    }
    let mut changes: HashMap<usize, &Change> = HashMap::new();
    let mut constants: HashMap<usize, &str> = HashMap::new();
    let mut named: HashSet<usize> = HashSet::new();
    let mut domains: HashMap<usize, (&str, &str)> = HashMap::new();
    for change in &plan.changes {
        match change {
            Change::Statement { index, text } => {
                constants.insert(*index, text);
            }
            Change::Domain { index, schema, name } => {
                if domains.insert(*index, (schema, name)).is_some() {
                    return Err(not_spliced());
                }
            }
            Change::Name { index } => {
                if !named.insert(*index) {
                    return Err(not_spliced());
                }
            }
            Change::Relation { at, .. }
            | Change::Function { at, .. }
            | Change::Column { at, .. }
            | Change::Literal { at, .. }
            | Change::Type { at, .. }
            | Change::Through { at, .. }
            | Change::Around { at, .. }
            | Change::Prefix { at, .. }
            | Change::Dependent { at, .. }
            | Change::Default { at, .. }
            | Change::Label { at, .. }
            | Change::CopyQuery { at, .. } => {
                if changes.insert(*at, change).is_some() {
                    return Err(not_spliced());
                }
            }
        }
    }
    let mut met: HashSet<usize> = HashSet::new();
    for (index, (before, after)) in old.iter().zip(new.iter()).enumerate() {
        let new = print(after)?;
        match constants.get(&index) {
            Some(text) => constant(text, &new)?,
            None => {
                let mut lockstep = Lockstep {
                    old: print(before)?,
                    new,
                    changes: &changes,
                    met: &mut met,
                    named: named.remove(&index),
                    open: Vec::new(),
                    domain: domains.remove(&index),
                };
                lockstep
                    .run()
                    .filter(|()| !lockstep.named && lockstep.domain.is_none())
                    .ok_or_else(not_spliced)?;
            }
        }
    }
    // Every planned change must have been found.
    let all_met = met.len() == changes.len() && named.is_empty() && domains.is_empty();
    if all_met { Ok(()) } else { Err(not_spliced()) }
}

fn print(statement: &nodes::RawStmt) -> Result<Printed, Refusal> {
    Printed::of(format_args!("{:?}", statement.stmt()))
        .map_err(|_| too_large("parts", limits::TREE_TOKENS_MAX))
}

fn constant(text: &str, new: &Printed) -> Result<(), Refusal> {
    let tree = parse::parse(text)?;
    let mut statements = tree.iter();
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(not_spliced());
    };
    let expected = print(statement)?;
    let same = expected.len() == new.len() && expected.same(0..expected.len(), new, 0);
    if same { Ok(()) } else { Err(not_spliced()) }
}

struct Lockstep<'m, 'p> {
    old: Printed,
    new: Printed,
    changes: &'m HashMap<usize, &'p Change>,
    /// Places whose change was found. A source of several columns (`SET (a, b) = (SELECT …)`) is printed with each of them.
    met: &'m mut HashSet<usize>,
    /// The name of a prepared statement is planned to change and has not been met yet.
    named: bool,
    /// The same of the name of a domain.
    domain: Option<(&'p str, &'p str)>,
    /// Calls put around arguments that the walk is inside of: where the old argument ends, the call, and from which token on
    /// it has to follow there.
    open: Vec<(usize, Printed, usize)>,
}

impl Lockstep<'_, '_> {
    /// `None` at the first surprise.
    fn run(&mut self) -> Option<()> {
        let (mut i, mut j) = (0, 0);
        while i < self.old.len() {
            while let Some((_, call, rest)) = self.open.pop_if(|(end, ..)| *end == i) {
                call.same(rest..call.len(), &self.new, j).then_some(())?;
                j += call.len() - rest;
            }
            let replaced = match self.old.token(i)? {
                Token::Word(b"A_Expr") => self.implied(i, j),
                Token::Word(b"SetToDefault") => self.written_out(i, j),
                Token::Word(_) | Token::Text(_) | Token::Mark(_) => None,
            };
            if let Some(next) = replaced {
                (i, j) = next;
                continue;
            }
            j = self.dependent(i, j).unwrap_or(j);
            if self.old.token(i) != self.new.token(j) {
                return None;
            }
            i += 1;
            j += 1;
            if self.old.token(i - 1)? == Token::Mark(b'{') {
                (i, j) = self.enter(i, j)?;
            }
        }
        (j == self.new.len() && self.open.is_empty()).then_some(())
    }

    /// Just inside the brace of a struct: applies the change planned for it, if any.
    fn enter(&mut self, i: usize, j: usize) -> Option<(usize, usize)> {
        let Some(Token::Word(kind)) = i.checked_sub(2).and_then(|before| self.old.token(before)) else {
            return Some((i, j));
        };
        if self.named && matches!(kind, b"PrepareStmt" | b"ExecuteStmt" | b"DeallocateStmt") {
            self.named = false;
            return self.name(i, j);
        }
        if kind == b"CreateDomainStmt"
            && let Some((schema, name)) = self.domain.take()
        {
            return self.domain(i, j, schema, name);
        }
        let place = if kind == b"CopyStmt" {
            // Its relation's place: CopyStmt { relation Some ( RangeVar {
            self.old.place(i + 4)
        } else {
            self.old.place(i - 1)
        };
        let Some(place) = place else {
            return Some((i, j));
        };
        let next = match (kind, self.changes.get(&place).copied()) {
            (b"RangeVar", Some(Change::Relation { schema, name, alias, .. })) => {
                self.relation(i, j, schema, name, alias.as_deref())?
            }
            (b"FuncCall", Some(Change::Function { schema, name, .. })) => {
                self.function(i, j, schema, name)?
            }
            (b"ColumnRef", Some(Change::Column { dropped, .. })) => self.column(i, j, *dropped)?,
            (b"ResTarget", Some(Change::Label { name, .. })) => self.label(i, j, name)?,
            (b"A_Const", Some(Change::Literal { text, .. })) => self.literal(i, j, text)?,
            (b"TypeName", Some(Change::Type { schema, name, .. })) => self.type_name(i, j, schema, name)?,
            (b"CopyStmt", Some(Change::CopyQuery { query, .. })) => self.copy(i, j, query)?,
            (b"TypeCast", Some(Change::Through { function, argument, becomes, .. })) => {
                self.through(i, j, function, argument, becomes)?
            }
            (b"TypeCast", Some(Change::Around { function, .. })) => self.around(i, j, function)?,
            _ => return Some((i, j)),
        };
        self.met.insert(place);
        Some(next)
    }

    /// Demands these tokens in the new tree.
    fn expect(&self, j: usize, print: impl fmt::Display) -> Option<usize> {
        let wanted = Printed::of(format_args!("{print}")).ok()?;
        wanted.same(0..wanted.len(), &self.new, j).then_some(j + wanted.len())
    }

    /// Demands these tokens in the old tree.
    fn skip_exact(&self, i: usize, print: impl fmt::Display) -> Option<usize> {
        let wanted = Printed::of(format_args!("{print}")).ok()?;
        wanted.same(0..wanted.len(), &self.old, i).then_some(i + wanted.len())
    }

    /// The index of this field's name at the level of `i`.
    fn skip_to(&self, mut i: usize, field: &str) -> Option<usize> {
        let mut depth = 0usize;
        loop {
            match self.old.token(i)? {
                Token::Word(word) if depth == 0 && word == field.as_bytes() => return Some(i),
                Token::Mark(b'{' | b'[' | b'(') => depth += 1,
                Token::Mark(b'}' | b']' | b')') => depth = depth.checked_sub(1)?,
                Token::Word(_) | Token::Text(_) | Token::Mark(_) => {}
            }
            i += 1;
        }
    }

    fn relation(
        &self,
        i: usize,
        j: usize,
        schema: &str,
        name: &str,
        alias: Option<&str>,
    ) -> Option<(usize, usize)> {
        let mut j = self.expect(
            j,
            format_args!("catalogname: None, schemaname: Some({schema:?}), relname: Some({name:?}), "),
        )?;
        let mut i = self.skip_to(i, "inh")?;
        let Some(alias) = alias else {
            return Some((i, j));
        };
        let end = self.skip_to(i, "alias")?;
        if !self.old.same(i..end, &self.new, j) {
            return None;
        }
        j += end - i;
        i = self.skip_exact(end, "alias: None,")?;
        j = self.expect(
            j,
            format_args!("alias: Some(Alias {{ aliasname: Some({alias:?}), colnames: [], .. }}),"),
        )?;
        Some((i, j))
    }

    fn function(&self, i: usize, j: usize, schema: &str, name: &str) -> Option<(usize, usize)> {
        let j = self.expect(
            j,
            format_args!(
                "funcname: [String(String {{ sval: Some({schema:?}), .. }}), String(String {{ sval: Some({name:?}), .. }})], "
            ),
        )?;
        // The old name's last part must be the new one's.
        let args = self.skip_to(i, "args")?;
        (self.last_text(i..args)? == format!("{name:?}").as_bytes()).then_some((args, j))
    }

    fn domain(&self, i: usize, j: usize, schema: &str, name: &str) -> Option<(usize, usize)> {
        let j = self.expect(
            j,
            format_args!(
                "domainname: [String {{ sval: Some({schema:?}), .. }}, String {{ sval: Some({name:?}), .. }}], "
            ),
        )?;
        let next = self.skip_to(i, "type_name")?;
        (self.last_text(i..next)? == format!("{name:?}").as_bytes()).then_some((next, j))
    }

    /// The last string among these tokens: the last part of a name.
    fn last_text(&self, range: Range<usize>) -> Option<&[u8]> {
        range.rev().find_map(|index| match self.old.token(index)? {
            Token::Text(text) => Some(text),
            Token::Word(_) | Token::Mark(_) => None,
        })
    }

    fn column(&self, i: usize, j: usize, dropped: usize) -> Option<(usize, usize)> {
        let mut i = self.skip_exact(i, "fields: [")?;
        let j = self.expect(j, "fields: [")?;
        for _ in 0..dropped {
            i = self.skip_exact(i, "String(String { sval: Some(")?;
            matches!(self.old.token(i)?, Token::Text(_)).then_some(())?;
            i = self.skip_exact(i + 1, "), .. }), ")?;
        }
        Some((i, j))
    }

    fn type_name(&self, i: usize, j: usize, schema: &str, name: &str) -> Option<(usize, usize)> {
        let j = self.expect(
            j,
            format_args!(
                "names: [String {{ sval: Some({schema:?}), .. }}, String {{ sval: Some({name:?}), .. }}], "
            ),
        )?;
        Some((self.skip_to(i, "type_oid")?, j))
    }

    fn label(&self, i: usize, j: usize, name: &str) -> Option<(usize, usize)> {
        let i = self.skip_exact(i, "name: None, ")?;
        Some((i, self.expect(j, format_args!("name: Some({name:?}), "))?))
    }

    fn literal(&self, i: usize, j: usize, text: &str) -> Option<(usize, usize)> {
        let i = self.skip_exact(i, "val: Some(String(")?;
        matches!(self.old.token(i)?, Token::Text(_)).then_some(())?;
        let i = self.skip_exact(i + 1, ")), ")?;
        let j = self.expect(j, format_args!("val: Some(String({text:?})), "))?;
        Some((i, j))
    }

    /// The old argument is what the plan says it is, and the new one is that inside the call.
    fn through(
        &self,
        i: usize,
        j: usize,
        function: &str,
        argument: &str,
        becomes: &str,
    ) -> Option<(usize, usize)> {
        let print = |text: &str| Some(format!("arg: {}, ", expression(text)?));
        let i = self.skip_exact(i, &print(argument)?)?;
        let j = self.expect(j, &print(&format!("{CATALOG_SCHEMA}.{function}({becomes})"))?)?;
        Some((i, j))
    }

    /// The old expression at `i` is the LIKE the plan says, and the new one is that behind AND and what it implies: as an AND of
    /// its own, or as two members of the list that the old one was first of, which is how the grammar reads `(a AND b) AND c`.
    fn implied(&mut self, i: usize, j: usize) -> Option<(usize, usize)> {
        // A_Expr ( A_Expr {
        let place = self.old.place(i + 3)?;
        let Change::Prefix { column, pattern, prefix, .. } = self.changes.get(&place)? else {
            return None;
        };
        let like = expression(&format!("{column} LIKE {pattern}"))?;
        let implied = expression(&format!("{column} OPERATOR(pg_catalog.^@) {prefix}"))?;
        let after = self.skip_exact(i, &like)?;
        let own =
            expression(&format!("{column} OPERATOR(pg_catalog.^@) {prefix} AND {column} LIKE {pattern}"))?;
        // boolop 0 args [
        let is_first =
            i.checked_sub(4).and_then(|from| self.skip_exact(from, "boolop: 0, args: [")) == Some(i);
        let member = || self.expect(self.expect(j, &implied).filter(|_| is_first)?, &like);
        let next = self.expect(j, &own).or_else(member)?;
        self.met.insert(place);
        Some((after, next))
    }

    /// The old DEFAULT at `i` is in a place where the plan writes it out, and the new expression is that.
    fn written_out(&mut self, i: usize, j: usize) -> Option<(usize, usize)> {
        // SetToDefault ( SetToDefault {
        let place = self.old.place(i + 3)?;
        let Change::Default { expression: wanted, .. } = self.changes.get(&place)? else {
            return None;
        };
        let after = self.skip_exact(i, expression("DEFAULT")?)?;
        let next = self.expect(j, expression(wanted)?)?;
        self.met.insert(place);
        Some((after, next))
    }

    /// The old column at `i` is a member of a GROUP BY, and in front of it the new one has the columns the plan says, each
    /// behind its table's name; where they end.
    fn dependent(&mut self, i: usize, mut j: usize) -> Option<usize> {
        if self.old.token(i)? != Token::Word(b"ColumnRef") {
            return None;
        }
        // ColumnRef ( ColumnRef {
        let place = self.old.place(i + 3)?;
        let Change::Dependent { columns, .. } = self.changes.get(&place)? else {
            return None;
        };
        self.is_member(i, "group_clause").then_some(())?;
        for column in columns {
            let wanted = expression(column)?;
            wanted.starts_with("ColumnRef(").then_some(())?;
            j = self.expect(j, wanted)?;
        }
        self.met.insert(place);
        Some(j)
    }

    /// Does the node at `i` stand in the list of that field, itself and not inside another?
    fn is_member(&self, i: usize, field: &str) -> bool {
        let mut depth = 0_usize;
        for at in (0..i).rev() {
            match self.old.token(at) {
                Some(Token::Mark(b'}' | b']' | b')')) => depth += 1,
                Some(Token::Mark(b'{' | b'[' | b'(')) if depth > 0 => depth -= 1,
                Some(Token::Mark(b'[')) => {
                    let before = at.checked_sub(1).and_then(|before| self.old.token(before));
                    return before == Some(Token::Word(field.as_bytes()));
                }
                Some(Token::Mark(b'{' | b'(')) | None => return false,
                Some(Token::Word(_) | Token::Text(_) | Token::Mark(_)) => {}
            }
        }
        false
    }

    /// The new argument is a call of the function, with the old argument, followed like everything else, as its only one.
    fn around(&mut self, i: usize, j: usize, function: &str) -> Option<(usize, usize)> {
        let call = expression(&format!("{CATALOG_SCHEMA}.{function}(NULL)"))?;
        let call = Printed::of(format_args!("arg: {call}")).ok()?;
        let hole = Printed::of(format_args!("{}", expression("NULL")?)).ok()?;
        let at = (0..call.len()).find(|from| hole.same(0..hole.len(), &call, *from))?;
        call.same(0..at, &self.new, j).then_some(())?;
        let i = self.skip_exact(i, "arg:")?;
        self.open.push((self.skip_to(i, "type_name")?, call, at + hole.len()));
        Some((i, j + at))
    }

    fn name(&self, i: usize, j: usize) -> Option<(usize, usize)> {
        let i = self.skip_exact(i, "name: Some(")?;
        matches!(self.old.token(i)?, Token::Text(_)).then_some(())?;
        let j = self.expect(j, format_args!("name: Some({PLACEHOLDER:?}"))?;
        Some((i + 1, j))
    }

    fn copy(&self, i: usize, j: usize, query: &str) -> Option<(usize, usize)> {
        let tree = parse::parse(query).ok()?;
        let mut print = String::new();
        for statement in tree.iter() {
            write!(print, "{:?}", statement.stmt()).ok()?;
        }
        let j = self.expect(j, format_args!("relation: None, query: {print}, attlist: [], "))?;
        Some((self.skip_to(i, "is_from")?, j))
    }
}

/// One expression as it is printed in a tree.
fn expression(text: &str) -> Option<String> {
    let tree = parse::parse(&format!("SELECT {text}")).ok()?;
    let mut statements = tree.iter();
    let (Node::SelectStmt(select), None) = (statements.next()?.stmt(), statements.next()) else {
        return None;
    };
    Some(format!("{:?}", select.target_list().iter().next()?.val()))
}

#[cfg(test)]
mod tests;
