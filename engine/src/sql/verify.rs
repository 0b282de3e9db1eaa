//! `tree(new) == expected(tree(old))`, on every rewrite.
//!
//! Shares no code with the splicing: it reads the planned changes, walks both trees' printed forms in lockstep, and
//! demands that they differ in exactly those places and in exactly that way. Any surprise refuses the statement.
//! Positions in the text are left out of the comparison, because splicing moves them.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::ops::Range;

use pg_raw_parse::{Node, nodes};

use crate::names::CATALOG_SCHEMA;
use crate::refusal::{Code, Refusal};

use super::judge::not_spliced;
use super::named::PLACEHOLDER;
use super::parse::{self, Tree};
use super::plan::{Change, Plan};
use super::print::{Printed, Token};

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
        .map_err(|_| Refusal::new(Code::Internal, "the statement could not be judged"))
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
mod tests {
    use super::*;
    use crate::sql::edit::Edit;

    fn plan(changes: Vec<Change>) -> Plan {
        Plan { changes, edits: vec![Edit::new(0..0, "")], ..Plan::default() }
    }

    fn verdict(old: &str, new: &str, changes: Vec<Change>) -> bool {
        let tree = parse::parse(old).expect("parses");
        check(&tree, new, &plan(changes)).is_ok()
    }

    fn relation(at: usize) -> Change {
        Change::Relation { at, schema: "s".into(), name: "v".into(), alias: Some("t".into()) }
    }

    #[test]
    fn the_planned_change_passes_and_nothing_else_does() {
        assert!(verdict("SELECT a FROM t", "SELECT a FROM s.v AS t", vec![relation(14)]));
        for (new, why) in [
            ("SELECT a FROM t", "not applied"),
            ("SELECT a FROM s.v", "alias missing"),
            ("SELECT a FROM s.w AS t", "other view"),
            ("SELECT a FROM x.v AS t", "other schema"),
            ("SELECT b FROM s.v AS t", "other column"),
            ("SELECT a FROM s.v AS t WHERE true", "more"),
            ("SELECT a FROM s.v AS t; SELECT 1", "another statement"),
            ("SELECT a FROM ONLY s.v AS t", "inheritance"),
            ("SELECT a FROM s.v AS t, s.v AS t", "twice"),
            ("SELECT a FROM s.v AS \"T\"", "alias case"),
        ] {
            assert!(!verdict("SELECT a FROM t", new, vec![relation(14)]), "{why}");
        }
        assert!(!verdict("SELECT a FROM t", "SELECT a FROM s.v AS t", vec![]), "unplanned");
        assert!(!verdict("SELECT a FROM t", "SELECT a FROM t", vec![relation(14)]), "planned, not found");
    }

    #[test]
    fn functions_columns_literals_and_copies_are_followed() {
        let function = Change::Function { at: 7, schema: "pg_catalog".into(), name: "f".into() };
        assert!(verdict("SELECT f(x)", "SELECT pg_catalog.f(x)", vec![function.clone()]));
        assert!(!verdict("SELECT f(x)", "SELECT pg_catalog.g(x)", vec![function.clone()]));
        assert!(!verdict("SELECT f(x)", "SELECT pg_catalog.f(y)", vec![function]));
        let column = Change::Column { at: 7, dropped: 1 };
        assert!(verdict("SELECT s.t.x", "SELECT t.x", vec![column.clone()]));
        assert!(!verdict("SELECT s.t.x", "SELECT t.y", vec![column.clone()]));
        assert!(!verdict("SELECT s.t.x", "SELECT x", vec![column]));
        let literal = Change::Literal { at: 7, text: "9".into() };
        assert!(verdict("SELECT 't'::regclass", "SELECT '9'::regclass", vec![literal.clone()]));
        assert!(!verdict("SELECT 't'::regclass", "SELECT '8'::regclass", vec![literal]));
        let copy = Change::CopyQuery { at: 5, query: "SELECT a FROM s.v AS t".into() };
        assert!(verdict(
            "COPY t (a) TO STDOUT CSV",
            "COPY (SELECT a FROM s.v AS t) TO STDOUT CSV",
            vec![copy.clone()]
        ));
        assert!(!verdict(
            "COPY t (a) TO STDOUT CSV",
            "COPY (SELECT b FROM s.v AS t) TO STDOUT CSV",
            vec![copy.clone()]
        ));
        assert!(!verdict("COPY t (a) TO STDOUT CSV", "COPY (SELECT a FROM s.v AS t) TO STDOUT", vec![copy]));
    }

    #[test]
    fn an_argument_goes_through_its_function_unchanged() {
        let through = || Change::Through {
            at: 10,
            function: "regclass",
            argument: "c.x".into(),
            becomes: "c.x".into(),
        };
        let old = "SELECT c.x::regclass";
        assert!(verdict(old, "SELECT lanyard_catalog.regclass(c.x)::regclass", vec![through()]));
        for new in [
            "SELECT lanyard_catalog.regclass(c.y)::regclass",
            "SELECT lanyard_catalog.other(c.x)::regclass",
            "SELECT public.regclass(c.x)::regclass",
            "SELECT lanyard_catalog.regclass(c.x)::regtype",
            "SELECT lanyard_catalog.regclass(c.x, 1)::regclass",
            "SELECT lanyard_catalog.regclass(c.x)",
            old,
        ] {
            assert!(!verdict(old, new, vec![through()]), "{new}");
        }
        let other =
            Change::Through { at: 10, function: "regclass", argument: "c.y".into(), becomes: "c.y".into() };
        assert!(!verdict(old, "SELECT lanyard_catalog.regclass(c.y)::regclass", vec![other]));
    }

    #[test]
    fn a_like_gets_what_it_implies_and_nothing_else() {
        let prefix = |at| Change::Prefix {
            at,
            column: "\"c\"".into(),
            pattern: "'ab%'".into(),
            prefix: "'ab'".into(),
        };
        let (new, like) = ("c OPERATOR(pg_catalog.^@) 'ab'", "c LIKE 'ab%'");
        let tree = |condition: &str| format!("SELECT 1 FROM t WHERE {condition}");
        let at = |condition: &str| tree(condition).find("LIKE").expect("there");
        for (old, enforced) in [
            (like.to_owned(), format!("({new} AND {like})")),
            (format!("{like} AND x"), format!("({new} AND {like}) AND x")),
            (format!("x AND {like}"), format!("x AND ({new} AND {like})")),
            (format!("NOT {like}"), format!("NOT ({new} AND {like})")),
            (format!("x OR {like}"), format!("x OR ({new} AND {like})")),
        ] {
            assert!(verdict(&tree(&old), &tree(&enforced), vec![prefix(at(&old))]), "{enforced}");
        }
        for (old, enforced, why) in [
            (like, like.to_owned(), "not applied"),
            (like, new.to_owned(), "the LIKE gone"),
            (like, format!("({new} OR {like})"), "OR"),
            (like, format!("({like} AND {new})"), "turned round"),
            (like, format!("({new} AND {new} AND {like})"), "twice"),
            (like, format!("({new} AND {like}) AND x"), "more"),
            (like, "(c ^@ 'ab' AND c LIKE 'ab%')".to_owned(), "whichever operator"),
            (like, format!("(c OPERATOR(public.^@) 'ab' AND {like})"), "another operator"),
            (like, format!("(c OPERATOR(pg_catalog.^@) 'abc' AND {like})"), "another prefix"),
            (like, format!("(d OPERATOR(pg_catalog.^@) 'ab' AND {like})"), "another column"),
            (like, format!("({new} AND c LIKE 'abc%')"), "another pattern"),
            (like, format!("({new} AND c ILIKE 'ab%')"), "another kind"),
            ("c LIKE 'ab%' OR x", format!("{new} OR {like} OR x"), "two members of an OR"),
            ("c LIKE 'abc%'", format!("({new} AND c LIKE 'abc%')"), "another LIKE than planned"),
            ("c NOT LIKE 'ab%'", format!("({new} AND c NOT LIKE 'ab%')"), "NOT LIKE"),
            ("f(c LIKE 'ab%')", format!("f({new}, {like})"), "two arguments"),
        ] {
            assert!(!verdict(&tree(old), &tree(&enforced), vec![prefix(at(old))]), "{why}");
        }
        assert!(!verdict(&tree(like), &tree(&format!("({new} AND {like})")), vec![]), "unplanned");
    }

    #[test]
    fn columns_join_a_group_by_and_nothing_else() {
        let added = |at| Change::Dependent { at, columns: vec!["\"t\".\"b\"".into(), "\"t\".\"c\"".into()] };
        let old = "SELECT b FROM t GROUP BY a, d";
        let at = old.find("a, d").expect("there");
        assert!(verdict(old, "SELECT b FROM t GROUP BY t.b, t.c, a, d", vec![added(at)]));
        for (new, why) in [
            (old, "not applied"),
            ("SELECT b FROM t GROUP BY t.b, a, d", "one missing"),
            ("SELECT b FROM t GROUP BY t.c, t.b, a, d", "turned round"),
            ("SELECT b FROM t GROUP BY t.b, t.c, d", "the key gone"),
            ("SELECT b FROM t GROUP BY a, t.b, t.c, d", "behind it"),
            ("SELECT b FROM t GROUP BY x.b, t.c, a, d", "another table's"),
            ("SELECT b FROM t GROUP BY b, c, a, d", "bare"),
            ("SELECT b FROM t GROUP BY (t.b, t.c, a), d", "a row"),
            ("SELECT b FROM t GROUP BY DISTINCT t.b, t.c, a, d", "distinct"),
            ("SELECT b FROM t GROUP BY t.b, t.c, a, t.b, t.c, d", "twice"),
            ("SELECT t.b, t.c, b FROM t GROUP BY a, d", "in the list of what is selected"),
        ] {
            assert!(!verdict(old, new, vec![added(at)]), "{why}");
        }
        assert!(!verdict(old, "SELECT b FROM t GROUP BY t.b, t.c, a, d", vec![]), "unplanned");
        for (old, new) in [
            ("SELECT f(a) FROM t", "SELECT f(t.b, t.c, a) FROM t"),
            ("SELECT 1 FROM t GROUP BY f(a)", "SELECT 1 FROM t GROUP BY f(t.b, t.c, a)"),
            ("SELECT 1 FROM t GROUP BY (a, d)", "SELECT 1 FROM t GROUP BY (t.b, t.c, a, d)"),
            ("SELECT 1 FROM t WHERE x IN (a)", "SELECT 1 FROM t WHERE x IN (t.b, t.c, a)"),
            ("SELECT DISTINCT ON (a) 1 FROM t", "SELECT DISTINCT ON (t.b, t.c, a) 1 FROM t"),
        ] {
            let at = old.rfind("(a").expect("there") + 1;
            assert!(!verdict(old, new, vec![added(at)]), "{new}: not a GROUP BY's own");
        }
        let other = |sql: &str| Change::Dependent { at, columns: vec![sql.into()] };
        for sql in ["f(a)", "(SELECT 1)", "a, b", "1"] {
            let new = format!("SELECT b FROM t GROUP BY {sql}, a, d");
            assert!(!verdict(old, &new, vec![other(sql)]), "{sql}: not one column");
        }
    }

    #[test]
    fn a_default_becomes_its_expression_and_nothing_else() {
        let default = |at, sql: &str| Change::Default { at, expression: sql.into() };
        let old = "UPDATE t SET a = DEFAULT, b = DEFAULT";
        let at = old.find("DEFAULT").expect("there");
        assert!(verdict(old, "UPDATE t SET a = (now()), b = DEFAULT", vec![default(at, "now()")]));
        for (new, why) in [
            (old, "not applied"),
            ("UPDATE t SET a = now(), b = now()", "the other as well"),
            ("UPDATE t SET a = DEFAULT, b = now()", "the other instead"),
            ("UPDATE t SET a = x.now(), b = DEFAULT", "another function"),
            ("UPDATE t SET a = now(1), b = DEFAULT", "another call"),
            ("UPDATE t SET c = now(), b = DEFAULT", "another column"),
            ("UPDATE t SET a = now(), b = DEFAULT WHERE true", "more"),
            ("UPDATE t SET a = NULL, b = DEFAULT", "another value"),
        ] {
            assert!(!verdict(old, new, vec![default(at, "now()")]), "{why}");
        }
        assert!(!verdict(old, "UPDATE t SET a = now(), b = DEFAULT", vec![]), "unplanned");
        let row = "UPDATE t SET (a, b) = (DEFAULT, 1)";
        let at = row.find("DEFAULT").expect("there");
        assert!(verdict(row, "UPDATE t SET (a, b) = ((5), 1)", vec![default(at, "5")]));
        assert!(!verdict(row, "UPDATE t SET (a, b) = ((5), 2)", vec![default(at, "5")]));
    }

    #[test]
    fn an_output_column_gets_its_name_and_no_other() {
        let label = || Change::Label { at: 7, name: "a".into() };
        let old = "SELECT a::t FROM s";
        assert!(verdict(old, "SELECT a::t AS \"a\" FROM s", vec![label()]));
        for new in [
            old,
            "SELECT a::t AS b FROM s",
            "SELECT b::t AS a FROM s",
            "SELECT a::u AS a FROM s",
            "SELECT a::t AS a, a FROM s",
            "SELECT a::t AS a FROM s AS a",
        ] {
            assert!(!verdict(old, new, vec![label()]), "{new}");
        }
        assert!(!verdict(old, "SELECT a::t AS a FROM s", vec![]), "unplanned");
        assert!(!verdict("SELECT a::t AS b FROM s", "SELECT a::t AS a FROM s", vec![label()]), "it had one");
    }

    #[test]
    fn strings_that_look_like_trees_stay_strings() {
        assert!(verdict(
            "SELECT 'RangeVar { location: 14, }' FROM t",
            "SELECT 'RangeVar { location: 14, }' FROM s.v AS t",
            vec![relation(41)],
        ));
        assert!(!verdict(
            "SELECT 'location: 1, ' FROM t",
            "SELECT 'location: 2, ' FROM s.v AS t",
            vec![relation(28)],
        ));
    }
}
