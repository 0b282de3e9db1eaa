//! CREATE, ALTER, DROP and their like: of what is the session's own and nothing else.
//!
//! Objects are made in the schema of the session's own (`crate::workspace`) or as temporary ones; every name is sent with its
//! schema, so that no search path can move it, and every expression in a definition is walked like any other. What is kept may
//! refer neither to governed relations nor to system catalogs: it would hold back the owners of those, and outlive a change of
//! policy. Who has no workspace gets nothing of this. Called by the walk in `utility`.

mod objects;
mod sequence;
mod table;

use std::sync::Arc;

use pg_raw_parse::{Node, nodes, raw};

use crate::record::ObjectUse;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::{Effect, not_spliced};
use super::paths::Step;
use super::plan::Change;
use super::resolve::{self, TEMPORARY, Target, qualified, quote};
use super::statement::{Verdict, Walk, offset, parts};

/// What one statement makes or changes of the session's own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnWork<'t> {
    /// The temporary table that is being made: its foreign keys may refer to itself.
    making: Option<&'t str>,
    /// A SELECT INTO has been judged, and the walk may pass it.
    pub(super) into: bool,
    /// What is stored is an expression that goes on reading: a view, a default.
    stores: bool,
    /// A governed relation or its row is named.
    pub(super) reads_governed: bool,
    /// A system catalog is named, or a function that stands in for one of its.
    pub(super) reads_catalogs: bool,
}

/// Where something is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Workspace,
    Temporary,
}

impl<'t> Walk<'t, '_> {
    /// Statements about what is the session's own; `None` for all others, and for all where it has no workspace.
    pub(super) fn own_work(&mut self, raw: &'t nodes::RawStmt) -> Result<Option<&'static str>, Refusal> {
        if self.context.workspace.is_none() {
            return Ok(None);
        }
        Ok(Some(match raw.stmt() {
            Node::SelectStmt(select) => match leftmost(select).into_clause() {
                Some(into) => {
                    self.into(into, false)?;
                    self.own.into = true;
                    self.push(raw.stmt(), 0, 0);
                    "SELECT INTO"
                }
                None => return Ok(None),
            },
            Node::CreateStmt(create) => self.create_table(create)?,
            Node::CreateTableAsStmt(create) => self.create_table_as(create)?,
            Node::ViewStmt(view) => self.create_view(view)?,
            Node::RefreshMatViewStmt(refresh) => {
                self.existing(refresh.relation(), "alter")?;
                "REFRESH MATERIALIZED VIEW"
            }
            Node::IndexStmt(index) => self.create_index(index)?,
            Node::CreateSeqStmt(create) => self.create_sequence(create)?,
            Node::AlterSeqStmt(alter) => self.alter_sequence(alter)?,
            Node::AlterTableStmt(alter) => self.alter_table(alter)?,
            Node::RenameStmt(rename) => self.rename_own(raw, rename)?,
            Node::CreateEnumStmt(create) => self.create_enum(raw, create)?,
            Node::AlterEnumStmt(alter) => self.alter_enum(raw, alter)?,
            Node::CompositeTypeStmt(create) => self.create_composite(create)?,
            Node::CreateDomainStmt(create) => self.create_domain(raw, create)?,
            Node::DropStmt(drop) => self.drop_own(raw, drop)?,
            Node::CommentStmt(comment) => self.comment(raw, comment)?,
            Node::TruncateStmt(truncate) => {
                for relation in truncate.relations().iter() {
                    self.existing_node(relation, "write")?;
                }
                "TRUNCATE"
            }
            Node::VacuumStmt(vacuum) => self.vacuum(vacuum)?,
            Node::ConstraintsSetStmt(set) => {
                for constraint in set.constraints().iter() {
                    self.own_constraint(constraint)?;
                }
                "SET CONSTRAINTS"
            }
            Node::CreateFunctionStmt(_) | Node::DoStmt(_) => {
                return Err(Refusal::new(Code::Policy, "functions cannot be made here")
                    .hint("a function's body is SQL that policy cannot judge; write the statements out"));
            }
            Node::CreateRangeStmt(_) => {
                return Err(Refusal::new(Code::Policy, "range types cannot be made here").hint(
                    "functions come with a range type; enums, domains and composite types can be made",
                ));
            }
            Node::CreateSchemaStmt(_) => {
                return Err(Refusal::new(Code::Policy, "schemas cannot be made here")
                    .hint(format!("leave the schema out: tables go to {}", self.home())));
            }
            _ => return Ok(None),
        }))
    }

    /// The walk of a statement is over.
    pub(super) fn own_work_done(&self) -> Verdict {
        if self.own.into {
            return Err(not_spliced());
        }
        if self.own.stores && (self.own.reads_governed || self.own.reads_catalogs) {
            return Err(Refusal::new(
                Code::Unsupported,
                "what is kept cannot refer to governed relations or system catalogs",
            )
            .hint("copy the rows with CREATE TABLE ... AS; a view may stand over tables of your own"));
        }
        Ok(())
    }

    fn home(&self) -> &str {
        self.context.workspace.unwrap_or_default()
    }

    /// Puts a use of something of the session's own on record.
    pub(super) fn note_own(&mut self, schema: &str, name: &str, operation: &'static str) {
        self.note(ObjectUse {
            relation: format!("{schema}.{name}"),
            operation,
            filters: Vec::new(),
            masks: Vec::new(),
            shadow: Vec::new(),
        });
    }

    /// Is it the session's own?
    pub(super) fn is_own(&self, relation: &nodes::RangeVar) -> bool {
        let name = relation.relname().unwrap_or_default();
        let (database, schema) = (relation.catalogname(), relation.schemaname());
        let target = resolve::relation(&self.context, self.names.temps(), database, schema, name);
        matches!(target, Ok(Target::Own(_)))
    }

    /// Is it the temporary table of this very statement, which is in nobody's list yet?
    fn is_being_made(&self, relation: &nodes::RangeVar) -> bool {
        self.own.making.is_some()
            && relation.relname() == self.own.making
            && relation.catalogname().is_none()
            && relation.schemaname().is_none_or(resolve::is_temporary)
    }

    /// A relation that is to be changed: of the session's own, or nothing. Its schema.
    fn existing(
        &mut self,
        relation: Option<&'t nodes::RangeVar>,
        operation: &'static str,
    ) -> Result<&'static str, Refusal> {
        let relation = relation.ok_or_else(not_spliced)?;
        let at = offset(relation.location)?;
        let name = relation.relname().unwrap_or_default();
        let (database, schema) = (relation.catalogname(), relation.schemaname());
        let target = resolve::relation(&self.context, self.names.temps(), database, schema, name);
        let schema = match target.map_err(|refusal| refusal.at(at))? {
            Target::Own(schema) => schema.to_owned(),
            Target::Governed(_) | Target::Virtual(_) => return Err(self.not_owner(name).at(at)),
        };
        self.note_own(&schema, name, operation);
        let temporary = schema == TEMPORARY;
        self.qualify(relation, schema)?;
        Ok(if temporary { TEMPORARY } else { "" })
    }

    pub(super) fn existing_node(&mut self, relation: Node<'t>, operation: &'static str) -> Verdict {
        match relation {
            Node::RangeVar(relation) => self.existing(Some(relation), operation).map(|_| ()),
            _ => Err(not_spliced()),
        }
    }

    /// The relation's name gets this schema, and no alias.
    fn qualify(&mut self, relation: &nodes::RangeVar, schema: String) -> Verdict {
        let at = offset(relation.location)?;
        let name = relation.relname().unwrap_or_default().to_owned();
        let end = self.name_end(at, parts(relation))?;
        self.plan.edits.push(Edit::new(at..end, qualified(&schema, &name)));
        self.plan.changes.push(Change::Relation { at, schema, name, alias: None });
        Ok(())
    }

    /// A constraint by its name, which along the search path could be anybody's.
    fn own_constraint(&mut self, name: Node<'t>) -> Verdict {
        let Node::RangeVar(name) = name else { return Err(not_spliced()) };
        if name.catalogname().is_some() || name.schemaname().is_some_and(|schema| schema != self.home()) {
            return Err(self.not_owner(name.relname().unwrap_or_default()).at(offset(name.location)?));
        }
        self.qualify(name, self.home().to_owned())
    }

    fn not_owner(&self, name: &str) -> Refusal {
        Refusal::new(Code::Policy, format!("must be owner of relation {name}"))
            .hint(format!("only what stands in schema {} and temporary tables can be changed", self.home()))
    }

    /// A relation that is to be made.
    fn made(&mut self, relation: Option<&'t nodes::RangeVar>, until_commit: bool) -> Result<Home, Refusal> {
        const RELPERSISTENCE_TEMP: i8 = b't' as i8;
        let relation = relation.ok_or_else(not_spliced)?;
        let at = offset(relation.location)?;
        let name = relation.relname().unwrap_or_default();
        let temporary = relation.relpersistence == RELPERSISTENCE_TEMP;
        if relation.catalogname().is_some_and(|database| database != self.context.database) {
            return Err(
                Refusal::new(Code::Unsupported, "cross-database references are not implemented").at(at)
            );
        }
        let home = match relation.schemaname() {
            None if temporary => Home::Temporary,
            Some(schema) if resolve::is_temporary(schema) => Home::Temporary,
            Some(_) if temporary => {
                return Err(Refusal::new(
                    Code::Syntax,
                    "cannot create temporary relation in non-temporary schema",
                )
                .at(at));
            }
            schema => {
                self.home_of(schema, name).map_err(|refusal| refusal.at(at))?;
                Home::Workspace
            }
        };
        may_be_called(name).map_err(|refusal| refusal.at(at))?;
        match home {
            Home::Workspace => {
                let schema = self.home().to_owned();
                self.note_own(&schema, name, "create");
                self.qualify(relation, schema)?;
            }
            Home::Temporary => {
                self.note_own(TEMPORARY, name, "create");
                // Without a schema in front PostgreSQL makes it there by itself.
                if relation.schemaname().is_some() {
                    self.qualify(relation, TEMPORARY.to_owned())?;
                }
                self.own.making = Some(name);
                self.temporary(Step::Made { name: Arc::from(name), until_commit });
            }
        }
        Ok(home)
    }

    /// May something of that name be made under that schema's name, as a bare name where there is none?
    fn home_of(&self, schema: Option<&str>, name: &str) -> Verdict {
        match schema {
            Some(schema) if schema == self.home() => Ok(()),
            Some(schema) => Err(Refusal::new(Code::Policy, format!("permission denied for schema {schema}"))
                .hint(format!("leave the schema out: what you make goes to {}", self.home()))),
            // The bare name would go on meaning the granted relation.
            None if resolve::granted(&self.context, name).is_some() => {
                Err(Refusal::new(Code::DuplicateTable, format!("relation \"{name}\" already exists"))
                    .hint(format!("give it another name, or write {}.{}", self.home(), quote(name))))
            }
            None => Ok(()),
        }
    }

    fn temporary(&mut self, step: Step) {
        self.plan.effects.push((self.index, Effect::Path(step)));
    }

    /// INTO of a SELECT, or of a CREATE TABLE AS.
    fn into(&mut self, into: &'t nodes::IntoClause, stores: bool) -> Verdict {
        self.own.stores |= stores;
        storage(into.access_method(), into.table_space_name())?;
        let until_commit = into.on_commit == raw::OnCommitAction::ONCOMMIT_DROP;
        self.made(into.rel(), until_commit).map(|_| ())
    }
}

/// The arm of a set operation that carries its INTO, and that says how many columns there are.
pub(super) fn leftmost(mut select: &nodes::SelectStmt) -> &nodes::SelectStmt {
    while let Some(left) = select.larg() {
        select = left;
    }
    select
}

/// A name of a system catalog would be read as that.
fn may_be_called(name: &str) -> Verdict {
    if name.starts_with("pg_") || name.starts_with("lanyard_") {
        return Err(Refusal::new(Code::Policy, format!("the name \"{name}\" is reserved"))
            .hint("names starting with \"pg_\" or \"lanyard_\" are the system's"));
    }
    Ok(())
}

/// Tables are stored in the usual way at the usual place.
fn storage(method: Option<&str>, tablespace: Option<&str>) -> Verdict {
    if method.is_some_and(|method| method != "heap") || tablespace.is_some_and(|place| place != "pg_default")
    {
        return Err(Refusal::new(Code::Policy, "table access methods and tablespaces cannot be chosen here"));
    }
    Ok(())
}
