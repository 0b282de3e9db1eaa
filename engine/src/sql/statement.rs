//! The walk over a statement's tree: iterative, bounded, by allow-list of node kinds, with CTE scopes.
//!
//! It collects the edits that enforce policy and refuses everything it does not know. Called by `judge` only.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::{Access, ColumnRule, Operation, RowRule};
use crate::limits;
use crate::record::ObjectUse;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::{Context, Effect, not_spliced};
use super::resolve::{self, Target, quote};
use super::{functions, scan, settings, virtual_catalog};

/// One planned change, as `verify` expects to find it in the new tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The relation at this byte becomes `schema.name`, and has this alias when it had none.
    Relation { at: usize, schema: String, name: String, alias: Option<String> },
    /// The function at this byte becomes `schema.name`.
    Function { at: usize, schema: String, name: String },
    /// The column reference at this byte loses this many leading parts.
    Column { at: usize, dropped: usize },
    /// The literal at this byte becomes this text.
    Literal { at: usize, text: String },
    /// `COPY t (columns) TO` whose relation stands at this byte becomes COPY of this query.
    CopyQuery { at: usize, query: String },
    /// The whole statement of this index becomes this constant.
    Statement { index: usize, text: &'static str },
}

/// What the walk found.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) edits: Vec<Edit>,
    pub(super) changes: Vec<Change>,
    pub(super) operation: String,
    pub(super) objects: Vec<ObjectUse>,
    pub(super) effects: Vec<Effect>,
}

struct Frame<'t> {
    node: Node<'t>,
    depth: usize,
    scope: usize,
}

/// One CTE name, and the scope around it. Scope 0 is empty.
struct Scope<'t> {
    name: &'t str,
    outer: usize,
}

/// The walk over all statements of one message.
pub(super) struct Walk<'t, 'c> {
    text: &'t str,
    context: Context<'c>,
    plan: Plan,
    stack: Vec<Frame<'t>>,
    scopes: Vec<Scope<'t>>,
    nodes: usize,
    index: usize,
}

type Verdict = Result<(), Refusal>;

impl<'t, 'c> Walk<'t, 'c> {
    pub(super) fn new(text: &'t str, context: Context<'c>) -> Self {
        Self {
            text,
            context,
            plan: Plan::default(),
            stack: Vec::new(),
            scopes: vec![Scope { name: "", outer: 0 }],
            nodes: 0,
            index: 0,
        }
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }

    /// Judges one raw statement.
    pub(super) fn statement(&mut self, raw: &'t nodes::RawStmt) -> Verdict {
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
            if frame.depth > limits::TREE_DEPTH_MAX {
                return Err(Refusal::new(
                    Code::TooDeep,
                    format!("the statement nests deeper than {}", limits::TREE_DEPTH_MAX),
                ));
            }
            self.node(&frame)?;
        }
        self.index += 1;
        Ok(())
    }

    /// Statement kinds: the allow-list.
    fn begin(&mut self, raw: &'t nodes::RawStmt) -> Result<&'static str, Refusal> {
        let top = Frame { node: raw.stmt(), depth: 0, scope: 0 };
        let kind = match top.node {
            Node::SelectStmt(_) => "SELECT",
            Node::InsertStmt(_) => "INSERT",
            Node::UpdateStmt(_) => "UPDATE",
            Node::DeleteStmt(_) => "DELETE",
            Node::MergeStmt(_) => "MERGE",
            Node::ExplainStmt(explain) => return self.explain(explain),
            Node::DeclareCursorStmt(cursor) => return self.declare(cursor),
            Node::CopyStmt(copy) => return self.copy(copy),
            Node::VariableSetStmt(set) => return self.set(raw, set),
            Node::VariableShowStmt(show) => return show_setting(show),
            Node::TransactionStmt(transaction) => return transaction_kind(transaction),
            Node::FetchStmt(_) => return Ok("FETCH"),
            Node::ClosePortalStmt(_) => return Ok("CLOSE"),
            Node::UnlistenStmt(_) => return Ok("UNLISTEN"),
            Node::DiscardStmt(_) => {
                self.plan.effects.push(Effect::DeallocateAll);
                return Ok("DISCARD");
            }
            Node::DeallocateStmt(statement) => {
                self.plan.effects.push(match statement.name() {
                    Some(name) => Effect::Deallocate(name.to_owned()),
                    None => Effect::DeallocateAll,
                });
                return Ok("DEALLOCATE");
            }
            Node::PrepareStmt(_) | Node::ExecuteStmt(_) => {
                return Err(Refusal::new(Code::Unsupported, "PREPARE and EXECUTE as SQL are not supported")
                    .hint("use the protocol's prepared statements, as drivers do"));
            }
            _ => {
                return Err(Refusal::new(Code::Policy, "this kind of statement is not allowed")
                    .hint("SELECT, INSERT, UPDATE, DELETE, COPY … TO STDOUT, EXPLAIN, cursors, transactions and some SETs are"));
            }
        };
        self.stack.push(top);
        Ok(kind)
    }

    fn explain(&mut self, explain: &'t nodes::ExplainStmt) -> Result<&'static str, Refusal> {
        for option in explain.options().iter() {
            let name = option.defname().unwrap_or_default().to_ascii_lowercase();
            match name.as_str() {
                "costs" | "settings" | "summary" | "format" | "generic_plan" => {}
                "analyze" | "verbose" | "buffers" | "timing" | "wal" | "memory" | "serialize" => {
                    if !is_off(option.arg()) {
                        return Err(Refusal::new(Code::Policy, format!("EXPLAIN ({name}) is not allowed"))
                            .hint("its counts and outputs would show what policy hides; plain EXPLAIN is allowed"));
                    }
                }
                _ => {
                    return Err(Refusal::new(
                        Code::Syntax,
                        format!("unrecognized EXPLAIN option \"{name}\""),
                    ));
                }
            }
        }
        match explain.query() {
            node @ (Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)) => self.push(node, 1, 0),
            _ => {
                return Err(Refusal::new(Code::Policy, "EXPLAIN of this kind of statement is not allowed"));
            }
        }
        Ok("EXPLAIN")
    }

    fn declare(&mut self, cursor: &'t nodes::DeclareCursorStmt) -> Result<&'static str, Refusal> {
        const CURSOR_OPT_HOLD: i32 = 0x0020;
        if cursor.options & CURSOR_OPT_HOLD != 0 {
            return Err(Refusal::new(Code::Unsupported, "cursors WITH HOLD are not supported")
                .hint("they would outlive a change of policy; declare the cursor inside a transaction"));
        }
        self.push(cursor.query(), 1, 0);
        Ok("DECLARE CURSOR")
    }

    fn copy(&mut self, copy: &'t nodes::CopyStmt) -> Result<&'static str, Refusal> {
        if copy.is_program || copy.filename().is_some() {
            return Err(Refusal::new(Code::Policy, "COPY with a file or program is not allowed")
                .hint("use COPY … TO STDOUT"));
        }
        if copy.is_from {
            return Err(Refusal::new(Code::Unsupported, "COPY FROM is not supported").hint("use INSERT"));
        }
        for option in copy.options().iter() {
            let name = option.defname().unwrap_or_default();
            let known = ["format", "delimiter", "null", "header", "quote", "escape", "force_quote"];
            let utf8 = name == "encoding"
                && option.arg().as_str().is_some_and(|v| settings::says(v, &["utf8", "utf-8"]));
            if !known.contains(&name) && !utf8 {
                return Err(Refusal::new(Code::Policy, format!("COPY option \"{name}\" is not allowed")));
            }
        }
        if !matches!(copy.query(), Node::None) {
            self.push(copy.query(), 1, 0);
        } else if let Some(relation) = copy.relation() {
            self.copy_relation(copy, relation)?;
        } else {
            return Err(not_spliced());
        }
        Ok("COPY")
    }

    /// `COPY t (a, b) TO STDOUT` -> `COPY (SELECT a, b FROM view AS t) TO STDOUT`: COPY does not read views.
    fn copy_relation(&mut self, copy: &'t nodes::CopyStmt, relation: &'t nodes::RangeVar) -> Verdict {
        let (schema, name) = self.target(relation, Operation::Read)?;
        let columns: Vec<String> = copy.attlist().iter().filter_map(|n| n.as_str().map(quote)).collect();
        let list = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
        let query = format!(
            "SELECT {list} FROM {}.{} AS {}",
            quote(&schema),
            quote(&name),
            quote(relation.relname().unwrap_or_default())
        );
        let at = offset(relation.location)?;
        let mut end = self.name_end(at, parts(relation))?;
        if !columns.is_empty() {
            end = scan::parenthesis_end(self.text, end).ok_or_else(not_spliced)?;
        }
        self.plan.edits.push(Edit::new(at..end, format!("({query})")));
        self.plan.changes.push(Change::CopyQuery { at, query });
        Ok(())
    }

    fn set(
        &mut self,
        raw: &'t nodes::RawStmt,
        set: &'t nodes::VariableSetStmt,
    ) -> Result<&'static str, Refusal> {
        const VAR_SET_MULTI: u32 = 3;
        const VAR_RESET_ALL: u32 = 5;
        if set.kind == VAR_RESET_ALL {
            return Ok("RESET");
        }
        let name = set.name().unwrap_or_default();
        if set.kind == VAR_SET_MULTI {
            // SET TRANSACTION and SET SESSION CHARACTERISTICS; a snapshot could be another session's.
            return match name {
                "TRANSACTION" | "SESSION CHARACTERISTICS" => Ok("SET"),
                _ => Err(Refusal::new(Code::Policy, format!("SET {name} is not allowed"))),
            };
        }
        let values: Vec<&str> = set.args().iter().filter_map(constant_text).collect();
        match settings::setting(name) {
            None => Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be changed here"))
                .hint("the session's identity, search path and parsing are Lanyard's")),
            Some(settings::Setting::Free) => Ok("SET"),
            Some(settings::Setting::Only(allowed)) => {
                if values.iter().all(|v| settings::says(v, allowed)) && values.len() == set.args().len() {
                    Ok("SET")
                } else {
                    Err(Refusal::new(Code::Policy, format!("setting \"{name}\" must stay as it is")))
                }
            }
            Some(settings::Setting::Ours) => {
                let (start, end) = self.statement_range(raw)?;
                let text = "SET application_name TO DEFAULT";
                self.plan.edits.push(Edit::new(start..end, format!(" {text} ")));
                self.plan.changes.push(Change::Statement { index: self.index, text });
                Ok("SET")
            }
        }
    }

    fn statement_range(&self, raw: &nodes::RawStmt) -> Result<(usize, usize), Refusal> {
        let start = offset(raw.stmt_location)?;
        let length = offset(raw.stmt_len)?;
        let end = if length == 0 { self.text.len() } else { start + length };
        Ok((start, end))
    }

    fn push(&mut self, node: Node<'t>, depth: usize, scope: usize) {
        if !matches!(node, Node::None) {
            self.stack.push(Frame { node, depth, scope });
        }
    }

    fn name_end(&self, at: usize, parts: usize) -> Result<usize, Refusal> {
        scan::name_end(self.text, at, parts).ok_or_else(|| not_spliced().at(at))
    }

    /// Adds the CTEs of a WITH clause to a scope and pushes their queries; the scope the rest of the statement sees.
    fn with(&mut self, clause: Option<&'t nodes::WithClause>, depth: usize, scope: usize) -> usize {
        let Some(clause) = clause else { return scope };
        let mut inner = scope;
        let mut queries = Vec::new();
        for cte in clause.ctes().iter() {
            queries.push((cte, inner));
            self.scopes.push(Scope { name: cte.ctename().unwrap_or_default(), outer: inner });
            inner = self.scopes.len() - 1;
        }
        for (cte, before) in queries {
            let sees = if clause.recursive { inner } else { before };
            self.push(cte.ctequery(), depth + 1, sees);
            if let Some(cycle) = cte.cycle_clause() {
                self.push(cycle.cycle_mark_value(), depth + 1, sees);
                self.push(cycle.cycle_mark_default(), depth + 1, sees);
            }
        }
        inner
    }

    fn is_cte(&self, name: &str, mut scope: usize) -> bool {
        while let Some(here) = self.scopes.get(scope).filter(|_| scope != 0) {
            if here.name == name {
                return true;
            }
            scope = here.outer;
        }
        false
    }

    /// Resolves a relation for an operation and notes its use; where it really lives.
    fn target(
        &mut self,
        relation: &nodes::RangeVar,
        operation: Operation,
    ) -> Result<(String, String), Refusal> {
        let name = relation.relname().unwrap_or_default();
        let at = offset(relation.location)?;
        let target = resolve::relation(&self.context, relation.catalogname(), relation.schemaname(), name)
            .map_err(|refusal| refusal.at(at))?;
        match target {
            Target::Virtual(schema) if operation == Operation::Read => {
                Ok((schema.to_owned(), name.to_owned()))
            }
            Target::Virtual(_) => {
                Err(Refusal::new(Code::Policy, format!("permission denied for table {name}")).at(at))
            }
            Target::Governed(access) => {
                if !access.operations.contains(&operation) {
                    let word = word(operation);
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
                if !relation.inh {
                    return Err(Refusal::new(
                        Code::Unsupported,
                        format!("ONLY is not supported on \"{}\"", access.relation),
                    )
                    .at(at));
                }
                let used = object_use(access, operation);
                if !self.plan.objects.contains(&used) {
                    self.plan.objects.push(used);
                }
                Ok((crate::names::SECURED_SCHEMA.to_owned(), access.view.name.clone()))
            }
        }
    }

    /// Splices a relation. `bare` where the grammar takes no alias (`TABLE t`).
    fn relation(&mut self, relation: &'t nodes::RangeVar, operation: Operation, bare: bool) -> Verdict {
        const RELPERSISTENCE_PERMANENT: i8 = b'p' as i8;
        if relation.relpersistence != RELPERSISTENCE_PERMANENT {
            return Err(Refusal::new(Code::Unsupported, "temporary relations are not supported"));
        }
        let (schema, name) = self.target(relation, operation)?;
        let at = offset(relation.location)?;
        let end = self.name_end(at, parts(relation))?;
        let alias =
            (relation.alias().is_none() && !bare).then(|| relation.relname().unwrap_or_default().to_owned());
        let mut text = format!("{}.{}", quote(&schema), quote(&name));
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
            Node::InsertStmt(insert) => {
                let scope = self.with(insert.with_clause(), depth, scope);
                self.write(insert.relation())?;
                self.push(insert.select_stmt(), depth, scope);
                for column in insert.cols().iter() {
                    self.push(column, depth, scope);
                }
                if let Some(conflict) = insert.on_conflict_clause() {
                    self.on_conflict(conflict, depth, scope);
                }
                self.returning(insert.returning_clause(), depth, scope);
            }
            Node::UpdateStmt(update) => {
                let scope = self.with(update.with_clause(), depth, scope);
                self.write(update.relation())?;
                for target in update.target_list().iter() {
                    self.push(target.into(), depth, scope);
                }
                self.push(update.where_clause(), depth, scope);
                for from in update.from_clause().iter() {
                    self.push(from, depth, scope);
                }
                self.returning(update.returning_clause(), depth, scope);
            }
            Node::DeleteStmt(delete) => {
                let scope = self.with(delete.with_clause(), depth, scope);
                self.write(delete.relation())?;
                for using in delete.using_clause().iter() {
                    self.push(using, depth, scope);
                }
                self.push(delete.where_clause(), depth, scope);
                self.returning(delete.returning_clause(), depth, scope);
            }
            Node::MergeStmt(merge) => {
                let scope = self.with(merge.with_clause(), depth, scope);
                self.write(merge.relation())?;
                self.push(merge.source_relation(), depth, scope);
                self.push(merge.join_condition(), depth, scope);
                for when in merge.merge_when_clauses().iter() {
                    self.push(when.condition(), depth, scope);
                    for node in when.target_list().iter().chain(when.values().iter()) {
                        self.push(node, depth, scope);
                    }
                }
                self.returning(merge.returning_clause(), depth, scope);
            }
            Node::RangeVar(relation) => {
                let name = relation.relname().unwrap_or_default();
                let cte = relation.schemaname().is_none() && self.is_cte(name, scope);
                if !cte {
                    self.relation(relation, Operation::Read, false)?;
                }
            }
            Node::ColumnRef(column) => self.column(column)?,
            Node::FuncCall(call) => {
                self.function(call)?;
                push_all!(call.args(), call.agg_order());
                push!(call.agg_filter());
                if let Some(window) = call.over() {
                    self.window(window, depth, scope);
                }
            }
            Node::TypeCast(cast) => {
                self.cast(cast)?;
                push!(cast.arg());
            }
            Node::A_Indirection(indirection) => {
                for field in indirection.indirection().iter() {
                    guard_field(field)?;
                    push!(field);
                }
                push!(indirection.arg());
            }
            Node::A_Expr(expression) => {
                operator(expression.name())?;
                push!(expression.lexpr(), expression.rexpr());
            }
            Node::SubLink(link) => {
                operator(link.oper_name())?;
                push!(link.testexpr(), link.subselect());
            }
            Node::SortBy(sort) => {
                operator(sort.use_op())?;
                push!(sort.node());
            }
            Node::CollateClause(collate) => push!(collate.arg()),
            Node::WindowDef(window) => self.window(window, depth, scope),
            Node::ResTarget(target) => {
                push_all!(target.indirection());
                push!(target.val());
            }
            Node::MultiAssignRef(assign) => push!(assign.source()),
            Node::RangeSubselect(sub) => push!(sub.subquery()),
            Node::RangeFunction(function) => {
                push_all!(function.functions());
                for column in function.coldeflist().iter() {
                    self.type_name(column.type_name())?;
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
            Node::JoinExpr(join) => push!(join.larg(), join.rarg(), join.quals()),
            Node::GroupingSet(set) => push_all!(set.content()),
            Node::GroupingFunc(call) => push_all!(call.args()),
            Node::NamedArgExpr(argument) => push!(argument.arg()),
            Node::BoolExpr(bool) => push_all!(bool.args()),
            Node::CaseExpr(case) => {
                push!(case.arg(), case.defresult());
                push_all!(case.args());
            }
            Node::CaseWhen(when) => push!(when.expr(), when.result()),
            Node::RowExpr(row) => push_all!(row.args()),
            Node::CoalesceExpr(call) => push_all!(call.args()),
            Node::MinMaxExpr(call) => push_all!(call.args()),
            Node::XmlExpr(xml) => push_all!(xml.named_args(), xml.args()),
            Node::XmlSerialize(xml) => {
                self.type_name(xml.type_name())?;
                push!(xml.expr());
            }
            Node::NullTest(test) => push!(test.arg()),
            Node::BooleanTest(test) => push!(test.arg()),
            Node::A_Indices(indices) => push!(indices.lidx(), indices.uidx()),
            Node::A_ArrayExpr(array) => push_all!(array.elements()),
            Node::JsonIsPredicate(test) => push!(test.expr()),
            Node::A_Const(_)
            | Node::ParamRef(_)
            | Node::SQLValueFunction(_)
            | Node::SetToDefault(_)
            | Node::A_Star(_)
            | Node::String(_)
            | Node::CurrentOfExpr(_)
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
        if select.into_clause().is_some() {
            return Err(Refusal::new(Code::Policy, "SELECT INTO is not allowed")
                .hint("creating tables needs a workspace grant"));
        }
        let scope = self.with(select.with_clause(), depth, scope);
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
        for target in select.target_list().iter() {
            self.push(target.into(), depth, scope);
        }
        for sort in select.sort_clause().iter() {
            self.push(sort.into(), depth, scope);
        }
        // The relations a locking clause names are aliases of this level, never new references.
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

    fn write(&mut self, relation: Option<&'t nodes::RangeVar>) -> Verdict {
        match relation {
            Some(relation) => self.relation(relation, Operation::Write, false),
            None => Err(not_spliced()),
        }
    }

    fn on_conflict(&mut self, conflict: &'t nodes::OnConflictClause, depth: usize, scope: usize) {
        if let Some(infer) = conflict.infer() {
            for element in infer.index_elems().iter() {
                if let Node::IndexElem(element) = element {
                    self.push(element.expr(), depth, scope);
                } else {
                    self.push(element, depth, scope);
                }
            }
            self.push(infer.where_clause(), depth, scope);
        }
        for target in conflict.target_list().iter() {
            self.push(target.into(), depth, scope);
        }
        self.push(conflict.where_clause(), depth, scope);
    }

    fn returning(&mut self, clause: Option<&'t nodes::ReturningClause>, depth: usize, scope: usize) {
        for expression in clause.into_iter().flat_map(|c| c.exprs().iter()) {
            self.push(expression, depth, scope);
        }
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

    /// `schema.table.column` loses its schema, because the view goes by the table's bare name.
    fn column(&mut self, column: &'t nodes::ColumnRef) -> Verdict {
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

    fn function(&mut self, call: &'t nodes::FuncCall) -> Verdict {
        const COERCE_SQL_SYNTAX: u32 = 3;
        let names: Vec<&str> = call.funcname().iter().filter_map(Node::as_str).collect();
        let at = offset(call.location)?;
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            _ => return Err(forbidden_function(&names.join(".")).at(at)),
        };
        if schema.is_some_and(|s| s != "pg_catalog") || !functions::is_allowed(name) {
            return Err(forbidden_function(&names.join(".")).at(at));
        }
        if name == "set_config" {
            set_config(call)?;
        }
        if call.funcformat == COERCE_SQL_SYNTAX {
            return Ok(());
        }
        let real = virtual_catalog::function(name).unwrap_or("pg_catalog");
        if schema == Some(real) {
            return Ok(());
        }
        let end = self.name_end(at, names.len())?;
        self.plan.edits.push(Edit::new(at..end, format!("{real}.{}", quote(name))));
        self.plan.changes.push(Change::Function { at, schema: real.to_owned(), name: name.to_owned() });
        Ok(())
    }

    fn type_name(&self, name: Option<&nodes::TypeName>) -> Verdict {
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
    fn cast(&mut self, cast: &'t nodes::TypeCast) -> Verdict {
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

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "read",
        Operation::Write => "write",
    }
}

fn object_use(access: &Access, operation: Operation) -> ObjectUse {
    let filters = match &access.rows {
        RowRule::All => Vec::new(),
        RowRule::Filtered { policies, .. } => policies.clone(),
    };
    let masks = access
        .columns
        .iter()
        .filter_map(|(column, rule)| match rule {
            ColumnRule::Masked { mask, policy } => Some(format!("{column}: {mask} ({policy})")),
            ColumnRule::Clear | ColumnRule::Denied { .. } => None,
        })
        .collect();
    ObjectUse { relation: access.relation.to_string(), operation: word(operation), filters, masks }
}

fn parts(relation: &nodes::RangeVar) -> usize {
    1 + usize::from(relation.schemaname().is_some()) + usize::from(relation.catalogname().is_some())
}

fn offset(location: i32) -> Result<usize, Refusal> {
    usize::try_from(location).map_err(|_| not_spliced())
}

fn too_large(what: &str, limit: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("the statement has more than {limit} {what}"))
}

fn forbidden_function(name: &str) -> Refusal {
    Refusal::new(
        Code::Policy,
        format!("function \"{name}\" is not on the list of functions that may be called"),
    )
    .hint("a governor can extend the list by policy")
}

/// `TABLE t` is a SELECT whose star has no place in the text.
fn is_table_command(select: &nodes::SelectStmt) -> bool {
    let mut targets = select.target_list().iter();
    match (targets.next().map(nodes::ResTarget::val), targets.next()) {
        (Some(Node::ColumnRef(column)), None) => {
            column.location < 0 && matches!(column.fields().first(), Some(Node::A_Star(_)))
        }
        _ => false,
    }
}

fn guard_field(field: Node<'_>) -> Verdict {
    match field.as_str() {
        Some(name) if functions::is_guarded_field(name) => Err(forbidden_function(name)),
        _ => Ok(()),
    }
}

/// Operators may be qualified with pg_catalog only.
fn operator(name: &pg_raw_parse::list::NodeList) -> Verdict {
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

fn literal_text(constant: &nodes::A_Const) -> Option<&str> {
    match constant.val()? {
        pg_raw_parse::ConstValue::String(text) => Some(text),
        _ => None,
    }
}

/// The text of a constant argument, also of a bare word as SET takes it.
fn constant_text(node: Node<'_>) -> Option<&str> {
    match node {
        Node::A_Const(constant) => literal_text(constant),
        Node::String(text) => text.sval(),
        Node::TypeCast(cast) => constant_text(cast.arg()),
        _ => None,
    }
}

fn is_off(argument: Node<'_>) -> bool {
    match argument {
        Node::String(text) => {
            text.sval().is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "off" | "false" | "0"))
        }
        Node::Integer(number) => number.ival == 0,
        _ => false,
    }
}

fn show_setting(show: &nodes::VariableShowStmt) -> Result<&'static str, Refusal> {
    let name = show.name().unwrap_or_default();
    if settings::may_show(name) {
        Ok("SHOW")
    } else {
        Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be shown")))
    }
}

fn transaction_kind(transaction: &nodes::TransactionStmt) -> Result<&'static str, Refusal> {
    Ok(match transaction.kind {
        0 => "BEGIN",
        1 => "START TRANSACTION",
        2 => "COMMIT",
        3 => "ROLLBACK",
        4 => "SAVEPOINT",
        5 => "RELEASE",
        6 => "ROLLBACK TO",
        _ => {
            return Err(Refusal::new(Code::Unsupported, "two-phase commit is not supported"));
        }
    })
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
