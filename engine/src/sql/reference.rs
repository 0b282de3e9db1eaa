//! References other than relations: columns, functions, operators, types and names in `regclass` literals.
//!
//! Each is on an allow-list or refused; what is let through is qualified, so that no search path can change it. Called by
//! the walk in `statement`.

use pg_raw_parse::{Node, nodes};

use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::not_spliced;
use super::resolve::{self, Target, quote};
use super::statement::{Change, Verdict, Walk, constant_text, offset};
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
        resolve::relation(&self.context, None, Some(schema), table).map_err(|refusal| refusal.at(at))?;
        let kept = self.name_end(at, dropped)?;
        let next = scan::skip_space(self.text.as_bytes(), kept)
            .filter(|dot| self.text.as_bytes().get(*dot) == Some(&b'.'))
            .ok_or_else(|| not_spliced().at(at))?;
        self.plan.edits.push(Edit::new(at..next + 1, ""));
        self.plan.changes.push(Change::Column { at, dropped });
        Ok(())
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
        let stand_in = virtual_catalog::function(name);
        // A stand-in is ours and may be called, whatever the function it stands for does.
        if schema.is_some_and(|s| s != "pg_catalog") || !(stand_in.is_some() || functions::is_allowed(name)) {
            return Err(forbidden_function(&names.join(".")).at(at));
        }
        if name == "set_config" {
            set_config(call)?;
        }
        if call.funcformat == COERCE_SQL_SYNTAX && stand_in.is_none() {
            return Ok(());
        }
        let real = stand_in.unwrap_or("pg_catalog");
        if schema == Some(real) {
            return Ok(());
        }
        let end = self.name_end(at, names.len())?;
        self.plan.edits.push(Edit::new(at..end, format!("{real}.{}", quote(name))));
        self.plan.changes.push(Change::Function { at, schema: real.to_owned(), name: name.to_owned() });
        Ok(())
    }

    pub(super) fn type_name(&self, name: Option<&nodes::TypeName>) -> Verdict {
        let Some(name) = name else { return Ok(()) };
        let parts: Vec<&str> = name.names().iter().filter_map(|s| s.sval()).collect();
        let known = match parts.as_slice() {
            [_] => true,
            [schema, _] => {
                *schema == "pg_catalog"
                    || self.context.search_path.iter().any(|s| s == schema)
                    || self.context.entitlement.relations.contains_key(*schema)
            }
            _ => false,
        };
        if known && !name.pct_type {
            Ok(())
        } else {
            Err(Refusal::new(Code::Policy, format!("type \"{}\" may not be used here", parts.join("."))))
        }
    }

    /// A cast: the type must be known, and names in `regclass` literals are resolved like relations.
    pub(super) fn cast(&mut self, cast: &'t nodes::TypeCast) -> Verdict {
        self.type_name(cast.type_name())?;
        let Some(type_name) = cast.type_name() else {
            return Ok(());
        };
        let last = type_name.names().iter().next_back().and_then(nodes::String::sval).unwrap_or_default();
        let literal = match cast.arg() {
            Node::A_Const(constant) => constant,
            Node::A_ArrayExpr(_) if last.starts_with("reg") => {
                return Err(Refusal::new(Code::Policy, format!("arrays of {last} literals are not allowed")));
            }
            _ => return Ok(()),
        };
        let Some(text) = literal_text(literal) else {
            return Ok(());
        };
        match last {
            "regrole" => Err(Refusal::new(Code::Policy, "regrole literals are not allowed")),
            "regclass" => self.regclass(literal, text),
            _ => Ok(()),
        }
    }

    /// `'orders'::regclass` -> `'16401'::regclass`: the name is resolved here, the OID is the one the catalog shows.
    fn regclass(&mut self, literal: &nodes::A_Const, text: &str) -> Verdict {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(());
        }
        let at = offset(literal.location)?;
        let parts = split_name(text).ok_or_else(|| {
            Refusal::new(Code::Policy, format!("regclass literal \"{text}\" is not a plain name")).at(at)
        })?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let target = match parts.as_slice() {
            [name] => resolve::relation(&self.context, None, None, name),
            [schema, name] => resolve::relation(&self.context, None, Some(schema), name),
            _ => {
                return Err(Refusal::new(Code::Unsupported, "a regclass literal has one or two parts").at(at));
            }
        };
        let Target::Governed(access) = target.map_err(|refusal| refusal.at(at))? else {
            return Ok(());
        };
        let end = scan::string_end(self.text, at).ok_or_else(|| not_spliced().at(at))?;
        let oid = access.oid.to_string();
        self.plan.edits.push(Edit::new(at..end, format!("'{oid}'")));
        self.plan.changes.push(Change::Literal { at, text: oid });
        Ok(())
    }
}

fn forbidden_function(name: &str) -> Refusal {
    Refusal::new(
        Code::Policy,
        format!("function \"{name}\" is not on the list of functions that may be called"),
    )
    .hint("a governor can extend the list by policy")
}

pub(super) fn guard_field(field: Node<'_>) -> Verdict {
    match field.as_str() {
        Some(name) if functions::is_guarded_field(name) => Err(forbidden_function(name)),
        _ => Ok(()),
    }
}

/// Operators may be qualified with pg_catalog only.
pub(super) fn operator(name: &pg_raw_parse::list::NodeList) -> Verdict {
    let parts: Vec<&str> = name.iter().filter_map(Node::as_str).collect();
    match parts.as_slice() {
        [] | [_] | ["pg_catalog", _] => Ok(()),
        _ => {
            Err(Refusal::new(Code::Policy, format!("operator \"{}\" may not be used here", parts.join("."))))
        }
    }
}

/// `set_config(name, value, …)` with constants off the list is a SET in disguise.
fn set_config(call: &nodes::FuncCall) -> Verdict {
    let mut arguments = call.args().iter();
    let name = arguments.next().and_then(constant_text).unwrap_or_default();
    let value = arguments.next().and_then(constant_text);
    let allowed = match (settings::setting(name), value) {
        (Some(settings::Setting::Free), _) => true,
        (Some(settings::Setting::Only(values)), Some(value)) => settings::says(value, values),
        _ => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be changed here"))
            .hint("set_config takes a literal name of a setting that SET may change"))
    }
}

pub(super) fn literal_text(constant: &nodes::A_Const) -> Option<&str> {
    match constant.val()? {
        pg_raw_parse::ConstValue::String(text) => Some(text),
        _ => None,
    }
}

/// Splits `schema."Table"` as regclassin does: dots separate, quotes keep case, the rest is folded.
fn split_name(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if quoted => part.push(c),
            c if c.is_whitespace() => return None,
            c => part.push(c.to_ascii_lowercase()),
        }
    }
    (!quoted && parts.iter().all(|p| !p.is_empty())).then_some(parts)
}
