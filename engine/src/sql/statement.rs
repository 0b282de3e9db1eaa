//! The walk over a statement's tree: iterative, bounded, by allow-list of node kinds, with CTE scopes.
//!
//! It collects the edits that enforce policy and refuses everything it does not know. Called by `judge` only.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::{Access, Operation};
use crate::limits;
use crate::record::ObjectUse;
use crate::refusal::{Code, Refusal};

use super::cast::{literal_text, names_objects};
use super::coercion::Coercions;
use super::edit::Edit;
use super::grammar::{is_table_command, spread_unnest};
use super::judge::{Context, Effect, not_spliced};
use super::notation::Notations;
use super::own::OwnWork;
use super::paths::Paths;
use super::plan::{Change, Plan};
use super::resolve::{self, Target, qualified, quote};
use super::scan;
use super::types::plain_name;
use super::utility::cursor_name;

struct Frame<'t> {
    node: Node<'t>,
    depth: usize,
    scope: usize,
}

/// One CTE name, or none for a level of FROM, and the scope around it. Scope 0 is empty.
struct Scope<'t> {
    name: &'t str,
    outer: usize,
}

/// The walk over all statements of one message.
pub(super) struct Walk<'t, 'c> {
    pub(super) text: &'t str,
    /// Its path is that of the statement at hand.
    pub(super) context: Context<'c>,
    /// The session's default path.
    pub(super) home: &'c [String],
    /// What bare names mean when the statement at hand runs, if those before it succeed.
    pub(super) names: Paths,
    pub(super) plan: Plan,
    pub(super) coercions: Coercions<'t>,
    pub(super) notations: Notations<'t>,
    stack: Vec<Frame<'t>>,
    scopes: Vec<Scope<'t>>,
    nodes: usize,
    /// How many CTEs there are.
    ctes: usize,
    /// Is it an EXPLAIN?
    pub(super) explained: bool,
    /// Does it call `pg_notify`?
    pub(super) notifies: bool,
    /// What it makes or changes of the session's own.
    pub(super) own: OwnWork<'t>,
    pub(super) index: usize,
}

pub(super) type Verdict = Result<(), Refusal>;

impl<'t, 'c> Walk<'t, 'c> {
    pub(super) fn new(text: &'t str, context: Context<'c>, names: Paths) -> Self {
        Self {
            text,
            home: context.search_path,
            context,
            names,
            own: OwnWork::default(),
            plan: Plan::default(),
            coercions: Coercions::default(),
            notations: Notations::default(),
            stack: Vec::new(),
            scopes: vec![Scope { name: "", outer: 0 }],
            nodes: 0,
            ctes: 0,
            explained: false,
            notifies: false,
            index: 0,
        }
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }

    /// Bare names of the next statement are looked up there; by default in the session's own path.
    pub(super) fn look_in(&mut self, schemas: Option<&'c [String]>) {
        self.context.search_path = schemas.unwrap_or(self.home);
    }

    /// Judges one raw statement.
    pub(super) fn statement(&mut self, raw: &'t nodes::RawStmt) -> Verdict {
        let before = std::mem::take(&mut self.plan.objects);
        self.explained = false;
        self.notifies = false;
        self.own = OwnWork::default();
        let kind = self.begin(raw)?;
        if !self.plan.operation.is_empty() {
            self.plan.operation.push(',');
        }
        self.plan.operation.push_str(kind);
        while let Some(frame) = self.stack.pop() {
            self.nodes += 1;
            if self.nodes > limits::TREE_NODES_MAX {
                return Err(too_large("parts", limits::TREE_NODES_MAX));
            }
            // Every name is looked for among them.
            if self.ctes > limits::CTES_MAX {
                return Err(too_large("names in WITH", limits::CTES_MAX));
            }
            if frame.depth > limits::TREE_DEPTH_MAX {
                return Err(Refusal::new(
                    Code::TooDeep,
                    format!("the statement nests deeper than {}", limits::TREE_DEPTH_MAX),
                ));
            }
            self.node(&frame)?;
        }
        self.prepared();
        before.into_iter().for_each(|object| self.note(object));
        if self.plan.objects.len() > limits::OBJECTS_MAX {
            return Err(too_large("relations", limits::OBJECTS_MAX));
        }
        let outer = self.scopes.iter().map(|scope| scope.outer);
        self.notations.judge(outer, self.context.entitlement)?;
        self.notations = Notations::default();
        std::mem::take(&mut self.coercions).judge()?;
        if self.explained && (self.plan.shaped || self.plan.catalogs) {
            return Err(unexplained());
        }
        self.own_work_done()?;
        self.notified(kind)?;
        for (index, effect) in &self.plan.effects {
            if let (true, Effect::Path(step)) = (*index == self.index, effect) {
                self.names.apply(step);
            }
        }
        self.index += 1;
        Ok(())
    }

    pub(super) fn push(&mut self, node: Node<'t>, depth: usize, scope: usize) {
        if !matches!(node, Node::None) {
            self.stack.push(Frame { node, depth, scope });
        }
    }

    pub(super) fn name_end(&self, at: usize, parts: usize) -> Result<usize, Refusal> {
        scan::name_end(self.text, at, parts).ok_or_else(|| not_spliced().at(at))
    }

    /// Adds the CTEs of a WITH clause to a scope and pushes their queries; the scope the rest of the statement sees.
    pub(super) fn with(
        &mut self,
        clause: Option<&'t nodes::WithClause>,
        depth: usize,
        scope: usize,
    ) -> usize {
        let Some(clause) = clause else { return scope };
        let mut inner = scope;
        let mut queries = Vec::new();
        self.ctes += clause.ctes().len();
        for cte in clause.ctes().iter() {
            queries.push((cte, inner));
            self.coercions.renamed_query(cte.aliascolnames(), cte.ctequery());
            self.scopes.push(Scope { name: cte.ctename().unwrap_or_default(), outer: inner });
            inner = self.scopes.len() - 1;
        }
        for (cte, before) in queries {
            let sees = if clause.recursive { inner } else { before };
            self.push(cte.ctequery(), depth + 1, sees);
            if let Some(cycle) = cte.cycle_clause() {
                let marks = [cycle.cycle_mark_value(), cycle.cycle_mark_default()];
                self.coercions.place(marks.into_iter());
                self.push(cycle.cycle_mark_value(), depth + 1, sees);
                self.push(cycle.cycle_mark_default(), depth + 1, sees);
            }
        }
        inner
    }

    /// A level of its own for the names in a FROM: a scope without a CTE.
    fn level(&mut self, outer: usize) -> usize {
        self.scopes.push(Scope { name: "", outer });
        self.scopes.len() - 1
    }

    pub(super) fn is_cte(&self, name: &str, mut scope: usize) -> bool {
        while let Some(here) = self.scopes.get(scope).filter(|_| scope != 0) {
            if here.name == name {
                return true;
            }
            scope = here.outer;
        }
        false
    }

    /// Puts a use of a relation on record.
    pub(super) fn note_use(&mut self, access: &Access, operation: Operation) {
        self.plan.shaped |= access.is_shaped();
        let shadow = self.context.entitlement.shadow.get(&access.relation).cloned();
        self.note(ObjectUse { shadow: shadow.unwrap_or_default(), ..access.used(operation) });
    }

    /// Puts it on record, once.
    pub(super) fn note(&mut self, used: ObjectUse) {
        // One too many is kept, and refused for.
        if self.plan.objects.len() <= limits::OBJECTS_MAX && !self.plan.objects.contains(&used) {
            self.plan.objects.push(used);
        }
    }

    /// Resolves a relation for an operation and notes its use; where it really lives.
    pub(super) fn target(
        &mut self,
        relation: &nodes::RangeVar,
        operation: Operation,
    ) -> Result<(String, String), Refusal> {
        let name = relation.relname().unwrap_or_default();
        let at = offset(relation.location)?;
        let (database, schema) = (relation.catalogname(), relation.schemaname());
        let target = resolve::relation(&self.context, self.names.temps(), database, schema, name)
            .map_err(|refusal| refusal.at(at))?;
        match target {
            Target::Own(schema) => {
                self.note_own(schema, name, operation.word());
                Ok((schema.to_owned(), name.to_owned()))
            }
            Target::Virtual(schema) if operation == Operation::Read => {
                self.plan.catalogs = true;
                self.own.reads_catalogs = true;
                let alias = relation.alias().and_then(nodes::Alias::aliasname);
                self.coercions.catalog(name, alias.unwrap_or(name));
                Ok((schema.to_owned(), name.to_owned()))
            }
            Target::Virtual(_) => {
                Err(Refusal::new(Code::Policy, format!("permission denied for table {name}")).at(at))
            }
            Target::Governed(access) => {
                if !access.operations.contains(&operation) {
                    let word = operation.word();
                    return Err(Refusal::new(
                        Code::Policy,
                        format!("{word} on \"{}\" is not granted", access.relation),
                    )
                    .hint(format!(
                        "a policy would have to say: allow {word} on tables named {}",
                        access.relation
                    ))
                    .at(at));
                }
                // The view reads children as well, whatever is said of it. One that comes while this runs is read with the table
                // it is a child of, under the same rules, as without ONLY.
                if !relation.inh && !access.beneath.childless {
                    return Err(Refusal::new(
                        Code::Unsupported,
                        format!(
                            "ONLY is not supported on \"{}\": it has partitions or children",
                            access.relation
                        ),
                    )
                    .at(at));
                }
                for column in access.view.columns.iter().filter(|c| c.type_sql.starts_with("reg")) {
                    self.coercions.column(&column.name);
                    // Its whole row goes about under its alias.
                    let alias = relation.alias().and_then(nodes::Alias::aliasname);
                    self.coercions.column(alias.unwrap_or(name));
                }
                self.own.reads_governed = true;
                self.note_use(access, operation);
                Ok((crate::names::SECURED_SCHEMA.to_owned(), access.view.name.clone()))
            }
        }
    }

    /// Splices a relation. `bare` where the grammar takes no alias (`TABLE t`).
    pub(super) fn relation(
        &mut self,
        relation: &'t nodes::RangeVar,
        operation: Operation,
        bare: bool,
    ) -> Verdict {
        const RELPERSISTENCE_PERMANENT: i8 = b'p' as i8;
        if relation.relpersistence != RELPERSISTENCE_PERMANENT {
            return Err(Refusal::new(Code::Unsupported, "temporary relations are not supported"));
        }
        let (schema, name) = self.target(relation, operation)?;
        self.coercions.renamed(relation.alias());
        let at = offset(relation.location)?;
        let end = self.name_end(at, parts(relation))?;
        let alias =
            (relation.alias().is_none() && !bare).then(|| relation.relname().unwrap_or_default().to_owned());
        let mut text = qualified(&schema, &name);
        if let Some(alias) = &alias {
            text.push_str(" AS ");
            text.push_str(&quote(alias));
        }
        self.plan.edits.push(Edit::new(at..end, text));
        self.plan.changes.push(Change::Relation { at, schema, name, alias });
        Ok(())
    }

    /// Node kinds: the allow-list. Everything with children pushes all of them.
    #[expect(clippy::too_many_lines, reason = "one flat allow-list reads better than several")]
    fn node(&mut self, frame: &Frame<'t>) -> Verdict {
        let (depth, scope) = (frame.depth + 1, frame.scope);
        macro_rules! push {
            ($($node:expr),* $(,)?) => {{ $( self.push($node, depth, scope); )* }};
        }
        macro_rules! push_all {
            ($($list:expr),* $(,)?) => {{ $( for node in $list.iter() { self.push(node.into(), depth, scope); } )* }};
        }
        match frame.node {
            Node::None => {}
            Node::NodeList(list) => push_all!(list),
            Node::SelectStmt(select) => self.select(select, depth, scope)?,
            Node::InsertStmt(insert) => self.insert(insert, depth, scope)?,
            Node::UpdateStmt(update) => self.update(update, depth, scope)?,
            Node::DeleteStmt(delete) => self.delete(delete, depth, scope)?,
            Node::MergeStmt(merge) => self.merge(merge, depth, scope)?,
            Node::RangeVar(relation) => {
                let name = relation.relname().unwrap_or_default();
                let cte = relation.schemaname().is_none() && self.is_cte(name, scope);
                if cte {
                    self.coercions.renamed(relation.alias());
                }
                if !cte {
                    self.relation(relation, Operation::Read, false)?;
                }
            }
            Node::ColumnDef(column) => self.column_definition(column)?,
            Node::Constraint(constraint) => self.constraint(constraint)?,
            Node::TableLikeClause(like) => self.like(like)?,
            Node::ColumnRef(column) => {
                self.notations.reference(column, scope);
                self.column(column)?;
            }
            Node::FuncCall(call) => {
                self.function(call)?;
                self.coercions.call(call);
                push_all!(call.args(), call.agg_order());
                push!(call.agg_filter());
                if let Some(window) = call.over() {
                    self.window(window, depth, scope);
                }
            }
            Node::TypeCast(cast) => {
                self.cast(cast)?;
                if names_objects(cast.type_name()) {
                    self.coercions.sight();
                }
                match cast.arg() {
                    // A column under a planned change is judged already.
                    Node::ColumnRef(column) if names_objects(cast.type_name()) => {
                        self.notations.reference(column, scope);
                    }
                    argument => push!(argument),
                }
            }
            Node::A_Indirection(indirection) => {
                for field in indirection.indirection().iter() {
                    self.field(field)?;
                    push!(field);
                }
                push!(indirection.arg());
            }
            Node::A_Expr(expression) => {
                self.operator(expression.name())?;
                self.coercions.expression(expression);
                push!(expression.lexpr(), expression.rexpr());
            }
            Node::SubLink(link) => {
                self.operator(link.oper_name())?;
                self.coercions.link(link);
                push!(link.testexpr(), link.subselect());
            }
            Node::SortBy(sort) => {
                self.operator(sort.use_op())?;
                push!(sort.node());
            }
            Node::CollateClause(collate) => {
                plain_name(collate.collname())?;
                push!(collate.arg());
            }
            Node::WindowDef(window) => self.window(window, depth, scope),
            Node::ResTarget(target) => {
                self.label(target);
                push_all!(target.indirection());
                push!(target.val());
            }
            // Every column of `SET (a, b) = (…)` refers to the same source.
            Node::MultiAssignRef(assign) => {
                if assign.colno == 1 {
                    push!(assign.source());
                }
            }
            Node::RangeSubselect(sub) => {
                if let Some(alias) = sub.alias() {
                    self.coercions.renamed_query(alias.colnames(), sub.subquery());
                }
                push!(sub.subquery());
            }
            Node::RangeFunction(function) => {
                self.coercions.function(function);
                self.notations.function(function, scope)?;
                for entry in function.functions().iter() {
                    match spread_unnest(entry) {
                        Some(call) => push_all!(call.args()),
                        None => push!(entry),
                    }
                }
                for column in function.coldeflist().iter() {
                    self.column_definition(column)?;
                }
            }
            Node::RangeTableFunc(table) => {
                push!(table.docexpr(), table.rowexpr());
                push_all!(table.namespaces());
                for column in table.columns().iter() {
                    self.type_name(column.type_name())?;
                    push!(column.colexpr(), column.coldefexpr());
                }
            }
            Node::RangeTableSample(_) => {
                return Err(Refusal::new(Code::Unsupported, "TABLESAMPLE is not supported")
                    .hint("its rows are picked before policy filters them; use random() or LIMIT"));
            }
            Node::JoinExpr(join) => {
                self.coercions.renamed(join.alias());
                self.coercions.join(join);
                push!(join.larg(), join.rarg(), join.quals());
            }
            Node::GroupingSet(set) => push_all!(set.content()),
            Node::GroupingFunc(call) => push_all!(call.args()),
            Node::NamedArgExpr(argument) => push!(argument.arg()),
            Node::BoolExpr(bool) => push_all!(bool.args()),
            Node::CaseExpr(case) => {
                let results = case.args().iter().map(|when| match when {
                    Node::CaseWhen(when) => when.result(),
                    other => other,
                });
                self.coercions.place(results.chain([case.defresult()]).filter(|n| !matches!(n, Node::None)));
                push!(case.arg(), case.defresult());
                push_all!(case.args());
            }
            Node::CaseWhen(when) => push!(when.expr(), when.result()),
            Node::RowExpr(row) => push_all!(row.args()),
            Node::CoalesceExpr(call) => {
                self.coercions.place(call.args().iter());
                push_all!(call.args());
            }
            Node::MinMaxExpr(call) => {
                self.coercions.place(call.args().iter());
                push_all!(call.args());
            }
            Node::XmlExpr(xml) => push_all!(xml.named_args(), xml.args()),
            Node::XmlSerialize(xml) => {
                self.type_name(xml.type_name())?;
                push!(xml.expr());
            }
            Node::NullTest(test) => push!(test.arg()),
            Node::BooleanTest(test) => push!(test.arg()),
            Node::A_Indices(indices) => push!(indices.lidx(), indices.uidx()),
            Node::A_ArrayExpr(array) => {
                self.coercions.array(array.elements().iter());
                push_all!(array.elements());
            }
            Node::JsonIsPredicate(test) => push!(test.expr()),
            Node::CurrentOfExpr(current) => cursor_name(current.cursor_name())?,
            Node::A_Const(_)
            | Node::ParamRef(_)
            | Node::SQLValueFunction(_)
            | Node::SetToDefault(_)
            | Node::A_Star(_)
            | Node::String(_)
            | Node::MergeSupportFunc(_)
            | Node::Integer(_) => {}
            _ => {
                return Err(Refusal::new(
                    Code::Policy,
                    "a part of this statement is not on the list of what may run",
                )
                .hint(
                    "rewrite it with plainer SQL; SQL/JSON constructors and JSON_TABLE are not supported yet",
                ));
            }
        }
        Ok(())
    }

    fn select(&mut self, select: &'t nodes::SelectStmt, depth: usize, scope: usize) -> Verdict {
        if select.into_clause().is_some() && !std::mem::take(&mut self.own.into) {
            return Err(Refusal::new(Code::Policy, "SELECT INTO is not allowed")
                .hint("creating tables needs a workspace grant"));
        }
        let scope = self.with(select.with_clause(), depth, scope);
        let scope = self.level(scope);
        let table_command = is_table_command(select);
        for from in select.from_clause().iter() {
            match from {
                Node::RangeVar(relation)
                    if table_command
                        && !(relation.schemaname().is_none()
                            && self.is_cte(relation.relname().unwrap_or_default(), scope)) =>
                {
                    self.relation(relation, Operation::Read, true)?;
                }
                node => self.push(node, depth, scope),
            }
        }
        for list in
            [select.distinct_clause(), select.group_clause(), select.window_clause(), select.values_lists()]
        {
            for node in list.iter() {
                self.push(node, depth, scope);
            }
        }
        self.prefixes(select, scope)?;
        self.dependents(select, scope)?;
        self.coercions.select(select);
        for target in select.target_list().iter() {
            self.coercions.target(target);
            self.push(target.into(), depth, scope);
        }
        for sort in select.sort_clause().iter() {
            self.push(sort.into(), depth, scope);
        }
        // The relations a locking clause names are aliases of this level, never new references.
        self.locking(select, scope)?;
        for node in
            [select.where_clause(), select.having_clause(), select.limit_offset(), select.limit_count()]
        {
            self.push(node, depth, scope);
        }
        for arm in [select.larg(), select.rarg()].into_iter().flatten() {
            self.push(arm.into(), depth, scope);
        }
        Ok(())
    }

    fn window(&mut self, window: &'t nodes::WindowDef, depth: usize, scope: usize) {
        for node in window.partition_clause().iter() {
            self.push(node, depth, scope);
        }
        for sort in window.order_clause().iter() {
            self.push(sort.into(), depth, scope);
        }
        self.push(window.start_offset(), depth, scope);
        self.push(window.end_offset(), depth, scope);
    }
}

/// A plan shows the conditions policy adds, and its estimates count hidden rows.
fn unexplained() -> Refusal {
    Refusal::new(
        Code::Policy,
        "EXPLAIN is not allowed where policy filters rows or masks columns, nor on system catalogs",
    )
    .hint("plans and estimates would tell of what is hidden; on relations you see whole, EXPLAIN works")
}

pub(super) fn parts(relation: &nodes::RangeVar) -> usize {
    1 + usize::from(relation.schemaname().is_some()) + usize::from(relation.catalogname().is_some())
}

pub(super) fn offset(location: i32) -> Result<usize, Refusal> {
    usize::try_from(location).map_err(|_| not_spliced())
}

pub(super) fn too_large(what: &str, limit: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("the statement has more than {limit} {what}"))
}

/// The text of a constant argument, also of a bare word as SET takes it.
pub(super) fn constant_text(mut node: Node<'_>) -> Option<&str> {
    // No recursion: how deep casts stand in one another is looked at later.
    while let Node::TypeCast(cast) = node {
        node = cast.arg();
    }
    match node {
        Node::A_Const(constant) => literal_text(constant),
        Node::String(text) => text.sval(),
        _ => None,
    }
}
