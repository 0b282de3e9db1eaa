//! Tables, views, indexes and sequences of the session's own: what their definitions may say.
//!
//! Foreign keys, parents and partitions are the session's own too. Called by `own`.

use pg_raw_parse::{Node, nodes, raw};

use crate::entitlement::Operation;
use crate::refusal::{Code, Refusal};

use super::super::judge::not_spliced;
use super::super::paths::Step;
use super::super::resolve::TEMPORARY;
use super::super::statement::{Verdict, Walk};
use super::{may_be_called, storage};

/// Types that stand for an integer with a sequence; only a column's definition knows them.
const SERIALS: [&str; 6] = ["serial", "serial4", "bigserial", "serial8", "smallserial", "serial2"];
/// Options of a sequence.
const SEQUENCE_OPTIONS: [&str; 9] =
    ["increment", "minvalue", "maxvalue", "start", "restart", "cache", "cycle", "as", "logged"];
/// Options of VACUUM and ANALYZE.
const VACUUM_OPTIONS: [&str; 13] = [
    "analyze",
    "verbose",
    "full",
    "freeze",
    "disable_page_skipping",
    "skip_locked",
    "index_cleanup",
    "process_main",
    "process_toast",
    "truncate",
    "parallel",
    "buffer_usage_limit",
    "skip_database_stats",
];

impl<'t> Walk<'t, '_> {
    pub(super) fn create_table(&mut self, create: &'t nodes::CreateStmt) -> Result<&'static str, Refusal> {
        storage(create.access_method(), create.tablespacename())?;
        let until_commit = create.oncommit == raw::OnCommitAction::ONCOMMIT_DROP;
        self.made(create.relation(), until_commit)?;
        for parent in create.inh_relations().iter() {
            self.existing_node(parent, "alter")?;
        }
        if let Some(bound) = create.partbound() {
            self.bound(bound);
        }
        if let Some(spec) = create.partspec() {
            for element in spec.part_params().iter() {
                plain_name(element.collation())?;
                plain_name(element.opclass())?;
                self.stored(element.expr());
            }
        }
        if create.of_typename().is_some() {
            self.type_name(create.of_typename())?;
        }
        for element in create.table_elts().iter() {
            self.push(element, 1, 0);
        }
        for constraint in create.constraints().iter() {
            self.constraint(constraint)?;
        }
        for constraint in create.nnconstraints().iter() {
            self.push(constraint, 1, 0);
        }
        Ok("CREATE TABLE")
    }

    fn bound(&mut self, bound: &'t nodes::PartitionBoundSpec) {
        for list in [bound.listdatums(), bound.lowerdatums(), bound.upperdatums()] {
            for datum in list.iter() {
                self.push(datum, 1, 0);
            }
        }
    }

    /// An expression that stays in a definition.
    fn stored(&mut self, expression: Node<'t>) {
        self.own.stores |= !matches!(expression, Node::None);
        self.push(expression, 1, 0);
    }

    /// `LIKE t`: of the session's own, or the columns of a relation it may read.
    pub(in super::super) fn like(&mut self, like: &'t nodes::TableLikeClause) -> Verdict {
        let relation = like.relation().ok_or_else(not_spliced)?;
        self.relation(relation, Operation::Read, true)
    }

    pub(in super::super) fn column_definition(&mut self, column: &'t nodes::ColumnDef) -> Verdict {
        if let Some(name) = column.type_name() {
            let mut names = name.names().iter().filter_map(nodes::String::sval);
            let serial =
                matches!((names.next(), names.next()), (Some(name), None) if SERIALS.contains(&name));
            if !(serial && !name.pct_type && name.array_bounds().is_empty()) {
                self.type_name(Some(name))?;
            }
        }
        if let Some(collate) = column.coll_clause() {
            plain_name(collate.collname())?;
        }
        if !column.fdwoptions().is_empty() || column.identity_sequence().is_some() {
            return Err(not_spliced());
        }
        self.stored(column.raw_default());
        self.stored(column.cooked_default());
        for constraint in column.constraints().iter() {
            match constraint {
                Node::Constraint(constraint) => self.constraint(constraint)?,
                Node::CollateClause(collate) => plain_name(collate.collname())?,
                _ => return Err(not_spliced()),
            }
        }
        Ok(())
    }

    pub(in super::super) fn constraint(&mut self, constraint: &'t nodes::Constraint) -> Verdict {
        storage(None, constraint.indexspace())?;
        if constraint.contype == raw::ConstrType::CONSTR_IDENTITY {
            self.sequence_options(constraint.options())?;
        }
        if let Some(parent) = constraint.pktable() {
            if self.is_being_made(parent) {
                self.qualify(parent, TEMPORARY.to_owned())?;
            } else if !self.is_own(parent) {
                return Err(Refusal::new(
                    Code::Policy,
                    format!("permission denied for table {}", parent.relname().unwrap_or_default()),
                )
                .hint("a foreign key would tell which values exist; refer to tables of your own"));
            } else {
                self.existing(Some(parent), "read")?;
            }
        }
        for exclusion in constraint.exclusions().iter() {
            let Node::NodeList(pair) = exclusion else { return Err(not_spliced()) };
            for part in pair.iter() {
                match part {
                    Node::IndexElem(element) => self.index_element(element)?,
                    Node::NodeList(operator) => self.operator(operator)?,
                    _ => return Err(not_spliced()),
                }
            }
        }
        self.stored(constraint.raw_expr());
        self.stored(constraint.where_clause());
        Ok(())
    }

    pub(super) fn create_table_as(
        &mut self,
        create: &'t nodes::CreateTableAsStmt,
    ) -> Result<&'static str, Refusal> {
        let Node::SelectStmt(_) = create.query() else {
            return Err(Refusal::new(Code::Policy, "CREATE TABLE AS EXECUTE is not allowed")
                .hint("write the query out"));
        };
        let stores = create.objtype == raw::ObjectType::OBJECT_MATVIEW;
        self.into(create.into().ok_or_else(not_spliced)?, stores)?;
        self.push(create.query(), 1, 0);
        Ok(if stores { "CREATE MATERIALIZED VIEW" } else { "CREATE TABLE AS" })
    }

    pub(super) fn create_view(&mut self, view: &'t nodes::ViewStmt) -> Result<&'static str, Refusal> {
        self.made(view.view(), false)?;
        self.own.stores = true;
        self.push(view.query(), 1, 0);
        Ok("CREATE VIEW")
    }

    pub(super) fn create_index(&mut self, index: &'t nodes::IndexStmt) -> Result<&'static str, Refusal> {
        storage(None, index.table_space())?;
        let schema = self.existing(index.relation(), "alter")?;
        if let Some(name) = index.idxname() {
            may_be_called(name)?;
            if schema == TEMPORARY {
                self.temporary(Step::Made { name: name.into(), until_commit: false });
            }
        }
        for element in index.index_params().iter() {
            self.index_element(element)?;
        }
        for element in index.index_including_params().iter() {
            let Node::IndexElem(element) = element else { return Err(not_spliced()) };
            self.index_element(element)?;
        }
        self.stored(index.where_clause());
        Ok("CREATE INDEX")
    }

    fn index_element(&mut self, element: &'t nodes::IndexElem) -> Verdict {
        plain_name(element.collation())?;
        plain_name(element.opclass())?;
        self.stored(element.expr());
        Ok(())
    }

    pub(super) fn create_sequence(
        &mut self,
        create: &'t nodes::CreateSeqStmt,
    ) -> Result<&'static str, Refusal> {
        self.made(create.sequence(), false)?;
        self.sequence_options(create.options())?;
        Ok("CREATE SEQUENCE")
    }

    pub(super) fn alter_sequence(&mut self, alter: &'t nodes::AlterSeqStmt) -> Result<&'static str, Refusal> {
        self.existing(alter.sequence(), "alter")?;
        self.sequence_options(alter.options())?;
        Ok("ALTER SEQUENCE")
    }

    fn sequence_options(&mut self, options: &'t pg_raw_parse::list::NodeList) -> Verdict {
        for option in options.iter() {
            let Node::DefElem(option) = option else { return Err(not_spliced()) };
            let name = option.defname().unwrap_or_default();
            let unowned = || {
                let Node::NodeList(names) = option.arg() else { return false };
                let names: Vec<&str> = names.iter().filter_map(Node::as_str).collect();
                names == ["none"] || matches!(names.as_slice(), [schema, _, _] if *schema == self.home())
            };
            match name {
                "owned_by" if unowned() => {}
                "as" => match option.arg() {
                    Node::TypeName(name) => self.type_name(Some(name))?,
                    _ => return Err(not_spliced()),
                },
                name if SEQUENCE_OPTIONS.contains(&name) => {}
                name => {
                    return Err(Refusal::new(
                        Code::Unsupported,
                        format!("sequence option \"{name}\" is not supported"),
                    )
                    .hint(format!("write OWNED BY with the schema: {}.table.column", self.home())));
                }
            }
        }
        Ok(())
    }

    pub(super) fn alter_table(&mut self, alter: &'t nodes::AlterTableStmt) -> Result<&'static str, Refusal> {
        use raw::ObjectType::{
            OBJECT_INDEX, OBJECT_MATVIEW, OBJECT_SEQUENCE, OBJECT_TABLE, OBJECT_TYPE, OBJECT_VIEW,
        };
        let kind = match alter.objtype {
            OBJECT_TABLE => "ALTER TABLE",
            OBJECT_INDEX => "ALTER INDEX",
            OBJECT_VIEW => "ALTER VIEW",
            OBJECT_MATVIEW => "ALTER MATERIALIZED VIEW",
            OBJECT_SEQUENCE => "ALTER SEQUENCE",
            OBJECT_TYPE => "ALTER TYPE",
            _ => return Err(self.not_allowed()),
        };
        self.existing(alter.relation(), "alter")?;
        for command in alter.cmds().iter() {
            let Node::AlterTableCmd(command) = command else { return Err(not_spliced()) };
            self.alter_command(command)?;
        }
        Ok(kind)
    }

    fn alter_command(&mut self, command: &'t nodes::AlterTableCmd) -> Verdict {
        use raw::AlterTableType as At;
        match command.subtype {
            At::AT_AddColumn | At::AT_AlterColumnType => match command.def() {
                Node::ColumnDef(column) => self.column_definition(column),
                _ => Err(not_spliced()),
            },
            At::AT_ColumnDefault | At::AT_SetExpression => {
                self.stored(command.def());
                Ok(())
            }
            At::AT_AddConstraint => match command.def() {
                Node::Constraint(constraint) => self.constraint(constraint),
                _ => Err(not_spliced()),
            },
            At::AT_AddIdentity => match command.def() {
                Node::Constraint(identity) => self.sequence_options(identity.options()),
                _ => Err(not_spliced()),
            },
            At::AT_SetIdentity => match command.def() {
                Node::NodeList(options) => self.identity_options(options),
                _ => Err(not_spliced()),
            },
            At::AT_AddInherit | At::AT_DropInherit => self.existing_node(command.def(), "alter"),
            At::AT_AttachPartition | At::AT_DetachPartition | At::AT_DetachPartitionFinalize => match command.def() {
                Node::PartitionCmd(partition) => {
                    if let Some(bound) = partition.bound() {
                        self.bound(bound);
                    }
                    self.existing(partition.name(), "alter").map(|_| ())
                }
                _ => Err(not_spliced()),
            },
            At::AT_DropNotNull | At::AT_SetNotNull | At::AT_DropExpression | At::AT_SetStatistics | At::AT_SetOptions
            | At::AT_ResetOptions | At::AT_SetStorage | At::AT_SetCompression | At::AT_DropColumn | At::AT_AlterConstraint
            | At::AT_ValidateConstraint | At::AT_DropConstraint | At::AT_ClusterOn | At::AT_DropCluster | At::AT_SetLogged
            | At::AT_SetUnLogged | At::AT_SetRelOptions | At::AT_ResetRelOptions | At::AT_DropIdentity => Ok(()),
            _ => Err(Refusal::new(Code::Policy, "this form of ALTER TABLE is not allowed").hint(
                "columns, constraints, defaults, names and storage can be altered; owners, triggers and row security not",
            )),
        }
    }

    /// `ALTER COLUMN c SET GENERATED …`: the same options, and when it is generated.
    fn identity_options(&mut self, options: &'t pg_raw_parse::list::NodeList) -> Verdict {
        for option in options.iter() {
            let name = match option {
                Node::DefElem(option) => option.defname().unwrap_or_default(),
                _ => return Err(not_spliced()),
            };
            if name != "generated" && !SEQUENCE_OPTIONS.contains(&name) || name == "as" {
                return Err(not_spliced());
            }
        }
        Ok(())
    }

    pub(super) fn vacuum(&mut self, vacuum: &'t nodes::VacuumStmt) -> Result<&'static str, Refusal> {
        for option in vacuum.options().iter() {
            let name = option.defname().unwrap_or_default().to_ascii_lowercase();
            if !VACUUM_OPTIONS.contains(&name.as_str()) {
                return Err(Refusal::new(Code::Policy, format!("option \"{name}\" is not allowed here")));
            }
        }
        if vacuum.rels().is_empty() {
            return Err(Refusal::new(Code::Policy, "VACUUM and ANALYZE of everything are not allowed")
                .hint("name tables of your own"));
        }
        for relation in vacuum.rels().iter() {
            self.existing(relation.relation(), "alter")?;
        }
        Ok(if vacuum.is_vacuumcmd { "VACUUM" } else { "ANALYZE" })
    }
}

/// A collation or operator class: by its bare name, or PostgreSQL's own.
fn plain_name(name: &pg_raw_parse::list::NodeList) -> Verdict {
    let parts: Vec<&str> = name.iter().filter_map(Node::as_str).collect();
    match parts.as_slice() {
        [] | [_] | ["pg_catalog", _] => Ok(()),
        _ => Err(Refusal::new(Code::UndefinedObject, format!("\"{}\" does not exist", parts.join(".")))),
    }
}
