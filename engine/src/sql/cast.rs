//! Casts to types whose text is the name of an object (`regclass` and its like).
//!
//! PostgreSQL reads and prints them without asking for rights, so names in literals are resolved here, and columns and
//! parameters go through the virtual catalog. Called by the walk in `statement`.

use std::ops::Range;

use pg_raw_parse::{Node, nodes};

use crate::names::CATALOG_SCHEMA;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::not_spliced;
use super::plan::Change;
use super::resolve::{self, Target, qualified};
use super::statement::{Verdict, Walk, offset};
use super::types::FIRST_NORMAL_OID;
use super::{scan, virtual_catalog};

impl<'t> Walk<'t, '_> {
    /// A cast: the type must be known. PostgreSQL reads and prints `regclass` and its like without asking for rights, so
    /// names in literals are resolved here, and columns and parameters go through the virtual catalog.
    pub(super) fn cast(&mut self, cast: &'t nodes::TypeCast) -> Verdict {
        self.known_type(cast.type_name())?;
        let Some(naming) = cast.type_name().and_then(naming) else {
            return Ok(());
        };
        let refused = |what: &str| {
            Err(Refusal::new(
                Code::Policy,
                format!("a cast of {what} to {} is not allowed", naming.type_name),
            )
            .hint(
                "cast a column, a parameter or a literal name; to_regclass(text) and its like take any text",
            ))
        };
        if naming.array {
            // pgcli reads the types of functions' arguments like this.
            return match cast.arg() {
                Node::ColumnRef(column) if naming.type_name == "regtype" && column.fields().len() <= 2 => {
                    self.column(column)?;
                    let at = offset(column.location)?;
                    let end = self.name_end(at, column.fields().len())?;
                    self.through(cast, at..end, "_regtypes")
                }
                _ => refused("an array"),
            };
        }
        match cast.arg() {
            Node::A_Const(constant) => match constant.val() {
                None => Ok(()),
                Some(pg_raw_parse::ConstValue::String(text)) if naming.type_name == "regclass" => {
                    if self.may_be_own_oid(text) {
                        let at = offset(constant.location)?;
                        let end = scan::string_end(self.text, at).ok_or_else(|| not_spliced().at(at))?;
                        return self.through(cast, at..end, "regclass");
                    }
                    self.regclass(constant, text)
                }
                Some(pg_raw_parse::ConstValue::String(_)) => match naming.of_text {
                    Literals::Through(function) => {
                        let at = offset(constant.location)?;
                        let end = scan::string_end(self.text, at).ok_or_else(|| not_spliced().at(at))?;
                        self.through(cast, at..end, function)
                    }
                    Literals::Plain => Ok(()),
                    Literals::Refused => refused("a literal"),
                },
                Some(_) => refused("a number"),
            },
            Node::ColumnRef(column) if naming.of_oid.is_some() => {
                let at = offset(column.location)?;
                let end = self.name_end(at, column.fields().len())?;
                let function = naming.of_oid.unwrap_or_default();
                if column.fields().len() <= 2 {
                    self.column(column)?;
                    return self.through(cast, at..end, function);
                }
                // `schema.table.column` loses its schema on the way.
                let planned = self.plan.changes.len();
                self.column(column)?;
                self.plan.changes.truncate(planned);
                let kept = self.plan.edits.last().map(|edit| edit.range.end).ok_or_else(not_spliced)?;
                self.through_as(cast, at..end, kept, function)
            }
            Node::ParamRef(parameter) if naming.of_oid.is_some() => {
                let at = offset(parameter.location)?;
                let digits = self.text.bytes().skip(at + 1).take_while(u8::is_ascii_digit).count();
                self.through(cast, at..at + 1 + digits, naming.of_oid.unwrap_or_default())
            }
            // A literal or parameter that says of itself that it is text, as SQLAlchemy sends them.
            Node::TypeCast(inner) if is_text(inner) => match naming.of_text {
                Literals::Through(function) => {
                    let range = self.argument(cast, inner).ok_or_else(not_spliced)?;
                    self.through(cast, range, function)
                }
                Literals::Plain | Literals::Refused => refused("an expression"),
            },
            Node::FuncCall(call) if names_safely(call) => Ok(()),
            // `format('%I.%I', …)::regclass`, `(schemaname || '.' || relname)::regclass`: the virtual catalog looks it up.
            Node::FuncCall(_) if naming.type_name == "regclass" => self.around(cast, "regclass"),
            Node::A_Expr(joined) if naming.type_name == "regclass" && joins_texts(joined) => {
                self.around(cast, "regclass")
            }
            _ => refused("an expression"),
        }
    }

    /// Puts a call around the argument of a cast, whatever becomes of what is inside.
    fn around(&mut self, cast: &nodes::TypeCast, function: &'static str) -> Verdict {
        let at = offset(cast.location)?;
        let range = self.expression(cast).ok_or_else(|| not_spliced().at(at))?;
        self.plan.edits.push(Edit::new(range.start..range.start, format!("{CATALOG_SCHEMA}.{function}(")));
        self.plan.edits.push(Edit::new(range.end..range.end, ")"));
        self.plan.changes.push(Change::Around { at, function });
        Ok(())
    }

    /// Where the argument of a cast stands in the text, when that is a call or stands in parentheses. A wrong guess fails the
    /// tree check.
    fn expression(&self, cast: &nodes::TypeCast) -> Option<Range<usize>> {
        let at = usize::try_from(cast.location).ok()?;
        if !self.text.get(at..)?.starts_with("::") {
            return self.cast_argument(cast, at);
        }
        let end = self.text.get(..at)?.trim_end().len();
        if let Node::FuncCall(call) = cast.arg() {
            return Some(usize::try_from(call.location).ok()?..end);
        }
        let mut depth = 0_usize;
        for (place, byte) in self.text.as_bytes().get(..end)?.iter().enumerate().rev() {
            match byte {
                b')' => depth += 1,
                b'(' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(place..end);
            }
        }
        None
    }

    /// Between `CAST (` and `AS type)`.
    fn cast_argument(&self, cast: &nodes::TypeCast, at: usize) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        let own = self.text.get(at..)?;
        own.get(..4).filter(|word| word.eq_ignore_ascii_case("cast"))?;
        let open = scan::skip_space(bytes, at + 4).filter(|open| bytes.get(*open) == Some(&b'('))?;
        let type_at = usize::try_from(cast.type_name()?.location).ok()?;
        let before = self.text.get(open + 1..type_at)?.trim_end();
        let (argument, word) = before.split_at_checked(before.len().checked_sub(2)?)?;
        word.eq_ignore_ascii_case("as").then_some(open + 1..open + 1 + argument.trim_end().len())
    }

    /// Where the argument of a cast stands in the text, when that is a cast itself. A wrong guess fails the tree check.
    fn argument(&self, cast: &nodes::TypeCast, inner: &nodes::TypeCast) -> Option<Range<usize>> {
        let at = usize::try_from(cast.location).ok()?;
        let own = self.text.get(at..)?;
        if own.starts_with("::") {
            let leaf = match inner.arg() {
                Node::A_Const(constant) => constant.location,
                Node::ParamRef(parameter) => parameter.location,
                _ => return None,
            };
            // `CAST($1 AS text)::regclass` begins with its keyword, `$1::text::regclass` with its leaf.
            let start = leaf.min(inner.location);
            return Some(usize::try_from(start).ok()?..at);
        }
        self.cast_argument(cast, at)
    }

    /// `c.oid::regclass` -> `lanyard_catalog.regclass(c.oid)::regclass`: NULL for what the session does not see.
    fn through(&mut self, cast: &nodes::TypeCast, range: Range<usize>, function: &'static str) -> Verdict {
        let kept = range.start;
        self.through_as(cast, range, kept, function)
    }

    /// The same where only what stands from `kept` on goes into the call.
    fn through_as(
        &mut self,
        cast: &nodes::TypeCast,
        range: Range<usize>,
        kept: usize,
        function: &'static str,
    ) -> Verdict {
        let at = offset(cast.location)?;
        let text = |range: Range<usize>| self.text.get(range).map(str::to_owned).ok_or_else(not_spliced);
        let (argument, becomes) = (text(range.clone())?, text(kept..range.end)?);
        self.plan.edits.push(Edit::new(kept..kept, format!("{CATALOG_SCHEMA}.{function}(")));
        self.plan.edits.push(Edit::new(range.end..range.end, ")"));
        self.plan.changes.push(Change::Through { at, function, argument, becomes });
        Ok(())
    }

    /// An OID that may be of a relation of the session's own, which only the warehouse knows.
    fn may_be_own_oid(&self, text: &str) -> bool {
        self.context.workspace.is_some()
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|oid| oid >= FIRST_NORMAL_OID)
    }

    /// `'orders'::regclass` -> `'16401'::regclass`: the name is resolved here, the OID is the one the catalog shows.
    fn regclass(&mut self, literal: &nodes::A_Const, text: &str) -> Verdict {
        let at = offset(literal.location)?;
        if text.bytes().all(|b| b.is_ascii_digit()) {
            // What an OID is called is told for what is built in, and for what the session sees.
            let built_in = text.parse::<u32>().is_ok_and(|oid| oid < FIRST_NORMAL_OID);
            let seen = || self.context.entitlement.iter().any(|a| a.oid.to_string() == text);
            return if built_in || seen() {
                Ok(())
            } else {
                Err(Refusal::new(Code::UndefinedTable, format!("relation with OID {text} does not exist"))
                    .at(at))
            };
        }
        let parts = split_name(text).ok_or_else(|| {
            Refusal::new(Code::Policy, format!("regclass literal \"{text}\" is not a plain name")).at(at)
        })?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let target = match parts.as_slice() {
            [name] => resolve::relation(&self.context, self.names.temps(), None, None, name),
            [schema, name] => resolve::relation(&self.context, self.names.temps(), None, Some(schema), name),
            _ => {
                return Err(Refusal::new(Code::Unsupported, "a regclass literal has one or two parts").at(at));
            }
        };
        let text = match target.map_err(|refusal| refusal.at(at))? {
            Target::Virtual(_) => return Ok(()),
            Target::Governed(access) => access.oid.to_string(),
            Target::Own(schema) => {
                let name = parts.last().copied().unwrap_or_default();
                qualified(schema, name)
            }
        };
        self.literal(at, text)
    }

    /// The literal at this byte becomes this text.
    pub(super) fn literal(&mut self, at: usize, text: String) -> Verdict {
        let end = scan::string_end(self.text, at).ok_or_else(|| not_spliced().at(at))?;
        self.plan.edits.push(Edit::new(at..end, format!("'{}'", text.replace('\'', "''"))));
        self.plan.changes.push(Change::Literal { at, text });
        Ok(())
    }
}

/// A type whose text is the name of an object, and what the virtual catalog makes it from.
pub(super) struct Naming {
    pub(super) type_name: &'static str,
    /// From a literal name.
    of_text: Literals,
    /// From a column or parameter; absent where no client asks for that.
    of_oid: Option<&'static str>,
    array: bool,
}

/// Is it a type whose text is the name of an object?
pub(super) fn names_objects(name: Option<&nodes::TypeName>) -> bool {
    name.and_then(naming).is_some()
}

#[derive(Clone, Copy)]
pub(super) enum Literals {
    /// Through this function.
    Through(&'static str),
    /// As they are: names of what no policy hides.
    Plain,
    Refused,
}

pub(super) fn naming(name: &nodes::TypeName) -> Option<Naming> {
    let last = name.names().iter().next_back().and_then(nodes::String::sval)?;
    // An array type by its own name: `_regclass`.
    let (last, array) = match last.strip_prefix('_') {
        Some(element) => (element, true),
        None => (last, !name.array_bounds().is_empty()),
    };
    use Literals::{Plain, Refused, Through};
    let (type_name, of_text, of_oid) = match last {
        "regclass" => ("regclass", Through("regclass"), Some("regclass")),
        "regtype" => ("regtype", Through("to_regtype"), Some("_regtype")),
        "regproc" => ("regproc", Through("to_regproc"), Some("_regproc")),
        "regprocedure" => ("regprocedure", Through("to_regprocedure"), Some("_regprocedure")),
        "regnamespace" => ("regnamespace", Through("to_regnamespace"), Some("_regnamespace")),
        "regconfig" => ("regconfig", Plain, None),
        "regdictionary" => ("regdictionary", Plain, None),
        "regcollation" => ("regcollation", Plain, None),
        "regrole" => ("regrole", Refused, None),
        "regoper" => ("regoper", Refused, None),
        "regoperator" => ("regoperator", Refused, Some("_regoperator")),
        _ => return None,
    };
    Some(Naming { type_name, of_text, of_oid, array })
}

pub(super) fn is_text(cast: &nodes::TypeCast) -> bool {
    let name =
        cast.type_name().and_then(|name| name.names().iter().next_back().and_then(nodes::String::sval));
    matches!(name, Some("text" | "varchar" | "name"))
        && matches!(cast.arg(), Node::A_Const(_) | Node::ParamRef(_))
}

fn joins_texts(expression: &nodes::A_Expr) -> bool {
    let mut name = expression.name().iter().filter_map(Node::as_str);
    (name.next(), name.next()) == (Some("||"), None)
}

/// Functions whose result names nothing that the session does not see.
fn names_safely(call: &nodes::FuncCall) -> bool {
    let name = call.funcname().iter().next_back().and_then(|n| n.as_str());
    name.is_some_and(|name| {
        let named = name.starts_with("to_reg") || name == "pg_get_serial_sequence";
        name == "pg_typeof" || (named && virtual_catalog::function(name).is_some())
    })
}

pub(super) fn literal_text(constant: &nodes::A_Const) -> Option<&str> {
    match constant.val()? {
        pg_raw_parse::ConstValue::String(text) => Some(text),
        _ => None,
    }
}

/// Splits `schema."Table"` as regclassin does: dots separate, quotes keep case, the rest is folded.
pub(super) fn split_name(text: &str) -> Option<Vec<String>> {
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
