//! What the statements are judged against: TPC-H and a table by key, half of it masked and filtered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lanyard::vend::Granted;
use lanyard_adapters::warehouse::postgres::Prepared;
use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::{
    Access, Beneath, ColumnRule, Entitlement, Extras, Fingerprint, Operation, RowRule, SecuredView,
    ViewColumn,
};

pub(super) const DATABASE: &str = "shop";
pub(super) const POINT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 42";
pub(super) const POINT_PREPARED: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
/// TPC-H specification 3.0.1, clause 2.4.5, with its validation values.
pub(super) const TPCH_Q5: &str = "select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue \
    from customer, orders, lineitem, supplier, nation, region \
    where c_custkey = o_custkey and l_orderkey = o_orderkey and l_suppkey = s_suppkey and c_nationkey = s_nationkey \
    and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'ASIA' \
    and o_orderdate >= date '1994-01-01' and o_orderdate < date '1994-01-01' + interval '1' year \
    group by n_name order by revenue desc";
const ANALYTIC_BYTES: usize = 4 << 10;

const TABLES: [(&str, &[&str]); 7] = [
    ("pgbench_accounts", &["aid", "bid", "abalance", "filler"]),
    (
        "customer",
        &["c_custkey", "c_name", "c_address", "c_nationkey", "c_phone", "c_acctbal", "c_mktsegment"],
    ),
    (
        "orders",
        &["o_orderkey", "o_custkey", "o_orderstatus", "o_totalprice", "o_orderdate", "o_orderpriority"],
    ),
    (
        "lineitem",
        &[
            "l_orderkey",
            "l_partkey",
            "l_suppkey",
            "l_quantity",
            "l_extendedprice",
            "l_discount",
            "l_tax",
            "l_shipdate",
        ],
    ),
    ("supplier", &["s_suppkey", "s_name", "s_address", "s_nationkey", "s_phone", "s_acctbal"]),
    ("nation", &["n_nationkey", "n_name", "n_regionkey"]),
    ("region", &["r_regionkey", "r_name"]),
];

pub(super) struct World {
    pub(super) granted: Granted,
    pub(super) search_path: Vec<String>,
    /// A report as analysts' tools write them: CTEs, windows, sub-selects, a union.
    pub(super) analytic: String,
}

impl World {
    pub(super) fn new() -> Self {
        let search_path = vec!["public".to_owned()];
        let prepared = Prepared { bundle: String::new(), views: HashMap::new(), whole: true };
        Self {
            granted: Granted::new(
                1,
                entitlement(),
                Arc::new(prepared),
                None,
                search_path.clone(),
                DATABASE.to_owned(),
                Arc::default(),
            ),
            search_path,
            analytic: analytic(),
        }
    }
}

fn entitlement() -> Entitlement {
    let mut tables = BTreeMap::new();
    for (number, (name, columns)) in TABLES.iter().enumerate() {
        tables.insert((*name).to_owned(), Arc::new(access(number, name, columns)));
    }
    Entitlement {
        relations: BTreeMap::from([("public".to_owned(), tables)]),
        extras: Extras::default(),
        fingerprint: Fingerprint([0; 16]),
        session_attributes: BTreeMap::new(),
        shadow: BTreeMap::new(),
    }
}

fn access(number: usize, name: &str, columns: &[&str]) -> Access {
    let rules = columns.iter().map(|column| {
        let rule = match column.ends_with("phone") {
            true => ColumnRule::Masked { mask: "constant", policy: "hide_phones".to_owned() },
            false => ColumnRule::Clear,
        };
        ((*column).to_owned(), rule)
    });
    let filtered = RowRule::Filtered { policies: vec!["own_region".to_owned()], condition: String::new() };
    let view_columns = columns.iter().zip(1..).map(|(column, base_number)| ViewColumn {
        name: (*column).to_owned(),
        type_sql: "text".to_owned(),
        base_number,
        writable: false,
        by_prefix: true,
    });
    Access {
        relation: RelationName::new("public", name),
        oid: 16_400 + u32::try_from(number).unwrap_or_default(),
        operations: BTreeSet::from([Operation::Read]),
        rows: if name.ends_with('r') { filtered } else { RowRule::All },
        columns: rules.collect(),
        granted_by: vec!["open".to_owned()],
        sequences: BTreeSet::new(),
        undone_by: BTreeMap::new(),
        beneath: Beneath::default(),
        view: SecuredView {
            name: format!("v_{number:032x}"),
            select_sql: String::new(),
            barrier: name.ends_with('r'),
            columns: view_columns.collect(),
            keys: BTreeSet::new(),
        },
    }
}

/// Parts of a report, repeated under new names until the text is long enough.
fn analytic() -> String {
    let mut text = String::from("WITH ");
    let mut number = 0;
    while text.len() < ANALYTIC_BYTES - 300 {
        number += 1;
        text.push_str(&format!(
            "per_nation_{number} AS (SELECT n.n_name, date_trunc('month', o.o_orderdate) AS month, \
             sum(l.l_extendedprice * (1 - l.l_discount)) AS revenue, count(DISTINCT c.c_custkey) AS customers, \
             avg(l.l_quantity) FILTER (WHERE l.l_tax > 0.0{number}) AS quantity, \
             rank() OVER (PARTITION BY n.n_name ORDER BY sum(l.l_extendedprice) DESC) AS place \
             FROM lineitem l JOIN orders o ON o.o_orderkey = l.l_orderkey \
             JOIN customer c ON c.c_custkey = o.o_custkey AND c.c_mktsegment IN ('BUILDING', 'MACHINERY') \
             LEFT JOIN nation n ON n.n_nationkey = c.c_nationkey \
             WHERE o.o_orderdate BETWEEN date '1994-0{number}-01' AND date '1995-0{number}-01' AND o.o_orderstatus <> 'F' \
             AND EXISTS (SELECT 1 FROM supplier s WHERE s.s_suppkey = l.l_suppkey AND coalesce(s.s_acctbal, 0) > {number}00) \
             GROUP BY n.n_name, date_trunc('month', o.o_orderdate) HAVING count(*) > {number}), "
        ));
    }
    text.push_str("last AS (SELECT max(month) AS month FROM per_nation_1) ");
    for part in 1..=number {
        text.push_str(if part > 1 { " UNION ALL " } else { "" });
        text.push_str(&format!("SELECT n_name, month, revenue, place FROM per_nation_{part}"));
    }
    text.push_str(" ORDER BY 2 DESC, revenue DESC NULLS LAST LIMIT 100");
    text
}
