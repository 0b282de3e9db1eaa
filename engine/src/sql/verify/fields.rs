//! Two trees side by side, a kind of node with its fields at a time.
//!
//! Fields that say where in the text something stands are left out, because splicing moves them. Any other field that is
//! missing here would be a difference that nobody sees: a test holds every row to the names that the parser's own `Debug`
//! prints, which is generated from PostgreSQL's headers (`parsenodes.h`, `primnodes.h`). What has no row is like nothing, not
//! even itself. Called by `verify`.

use pg_raw_parse::list::{CastNodeList, NodeList};
use pg_raw_parse::{ConstValue, Node, nodes};

/// Pairs of nodes that are still to be compared: what stands at the same place in both trees.
pub(super) type Pairs<'t> = Vec<(Node<'t>, Node<'t>)>;

/// Are these two the same, all the way down?
pub(super) fn equal(old: Node<'_>, new: Node<'_>) -> bool {
    let mut pairs = vec![(old, new)];
    while let Some((old, new)) = pairs.pop() {
        if !alike(old, new, &[], &mut pairs) {
            return false;
        }
    }
    true
}

/// What two fields of one name have to be for their nodes to be alike. Nodes are put off, so that nothing is recursive.
pub(super) trait Field<'t> {
    fn same(self, new: Self, pairs: &mut Pairs<'t>) -> bool;
}

impl<'t> Field<'t> for Node<'t> {
    fn same(self, new: Self, pairs: &mut Pairs<'t>) -> bool {
        pairs.push((self, new));
        true
    }
}

impl<'t> Field<'t> for &'t NodeList {
    fn same(self, new: Self, pairs: &mut Pairs<'t>) -> bool {
        pairs.extend(self.iter().zip(new.iter()));
        self.len() == new.len()
    }
}

impl<'t, T> Field<'t> for &'t CastNodeList<T>
where
    Self: IntoIterator<Item = &'t T>,
    Node<'t>: From<&'t T>,
{
    fn same(self, new: Self, pairs: &mut Pairs<'t>) -> bool {
        pairs.extend(self.into_iter().map(Node::from).zip(new.into_iter().map(Node::from)));
        self.len() == new.len()
    }
}

impl<'t, T> Field<'t> for Option<&'t T>
where
    Node<'t>: From<&'t T>,
{
    fn same(self, new: Self, pairs: &mut Pairs<'t>) -> bool {
        pairs.push((self.map_or(Node::None, Node::from), new.map_or(Node::None, Node::from)));
        true
    }
}

impl<'t> Field<'t> for Option<ConstValue<'t>> {
    fn same(self, new: Self, _: &mut Pairs<'t>) -> bool {
        match (self, new) {
            (None, None) => true,
            (Some(ConstValue::Integer(old)), Some(ConstValue::Integer(new))) => old == new,
            (Some(ConstValue::Boolean(old)), Some(ConstValue::Boolean(new))) => old == new,
            (Some(ConstValue::Float(old)), Some(ConstValue::Float(new)))
            | (Some(ConstValue::String(old)), Some(ConstValue::String(new)))
            | (Some(ConstValue::BitString(old)), Some(ConstValue::BitString(new))) => old == new,
            _ => false,
        }
    }
}

macro_rules! values {
    ($($value:ty)*) => {$(
        impl<'t> Field<'t> for $value {
            fn same(self, new: Self, _: &mut Pairs<'t>) -> bool {
                self == new
            }
        }
    )*};
}

values! { bool i8 i16 i32 i64 u32 Option<&'t str> }

/// One kind of node.
trait Kind {
    fn same<'t>(&'t self, new: &'t Self, except: &[&str], pairs: &mut Pairs<'t>) -> bool;
}

macro_rules! kinds {
    ($($kind:ident { $($field:ident $(($($of_a_method:tt)*))?),* })*) => {
        /// Are these two of one kind, with the same fields but for those in `except`? Nodes in their fields are left to be compared.
        pub(super) fn alike<'t>(old: Node<'t>, new: Node<'t>, except: &[&str], pairs: &mut Pairs<'t>) -> bool {
            match (old, new) {
                (Node::None, Node::None) => true,
                (Node::NodeList(old), Node::NodeList(new)) => Field::same(old, new, pairs),
                $((Node::$kind(old), Node::$kind(new)) => Kind::same(old, new, except, pairs),)*
                _ => false,
            }
        }

        $(impl Kind for nodes::$kind {
            #[allow(unused_variables, reason = "a kind without fields")]
            fn same<'t>(&'t self, new: &'t Self, except: &[&str], pairs: &mut Pairs<'t>) -> bool {
                $((except.contains(&stringify!($field))
                    || Field::same(self.$field$(($($of_a_method)*))?, new.$field$(($($of_a_method)*))?, pairs)) &&)* true
            }
        })*

        #[cfg(test)]
        pub(super) const FIELDS: &[(&str, &[&str])] = &[$((stringify!($kind), &[$(stringify!($field)),*])),*];
    };
}

// Queries first, then expressions, then the statements around them, then what makes objects.
kinds! {
    SelectStmt {
        distinct_clause(), into_clause(), target_list(), from_clause(), where_clause(), group_clause(),
        group_distinct, having_clause(), window_clause(), values_lists(), sort_clause(), limit_offset(),
        limit_count(), limit_option, locking_clause(), with_clause(), op, all, larg(), rarg()
    }
    InsertStmt {
        relation(), cols(), select_stmt(), on_conflict_clause(), returning_clause(), with_clause(), override_
    }
    UpdateStmt { relation(), target_list(), where_clause(), from_clause(), returning_clause(), with_clause() }
    DeleteStmt { relation(), using_clause(), where_clause(), returning_clause(), with_clause() }
    MergeStmt {
        relation(), source_relation(), join_condition(), merge_when_clauses(), returning_clause(),
        with_clause()
    }
    MergeWhenClause { match_kind, command_type, override_, condition(), target_list(), values() }
    WithClause { ctes(), recursive }
    CommonTableExpr {
        ctename(), aliascolnames(), ctematerialized, ctequery(), search_clause(), cycle_clause(),
        cterecursive, cterefcount, ctecolnames()
    }
    CTESearchClause { search_col_list(), search_breadth_first, search_seq_column() }
    CTECycleClause {
        cycle_col_list(), cycle_mark_column(), cycle_mark_value(), cycle_mark_default(), cycle_path_column(),
        cycle_mark_type, cycle_mark_typmod, cycle_mark_collation, cycle_mark_neop
    }
    IntoClause {
        rel(), col_names(), access_method(), options(), on_commit, table_space_name(), view_query(), skip_data
    }
    LockingClause { locked_rels(), strength, wait_policy }
    OnConflictClause { action, infer(), target_list(), where_clause() }
    InferClause { index_elems(), where_clause(), conname() }
    ReturningClause { options(), exprs() }
    ReturningOption { option, value() }
    RangeVar { catalogname(), schemaname(), relname(), inh, relpersistence, alias() }
    Alias { aliasname(), colnames() }
    JoinExpr {
        jointype, is_natural, larg(), rarg(), using_clause(), join_using_alias(), quals(), alias(), rtindex
    }
    RangeSubselect { lateral, subquery(), alias() }
    RangeFunction { lateral, ordinality, is_rowsfrom, functions(), alias(), coldeflist() }
    RangeTableFunc { lateral, docexpr(), rowexpr(), namespaces(), columns(), alias() }
    RangeTableFuncCol { colname(), type_name(), for_ordinality, is_not_null, colexpr(), coldefexpr() }
    ResTarget { name(), indirection(), val() }
    ColumnRef { fields() }
    A_Star {}
    A_Const { val(), isnull }
    ParamRef { number }
    String { sval() }
    Integer { ival }
    Float { fval() }
    Boolean { boolval }
    A_Expr { kind, name(), lexpr(), rexpr() }
    BoolExpr { boolop, args() }
    FuncCall {
        funcname(), args(), agg_order(), agg_filter(), over(), agg_within_group, agg_star, agg_distinct,
        func_variadic, funcformat
    }
    NamedArgExpr { arg(), name(), argnumber }
    TypeCast { arg(), type_name() }
    TypeName { names(), type_oid, setof, pct_type, typmods(), typemod, array_bounds() }
    CollateClause { arg(), collname() }
    SubLink { sub_link_type, sub_link_id, testexpr(), oper_name(), subselect() }
    CaseExpr { casetype, casecollid, arg(), args(), defresult() }
    CaseWhen { expr(), result() }
    CoalesceExpr { coalescetype, coalescecollid, args() }
    MinMaxExpr { minmaxtype, minmaxcollid, inputcollid, op, args() }
    NullTest { arg(), nulltesttype, argisrow }
    BooleanTest { arg(), booltesttype }
    RowExpr { args(), row_typeid, row_format, colnames() }
    A_ArrayExpr { elements() }
    A_Indirection { arg(), indirection() }
    A_Indices { is_slice, lidx(), uidx() }
    SortBy { node(), sortby_dir, sortby_nulls, use_op() }
    WindowDef {
        name(), refname(), partition_clause(), order_clause(), frame_options, start_offset(), end_offset()
    }
    GroupingSet { kind, content() }
    GroupingFunc { args(), refs(), cols(), agglevelsup }
    MultiAssignRef { source(), colno, ncolumns }
    SetToDefault { type_id, type_mod, collation }
    CurrentOfExpr { cvarno, cursor_name(), cursor_param }
    SQLValueFunction { op, type_, typmod }
    MergeSupportFunc { msftype, msfcollid }
    XmlExpr { op, name(), named_args(), arg_names(), args(), xmloption, indent, type_, typmod }
    XmlSerialize { xmloption, expr(), type_name(), indent }
    JsonIsPredicate { expr(), format(), item_type, unique_keys }
    JsonFormat { format_type, encoding }
    ExplainStmt { query(), options() }
    DeclareCursorStmt { portalname(), options, query() }
    CopyStmt { relation(), query(), attlist(), is_from, is_program, filename(), options(), where_clause() }
    FetchStmt { direction, how_many, portalname(), ismove }
    ClosePortalStmt { portalname() }
    PrepareStmt { name(), argtypes(), query() }
    ExecuteStmt { name(), params() }
    DeallocateStmt { name(), isall }
    VariableSetStmt { kind, name(), args(), jumble_args, is_local }
    VariableShowStmt { name() }
    TransactionStmt { kind, options(), savepoint_name(), gid(), chain }
    DiscardStmt { target }
    ListenStmt { conditionname() }
    NotifyStmt { conditionname(), payload() }
    UnlistenStmt { conditionname() }
    LockStmt { relations(), mode, nowait }
    ConstraintsSetStmt { constraints(), deferred }
    CreateExtensionStmt { extname(), if_not_exists, options() }
    DefElem { defnamespace(), defname(), arg(), defaction }
    RoleSpec { roletype, rolename() }
    CreateStmt {
        relation(), table_elts(), inh_relations(), partbound(), partspec(), of_typename(), constraints(),
        nnconstraints(), options(), oncommit, tablespacename(), access_method(), if_not_exists
    }
    CreateTableAsStmt { query(), into(), objtype, is_select_into, if_not_exists }
    ViewStmt { view(), aliases(), query(), replace, options(), with_check_option }
    RefreshMatViewStmt { concurrent, skip_data, relation() }
    IndexStmt {
        idxname(), relation(), access_method(), table_space(), index_params(), index_including_params(),
        options(), where_clause(), exclude_op_names(), idxcomment(), index_oid, old_number, old_create_subid,
        old_first_relfilelocator_subid, unique, nulls_not_distinct, primary, isconstraint, iswithoutoverlaps,
        deferrable, initdeferred, transformed, concurrent, if_not_exists, reset_default_tblspc
    }
    IndexElem {
        name(), expr(), indexcolname(), collation(), opclass(), opclassopts(), ordering, nulls_ordering
    }
    CreateSeqStmt { sequence(), options(), owner_id, for_identity, if_not_exists }
    AlterSeqStmt { sequence(), options(), for_identity, missing_ok }
    AlterTableStmt { relation(), cmds(), objtype, missing_ok }
    AlterTableCmd { subtype, name(), num, newowner(), def(), behavior, missing_ok, recurse }
    ATAlterConstraint {
        conname(), alter_enforceability, is_enforced, alter_deferrability, deferrable, initdeferred,
        alter_inheritability, noinherit
    }
    RenameStmt {
        rename_type, relation_type, relation(), object(), subname(), newname(), behavior, missing_ok
    }
    CreateEnumStmt { type_name(), vals() }
    AlterEnumStmt {
        type_name(), old_val(), new_val(), new_val_neighbor(), new_val_is_after, skip_if_new_val_exists
    }
    CompositeTypeStmt { typevar(), coldeflist() }
    CreateDomainStmt { domainname(), type_name(), coll_clause(), constraints() }
    DropStmt { objects(), remove_type, behavior, missing_ok, concurrent }
    CommentStmt { objtype, object(), comment() }
    TruncateStmt { relations(), restart_seqs, behavior }
    VacuumStmt { options(), rels(), is_vacuumcmd }
    VacuumRelation { relation(), oid, va_cols() }
    ColumnDef {
        colname(), type_name(), compression(), inhcount, is_local, is_not_null, is_from_type, storage,
        storage_name(), raw_default(), cooked_default(), identity, identity_sequence(), generated,
        coll_clause(), coll_oid, constraints(), fdwoptions()
    }
    Constraint {
        contype, conname(), deferrable, initdeferred, is_enforced, skip_validation, initially_valid,
        is_no_inherit, raw_expr(), cooked_expr(), generated_when, generated_kind, nulls_not_distinct, keys(),
        without_overlaps, including(), exclusions(), options(), indexname(), indexspace(),
        reset_default_tblspc, access_method(), where_clause(), pktable(), fk_attrs(), pk_attrs(),
        fk_with_period, pk_with_period, fk_matchtype, fk_upd_action, fk_del_action, fk_del_set_cols(),
        old_conpfeqop(), old_pktable_oid
    }
    TableLikeClause { relation(), options, relation_oid }
    PartitionSpec { strategy, part_params() }
    PartitionElem { name(), expr(), collation(), opclass() }
    PartitionBoundSpec {
        strategy, is_default, modulus, remainder, listdatums(), lowerdatums(), upperdatums()
    }
    PartitionCmd { name(), bound(), concurrent }
}

#[cfg(test)]
mod tests;
