//! DROP, COMMENT, renames, and types of the session's own: statements that name objects as lists of words.
//!
//! Such names have no place in the tree, so small statements are written anew from the fields that the grammar gives them, each
//! of them looked at: everything is quoted, and a field that nobody knows refuses. Called by `own`.

use std::fmt::Write as _;

use pg_raw_parse::{Node, nodes, raw};

use crate::refusal::{Code, Refusal};

use super::super::edit::Edit;
use super::super::judge::not_spliced;
use super::super::paths::Step;
use super::super::plan::Change;
use super::super::resolve::{self, TEMPORARY, qualified, quote};
use super::super::statement::Walk;
use super::super::types::plain_name;
use super::may_be_called;

/// A name of something of the session's own, quoted with its schema.
struct Named<'t> {
    schema: String,
    name: &'t str,
}

impl Named<'_> {
    fn quoted(&self) -> String {
        qualified(&self.schema, self.name)
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The words of a name.
fn words(name: Node<'_>) -> Option<Vec<&str>> {
    match name {
        Node::NodeList(list) => list.iter().map(Node::as_str).collect(),
        Node::TypeName(name) if name.array_bounds().is_empty() && !name.pct_type && !name.setof => {
            name.names().iter().map(nodes::String::sval).collect()
        }
        _ => None,
    }
}

impl<'t> Walk<'t, '_> {
    /// What these words name, among what is the session's own.
    fn named_own(&mut self, words: &[&'t str], operation: &'static str) -> Result<Named<'t>, Refusal> {
        let (schema, name) = match words {
            [name] if resolve::granted(&self.context, name).is_some() && !self.names.temps().holds(name) => {
                return Err(self.not_owner(name));
            }
            [name] => (resolve::own(&self.context, self.names.temps(), name), *name),
            [schema, name] => (resolve::own_schema(&self.context, schema), *name),
            _ => (None, ""),
        };
        let Some(schema) = schema.map(str::to_owned) else {
            let shown = words.join(".");
            return Err(Refusal::new(Code::UndefinedTable, format!("\"{shown}\" does not exist"))
                .hint(format!("only what stands in schema {} can be changed", self.home())));
        };
        self.note_own(&schema, name, operation);
        Ok(Named { schema, name })
    }

    /// A type that is to be made.
    fn new_type(&mut self, words: &[&'t str]) -> Result<Named<'t>, Refusal> {
        let (schema, name) = match words {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            _ => return Err(not_spliced()),
        };
        self.home_of(schema, name)?;
        may_be_called(name)?;
        let schema = self.home().to_owned();
        self.note_own(&schema, name, "create");
        Ok(Named { schema, name })
    }

    pub(super) fn drop_own(
        &mut self,
        raw: &'t nodes::RawStmt,
        drop: &'t nodes::DropStmt,
    ) -> Result<&'static str, Refusal> {
        use raw::ObjectType::{
            OBJECT_DOMAIN, OBJECT_INDEX, OBJECT_MATVIEW, OBJECT_SEQUENCE, OBJECT_TABLE, OBJECT_TYPE,
            OBJECT_VIEW,
        };
        let kind = match drop.remove_type {
            OBJECT_TABLE => "DROP TABLE",
            OBJECT_VIEW => "DROP VIEW",
            OBJECT_MATVIEW => "DROP MATERIALIZED VIEW",
            OBJECT_SEQUENCE => "DROP SEQUENCE",
            OBJECT_INDEX => "DROP INDEX",
            OBJECT_TYPE => "DROP TYPE",
            OBJECT_DOMAIN => "DROP DOMAIN",
            _ => return Err(self.not_allowed()),
        };
        let mut text = kind.to_owned();
        text.push_str(if drop.concurrent { " CONCURRENTLY" } else { "" });
        text.push_str(if drop.missing_ok { " IF EXISTS" } else { "" });
        for (place, object) in drop.objects().iter().enumerate() {
            let words = words(object).ok_or_else(not_spliced)?;
            let named = self.named_own(&words, "drop")?;
            text.push_str(if place == 0 { " " } else { ", " });
            text.push_str(&named.quoted());
            if named.schema == TEMPORARY {
                self.temporary(Step::Gone(named.name.into()));
            }
        }
        if drop.behavior == raw::DropBehavior::DROP_CASCADE {
            text.push_str(" CASCADE");
        }
        self.replace(raw, text)?;
        Ok(kind)
    }

    pub(super) fn comment(
        &mut self,
        raw: &'t nodes::RawStmt,
        comment: &'t nodes::CommentStmt,
    ) -> Result<&'static str, Refusal> {
        use raw::ObjectType::{
            OBJECT_COLUMN, OBJECT_DOMAIN, OBJECT_INDEX, OBJECT_MATVIEW, OBJECT_SEQUENCE,
            OBJECT_TABCONSTRAINT, OBJECT_TABLE, OBJECT_TYPE, OBJECT_VIEW,
        };
        let words = words(comment.object()).ok_or_else(not_spliced)?;
        let (kind, last) = match comment.objtype {
            OBJECT_TABLE => ("TABLE", false),
            OBJECT_VIEW => ("VIEW", false),
            OBJECT_MATVIEW => ("MATERIALIZED VIEW", false),
            OBJECT_INDEX => ("INDEX", false),
            OBJECT_SEQUENCE => ("SEQUENCE", false),
            OBJECT_TYPE => ("TYPE", false),
            OBJECT_DOMAIN => ("DOMAIN", false),
            OBJECT_COLUMN => ("COLUMN", true),
            OBJECT_TABCONSTRAINT => ("CONSTRAINT", true),
            _ => return Err(self.not_allowed()),
        };
        let (relation, part) = match words.as_slice() {
            [relation @ .., part] if last => (relation, Some(*part)),
            whole => (whole, None),
        };
        let named = self.named_own(relation, "alter")?.quoted();
        let object = match (kind, part) {
            (_, None) => named,
            ("CONSTRAINT", Some(part)) => format!("{} ON {named}", quote(part)),
            (_, Some(part)) => format!("{named}.{}", quote(part)),
        };
        let said = comment.comment().map_or_else(|| "NULL".to_owned(), literal);
        self.replace(raw, format!("COMMENT ON {kind} {object} IS {said}"))?;
        Ok("COMMENT")
    }

    /// `ALTER … RENAME`: the new name has no schema, and means what a new object's would.
    pub(super) fn rename_own(
        &mut self,
        raw: &'t nodes::RawStmt,
        rename: &'t nodes::RenameStmt,
    ) -> Result<&'static str, Refusal> {
        use raw::ObjectType::{
            OBJECT_ATTRIBUTE, OBJECT_COLUMN, OBJECT_INDEX, OBJECT_MATVIEW, OBJECT_SEQUENCE,
            OBJECT_TABCONSTRAINT, OBJECT_TABLE, OBJECT_TYPE, OBJECT_VIEW,
        };
        let new = rename.newname().unwrap_or_default();
        match rename.rename_type {
            OBJECT_COLUMN | OBJECT_TABCONSTRAINT | OBJECT_ATTRIBUTE => {
                self.existing(rename.relation(), "alter")?;
            }
            OBJECT_TABLE | OBJECT_VIEW | OBJECT_MATVIEW | OBJECT_SEQUENCE | OBJECT_INDEX => {
                may_be_called(new)?;
                if self.existing(rename.relation(), "alter")? == TEMPORARY {
                    let old = rename.relation().and_then(nodes::RangeVar::relname).unwrap_or_default();
                    self.temporary(Step::Gone(old.into()));
                    self.temporary(Step::Made { name: new.into(), until_commit: false });
                } else {
                    self.home_of(None, new)?;
                }
            }
            OBJECT_TYPE => {
                let words = words(rename.object()).ok_or_else(not_spliced)?;
                may_be_called(new)?;
                let named = self.named_own(&words, "alter")?.quoted();
                self.replace(raw, format!("ALTER TYPE {named} RENAME TO {}", quote(new)))?;
            }
            _ => return Err(self.not_allowed()),
        }
        Ok("ALTER")
    }

    pub(super) fn create_enum(
        &mut self,
        raw: &'t nodes::RawStmt,
        create: &'t nodes::CreateEnumStmt,
    ) -> Result<&'static str, Refusal> {
        let words: Vec<&str> = create.type_name().iter().filter_map(nodes::String::sval).collect();
        let named = self.new_type(&words)?;
        let values: Vec<String> = create.vals().iter().filter_map(nodes::String::sval).map(literal).collect();
        self.replace(raw, format!("CREATE TYPE {} AS ENUM ({})", named.quoted(), values.join(", ")))?;
        Ok("CREATE TYPE")
    }

    pub(super) fn alter_enum(
        &mut self,
        raw: &'t nodes::RawStmt,
        alter: &'t nodes::AlterEnumStmt,
    ) -> Result<&'static str, Refusal> {
        let words: Vec<&str> = alter.type_name().iter().filter_map(nodes::String::sval).collect();
        let mut text = format!("ALTER TYPE {}", self.named_own(&words, "alter")?.quoted());
        let new = literal(alter.new_val().ok_or_else(not_spliced)?);
        // INVARIANT: writing to a String cannot fail.
        match alter.old_val() {
            Some(old) => write!(text, " RENAME VALUE {} TO {new}", literal(old)),
            None => {
                let missing = if alter.skip_if_new_val_exists { " IF NOT EXISTS" } else { "" };
                let place = match alter.new_val_neighbor() {
                    None => String::new(),
                    Some(next) if alter.new_val_is_after => format!(" AFTER {}", literal(next)),
                    Some(next) => format!(" BEFORE {}", literal(next)),
                };
                write!(text, " ADD VALUE{missing} {new}{place}")
            }
        }
        .expect("writing to a String");
        self.replace(raw, text)?;
        Ok("ALTER TYPE")
    }

    pub(super) fn create_composite(
        &mut self,
        create: &'t nodes::CompositeTypeStmt,
    ) -> Result<&'static str, Refusal> {
        if self.made(create.typevar(), false)? == super::Home::Temporary {
            return Err(Refusal::new(Code::Unsupported, "temporary types are not supported"));
        }
        for column in create.coldeflist().iter() {
            self.column_definition(column)?;
        }
        Ok("CREATE TYPE")
    }

    /// `CREATE DOMAIN name AS …`: the expressions of its constraints are walked, so the rest of the text stays.
    pub(super) fn create_domain(
        &mut self,
        raw: &'t nodes::RawStmt,
        create: &'t nodes::CreateDomainStmt,
    ) -> Result<&'static str, Refusal> {
        let words: Vec<&str> = create.domainname().iter().filter_map(nodes::String::sval).collect();
        let named = self.new_type(&words)?;
        let at = self.keyword(raw, &["create", "domain"])?;
        let end = self.name_end(at, words.len())?;
        self.plan.edits.push(Edit::new(at..end, named.quoted()));
        let (schema, name) = (named.schema, named.name.to_owned());
        self.plan.changes.push(Change::Domain { index: self.index, schema, name });
        self.type_name(create.type_name())?;
        if let Some(collate) = create.coll_clause() {
            plain_name(collate.collname())?;
        }
        for constraint in create.constraints().iter() {
            self.constraint(constraint)?;
        }
        Ok("CREATE DOMAIN")
    }
}
