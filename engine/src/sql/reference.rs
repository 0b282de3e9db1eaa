//! References other than relations and casts: columns, functions, operators and types.
//!
//! Each is on an allow-list or refused; what is let through is qualified, so that no search path can change it. Called by
//! the walk in `statement`.

use std::collections::BTreeMap;

use pg_raw_parse::{Node, nodes};

use crate::catalog::RelationName;
use crate::names::{CATALOG_SCHEMA, PRIVATE_SCHEMA, SECURED_SCHEMA};
use crate::record::{ObjectUse, UNMASK};
use crate::refusal::{Code, Refusal};

use super::cast::{is_text, naming};
use super::edit::Edit;
use super::judge::not_spliced;
use super::plan::Change;
use super::resolve::{self, quote};
use super::statement::{Verdict, Walk, constant_text, offset};
use super::{functions, scan, settings, virtual_catalog};

impl<'t> Walk<'t, '_> {
    /// `schema.table.column` loses its schema, because the view goes by the table's bare name.
    pub(super) fn column(&mut self, column: &'t nodes::ColumnRef) -> Verdict {
        let fields = column.fields();
        for field in fields.iter() {
            guard_field(field)?;
        }
        let dropped = fields.len().saturating_sub(2);
        if dropped == 0 {
            return Ok(());
        }
        let at = offset(column.location)?;
        let names: Vec<&str> = fields.iter().filter_map(Node::as_str).collect();
        let (schema, table) = match names.as_slice() {
            [_, schema, table, ..] if fields.len() > 3 => (*schema, *table),
            [schema, table, ..] => (*schema, *table),
            _ => return Err(not_spliced().at(at)),
        };
        resolve::relation(&self.context, self.names.temps(), None, Some(schema), table)
            .map_err(|refusal| refusal.at(at))?;
        let kept = self.name_end(at, dropped)?;
        let next = scan::skip_space(self.text.as_bytes(), kept)
            .filter(|dot| self.text.as_bytes().get(*dot) == Some(&b'.'))
            .ok_or_else(|| not_spliced().at(at))?;
        self.plan.edits.push(Edit::new(at..next + 1, ""));
        self.plan.changes.push(Change::Column { at, dropped });
        Ok(())
    }

    /// `(expression).name`: PostgreSQL calls a function of that name, of any schema in the search path, when there is no such
    /// field. So the name must be that of a column policy shows, which nobody but the warehouse's owner chooses, or of a
    /// built-in function's result.
    pub(super) fn field(&self, field: Node<'_>) -> Verdict {
        guard_field(field)?;
        let Some(name) = field.as_str() else { return Ok(()) };
        let shown = || self.context.entitlement.iter().any(|a| a.view.columns.iter().any(|c| c.name == name));
        if is_result_field(name) || shown() {
            Ok(())
        } else {
            Err(Refusal::new(
                Code::Unsupported,
                format!("field \"{name}\" of an expression is not supported"),
            )
            .hint("name the column through its table's alias, alias.column, or give it one in a sub-select"))
        }
    }

    pub(super) fn function(&mut self, call: &'t nodes::FuncCall) -> Verdict {
        const COERCE_SQL_SYNTAX: u32 = 3;
        let names: Vec<&str> = call.funcname().iter().filter_map(Node::as_str).collect();
        let at = offset(call.location)?;
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            _ => return Err(forbidden_function(&names.join(".")).at(at)),
        };
        // PostgreSQL's own takes what is known here: its messages have no line of ours.
        let stand_in =
            virtual_catalog::function(name).filter(|_| name != "set_config" || set_by_parameter(call));
        // A stand-in is ours and may be called, whatever the function it stands for does. A type's name around one argument
        // is a cast.
        let built_in = stand_in.is_some()
            || functions::is_allowed(name)
            || self.sets_own_sequence(name, call)
            || (call.args().len() == 1 && super::types::casts_as_a_function(name));
        if schema == Some("information_schema") && name == EXPAND_ARRAY {
            return Ok(());
        }
        if name == "pg_notify" && schema.is_none_or(|s| s == "pg_catalog") {
            self.pg_notify(call)?;
            let sent = schema.is_none().then(|| self.send_to("pg_catalog", name, at, names.len()));
            return sent.unwrap_or(Ok(()));
        }
        if !built_in || schema.is_some_and(|s| s != "pg_catalog") {
            return self.opened_function(schema, name, at, names.len());
        }
        match name {
            "set_config" => set_config(call)?,
            "current_setting" => current_setting(call)?,
            "nextval" | "currval" | "setval" => self.sequence(call)?,
            _ => {}
        }
        self.plan.keeps |= functions::leaves_something(name) || name == "setval";
        if call.funcformat == COERCE_SQL_SYNTAX && stand_in.is_none() {
            return Ok(());
        }
        // An extension's function of a built-in one's name is PostgreSQL's to choose by its arguments, as it always is.
        if schema.is_none() && stand_in.is_none() && self.is_overloaded(name) {
            self.coercions.granted(name);
            self.plan.keeps = true;
            return Ok(());
        }
        self.own.reads_catalogs |= stand_in.is_some();
        let real = stand_in.unwrap_or("pg_catalog");
        if schema == Some(real) {
            return Ok(());
        }
        self.send_to(real, name, at, names.len())
    }

    /// Sends a call to the function of that schema.
    fn send_to(&mut self, schema: &str, name: &str, at: usize, parts: usize) -> Verdict {
        let end = self.name_end(at, parts)?;
        let bare = [CATALOG_SCHEMA, "pg_catalog"].contains(&schema);
        let place = if bare { schema.to_owned() } else { quote(schema) };
        self.plan.edits.push(Edit::new(at..end, format!("{place}.{}", quote(name))));
        self.plan.changes.push(Change::Function { at, schema: schema.to_owned(), name: name.to_owned() });
        Ok(())
    }

    /// A function that is on no built-in list: the way back from a mask, or what a permit lets through.
    fn opened_function(
        &mut self,
        schema: Option<&'t str>,
        name: &'t str,
        at: usize,
        parts: usize,
    ) -> Verdict {
        if schema.is_none_or(|schema| schema == PRIVATE_SCHEMA) && self.undoes(name) {
            return self.send_to(SECURED_SCHEMA, name, at, parts);
        }
        let extras = &self.context.entitlement.extras;
        let has = |schema: &str| extras.has_function(&RelationName::new(schema, name));
        let found = match schema {
            Some(schema) => has(schema).then_some(schema),
            None => self.context.search_path.iter().map(String::as_str).find(|schema| has(schema)),
        };
        let Some(found) = found else {
            let dot = schema.map_or_else(String::new, |schema| format!("{schema}."));
            return Err(forbidden_function(&format!("{dot}{name}")).at(at));
        };
        self.coercions.granted(name);
        // What it does to the session is its own affair.
        self.plan.keeps = true;
        self.send_to(found, name, at, parts)
    }

    /// Is it a function that turns masked values back, and has the session the right? Then every column it is for is on record.
    fn undoes(&mut self, name: &str) -> bool {
        let takes = |key: &str| match name {
            "unmask" => key.starts_with("reversible:"),
            "detokenize" => key == "token",
            _ => false,
        };
        let keys = self.context.entitlement.extras.unmask.iter().filter(|(key, _)| takes(key));
        let mut relations: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, columns) in keys {
            for (relation, column) in columns.iter().filter_map(|full| full.rsplit_once('.')) {
                relations.entry(relation).or_default().push(format!("{column}: undone ({key})"));
            }
        }
        let has = !relations.is_empty();
        for (relation, masks) in relations {
            self.note(ObjectUse {
                relation: relation.to_owned(),
                operation: UNMASK,
                filters: Vec::new(),
                masks,
                shadow: Vec::new(),
            });
        }
        has
    }

    /// Has an extension that a permit opens, in a schema of the search path, a function of this name, and nobody else one?
    fn is_overloaded(&self, name: &str) -> bool {
        let path = self.context.search_path;
        self.context.entitlement.extras.members.iter().any(|one| {
            one.alone.contains(name)
                && path.iter().any(|schema| one.functions.contains(&RelationName::new(schema, name)))
        })
    }

    /// An operator by a name PostgreSQL itself has, qualified with pg_catalog or not at all. Others come with the types of an
    /// extension, where a visible column has such a type, or with an extension that a permit opens. What a DBA made under one of
    /// PostgreSQL's own names runs with the session's rights, or start refuses to serve.
    pub(super) fn operator(&self, name: &pg_raw_parse::list::NodeList) -> Verdict {
        let parts: Vec<&str> = name.iter().filter_map(Node::as_str).collect();
        let extras = &self.context.entitlement.extras;
        let opened = |schema: &str, name: &str| extras.has_operator(&RelationName::new(schema, name));
        let known = match parts.as_slice() {
            [] => true,
            ["pg_catalog", name] => functions::is_operator(name),
            [name] => {
                functions::is_operator(name)
                    || super::types::has_user_types(&self.context)
                    || self.context.search_path.iter().any(|schema| opened(schema, name))
            }
            [schema, name] => opened(schema, name),
            _ => false,
        };
        if known {
            return Ok(());
        }
        Err(Refusal::new(Code::Policy, format!("operator \"{}\" may not be used here", parts.join("."))))
    }

    /// A type where no cast is judged: a column of XMLTABLE or of a function's result. Types that print the name of an OID
    /// are not among them.
    pub(super) fn type_name(&mut self, name: Option<&nodes::TypeName>) -> Verdict {
        match name.and_then(naming) {
            Some(naming) => {
                Err(Refusal::new(Code::Policy, format!("type \"{}\" may not be used here", naming.type_name))
                    .hint("select the value as oid or text"))
            }
            None => self.known_type(name),
        }
    }
}

/// Numbers the elements of an array it is given, and looks at nothing else: JDBC asks for keys with it.
pub(super) const EXPAND_ARRAY: &str = "_pg_expandarray";

fn forbidden_function(name: &str) -> Refusal {
    Refusal::new(
        Code::Policy,
        format!("function \"{name}\" is not on the list of functions that may be called"),
    )
    .hint("a governor can extend the list by policy")
}

/// Fields of what built-in functions return: `(information_schema._pg_expandarray(i.indkey)).n`.
const RESULT_FIELDS: [&str; 13] = [
    "n",
    "x",
    "keys",
    "key",
    "value",
    "ordinality",
    "grantor",
    "grantee",
    "privilege_type",
    "is_grantable",
    "lexeme",
    "option_name",
    "option_value",
];

fn is_result_field(name: &str) -> bool {
    let row = name.strip_prefix('f').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    row || RESULT_FIELDS.contains(&name)
}

pub(super) fn guard_field(field: Node<'_>) -> Verdict {
    match field.as_str() {
        Some(name) if functions::is_guarded_field(name) => Err(forbidden_function(name)),
        _ => Ok(()),
    }
}

/// Does a parameter say which setting a `set_config` sets, or to what, where that matters? The stand-in in the warehouse judges
/// such a call, by the same list. What is put together in the statement is not let through.
fn set_by_parameter(call: &nodes::FuncCall) -> bool {
    let mut arguments = call.args().iter();
    let (name, value) = (arguments.next(), arguments.next());
    let kept = |name| matches!(settings::setting(name), Some(settings::Setting::Only(_)));
    match name.and_then(constant_text) {
        Some(name) => kept(name) && value.is_some_and(is_parameter),
        None => name.is_some_and(is_parameter),
    }
}

fn is_parameter(argument: Node<'_>) -> bool {
    match argument {
        Node::ParamRef(_) => true,
        Node::TypeCast(cast) => is_text(cast) && matches!(cast.arg(), Node::ParamRef(_)),
        _ => false,
    }
}

/// `set_config(name, value, …)` with constants off the list is a SET in disguise.
fn set_config(call: &nodes::FuncCall) -> Verdict {
    if set_by_parameter(call) {
        return Ok(());
    }
    let mut arguments = call.args().iter();
    let name = arguments.next().and_then(constant_text).unwrap_or_default();
    let value = arguments.next().and_then(constant_text);
    let allowed = match (settings::setting(name), value) {
        (Some(settings::Setting::Free), _) => true,
        (Some(settings::Setting::Only(values)), Some(value)) => settings::says(value, values),
        (Some(settings::Setting::Name), Some(value)) => settings::is_plain_name(value),
        _ => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be changed here"))
            .hint("set_config takes a literal name of a setting that SET may change, or a parameter"))
    }
}

/// `current_setting(name)` is a SHOW in disguise. A name nobody has seen yet (SQLAlchemy sends a parameter) is judged by the
/// stand-in in the warehouse, by the same list.
fn current_setting(call: &nodes::FuncCall) -> Verdict {
    let argument = call.args().iter().next().unwrap_or(Node::None);
    match constant_text(argument) {
        Some(name) if !settings::may_show(name) => {
            Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be shown"))
                .hint("current_setting takes the name of a setting that SHOW may show"))
        }
        Some(_) | None => Ok(()),
    }
}
