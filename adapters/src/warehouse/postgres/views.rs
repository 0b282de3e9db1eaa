//! Secured views, bundles and mask keys of an entitlement: made when first needed, in one transaction.
//!
//! Must never replace a view, nor grant anything on a base table; the bundle's rows and rights become visible together
//! with the views. Called by `Warehouse::prepare`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use postgres_protocol::escape::escape_identifier;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use lanyard_engine::entitlement::{Access, Entitlement, Fingerprint, Operation};
use lanyard_engine::names;

use super::error::{WarehouseError, short};

const DOING: &str = "preparing an entitlement";
/// One preparer at a time in a database; any number will do as long as every node uses it ("lanyard" in ASCII).
const ADVISORY_LOCK: i64 = 0x6c61_6e79_6172_64;

/// What is in the warehouse for an entitlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The bundle role.
    pub bundle: String,
    /// By OID of the secured view.
    pub views: HashMap<u32, ViewIdentity>,
}

/// What a secured view stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewIdentity {
    /// OID of the governed relation.
    pub base_oid: u32,
    /// The view's attnum - 1 -> attnum in the governed relation.
    pub columns: Vec<i16>,
}

/// Does `INSERT … ON CONFLICT DO UPDATE` through a barrier view reach hidden rows on this server?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpsertHole {
    Open,
    Closed,
}

/// The bundle role of a fingerprint.
pub(super) fn bundle_name(fingerprint: Fingerprint) -> String {
    format!("{}{fingerprint}", names::BUNDLE_PREFIX)
}

/// Makes what is missing. Idempotent; safe against other nodes doing the same.
pub(super) async fn prepare(
    client: &mut Client,
    entitlement: &Entitlement,
    hole: UpsertHole,
) -> Result<Prepared, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let accesses: Vec<&Access> = entitlement.iter().collect();
    let bundle = bundle_name(entitlement.fingerprint);
    let tx = client.transaction().await.map_err(failed)?;
    tx.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])
        .await
        .map_err(failed)?;
    tx.execute_typed("SELECT lanyard.create_bundle($1)", &[(&bundle, Type::TEXT)])
        .await
        .map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}", names::OWNER_ROLE))
        .await
        .map_err(failed)?;

    make_keys(&tx, &accesses).await?;
    let mut states = look(&tx, &accesses, &bundle).await?;
    let mut made = false;
    for (access, state) in accesses.iter().zip(&states) {
        check_base(access, state)?;
        made |= make_view(&tx, access, state).await?;
    }
    if made {
        states = look(&tx, &accesses, &bundle).await?;
    }
    let mut views = HashMap::with_capacity(accesses.len());
    for (access, state) in accesses.iter().zip(&states) {
        let view = check_view(access, state)?;
        let columns = access.view.columns.iter().map(|c| c.base_number).collect();
        views.insert(
            view,
            ViewIdentity {
                base_oid: access.oid,
                columns,
            },
        );
    }
    let ready = accesses
        .iter()
        .zip(&states)
        .all(|(access, state)| state.is_granted(access, hole));
    if !ready || !announced_alike(&tx, &bundle, &accesses, &states).await? {
        grant(&tx, &bundle, &accesses, &states, hole).await?;
        announce(&tx, &bundle, &accesses, &states).await?;
    }
    tx.commit().await.map_err(failed)?;
    Ok(Prepared { bundle, views })
}

/// What the server says about one access: the governed relation, and the secured view where it exists.
struct State {
    base_oid: Option<u32>,
    base_kind: Option<String>,
    /// `(attnum, name)` of the governed relation.
    base_columns: Vec<(i16, String)>,
    view: Option<u32>,
    owned: bool,
    barrier: bool,
    check_option: bool,
    view_columns: Vec<String>,
    reads: Vec<u32>,
    may_select: bool,
    may_insert: bool,
    may_update: bool,
    may_delete: bool,
}

impl State {
    fn is_granted(&self, access: &Access, hole: UpsertHole) -> bool {
        let want = Rights::of(access, hole);
        self.may_select == want.select
            && self.may_delete == want.delete
            && self.may_insert == want.insert
            && self.may_update == want.update
    }
}

/// What a bundle holds on a view.
#[derive(Clone, Copy)]
struct Rights {
    select: bool,
    insert: bool,
    update: bool,
    delete: bool,
}

impl Rights {
    fn of(access: &Access, hole: UpsertHole) -> Self {
        let write = access.operations.contains(&Operation::Write);
        let columns = write && access.view.columns.iter().any(|c| c.writable);
        Self {
            select: access.operations.contains(&Operation::Read),
            insert: columns,
            // Where the hole is open, INSERT and UPDATE together would move hidden rows into sight.
            update: columns && !(access.view.barrier && hole == UpsertHole::Open),
            delete: write,
        }
    }
}

const LOOK: &str = "
    SELECT c.oid, c.relkind::text,
           ARRAY(SELECT a.attnum FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
           v.oid, coalesce(v.relkind = 'v' AND v.relowner = current_user::regrole, false),
           coalesce('security_barrier=true' = ANY (v.reloptions), false),
           coalesce('check_option=cascaded' = ANY (v.reloptions), false),
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
           ARRAY(SELECT DISTINCT d.refobjid FROM pg_rewrite r
                 JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                 AND d.refclassid = 'pg_class'::regclass
                 WHERE r.ev_class = v.oid),
           coalesce(has_table_privilege(b.oid, v.oid, 'SELECT'), false),
           coalesce(has_any_column_privilege(b.oid, v.oid, 'INSERT'), false),
           coalesce(has_any_column_privilege(b.oid, v.oid, 'UPDATE'), false),
           coalesce(has_table_privilege(b.oid, v.oid, 'DELETE'), false)
    FROM jsonb_to_recordset($1::jsonb) AS w(place int, schema text, name text, view text)
    LEFT JOIN pg_namespace n ON n.nspname = w.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    LEFT JOIN pg_class v ON v.relname = w.view AND v.relnamespace = 'lanyard_secured'::regnamespace
    LEFT JOIN pg_roles b ON b.rolname = $2
    ORDER BY w.place";

async fn look(tx: &Transaction<'_>, accesses: &[&Access], bundle: &str) -> Result<Vec<State>, WarehouseError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        place: usize,
        schema: &'a str,
        name: &'a str,
        view: &'a str,
    }
    let wanted: Vec<Wanted<'_>> = accesses
        .iter()
        .enumerate()
        .map(|(place, access)| Wanted {
            place,
            schema: &access.relation.schema,
            name: &access.relation.name,
            view: &access.view.name,
        })
        .collect();
    let wanted = json(&wanted)?;
    let failed = |e| WarehouseError::from_client(e, DOING);
    let rows = tx
        .query_typed(LOOK, &[(&wanted, Type::TEXT), (&bundle, Type::TEXT)])
        .await
        .map_err(failed)?;
    if rows.len() != accesses.len() {
        return Err(WarehouseError::Protocol("an answer of another length".into()));
    }
    rows.iter()
        .map(state)
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

fn state(row: &tokio_postgres::Row) -> Result<State, tokio_postgres::Error> {
    let numbers: Vec<i16> = row.try_get(2)?;
    let column_names: Vec<String> = row.try_get(3)?;
    Ok(State {
        base_oid: row.try_get(0)?,
        base_kind: row.try_get(1)?,
        base_columns: numbers.into_iter().zip(column_names).collect(),
        view: row.try_get(4)?,
        owned: row.try_get(5)?,
        barrier: row.try_get(6)?,
        check_option: row.try_get(7)?,
        view_columns: row.try_get(8)?,
        reads: row.try_get(9)?,
        may_select: row.try_get(10)?,
        may_insert: row.try_get(11)?,
        may_update: row.try_get(12)?,
        may_delete: row.try_get(13)?,
    })
}

/// The governed relation must be the one the entitlement was made for.
fn check_base(access: &Access, state: &State) -> Result<(), WarehouseError> {
    let changed = |what: String| {
        Err(WarehouseError::Changed {
            relation: access.relation.clone(),
            what,
        })
    };
    match state.base_oid {
        None => return changed("it is gone".into()),
        Some(oid) if oid != access.oid => return changed("another one has its name".into()),
        Some(_) => {}
    }
    for column in &access.view.columns {
        let there = state
            .base_columns
            .iter()
            .any(|(number, name)| *number == column.base_number && *name == column.name);
        if !there {
            return changed(format!("column {:?} is gone", column.name));
        }
    }
    Ok(())
}

/// Is a filtered view guarded against rows that would be written out of sight? Always where it can be (read-only
/// entitlements share the view with writing ones).
fn wants_check_option(access: &Access, state: &State) -> bool {
    let table = matches!(state.base_kind.as_deref(), Some("r" | "p" | "f"));
    access.view.barrier
        && access.view.columns.iter().any(|c| c.writable)
        && (table || access.operations.contains(&Operation::Write))
}

/// Creates the view unless it is there. True when it did.
async fn make_view(tx: &Transaction<'_>, access: &Access, state: &State) -> Result<bool, WarehouseError> {
    let name = &access.view.name;
    let hash = name.strip_prefix("v_").unwrap_or_default();
    if hash.len() != 32 || !hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(wrong(access, "its name is not \"v_\" and 32 hexadecimal digits"));
    }
    if state.view.is_some() {
        // A view follows its table when that is renamed: after a rename-and-swap it reads the old one. Nobody needs it
        // then; who still reads it makes us wait for lock_timeout and fail.
        if !state.owned || state.reads.contains(&access.oid) {
            return Ok(false);
        }
        run(tx, access, &format!("DROP VIEW lanyard_secured.{name}")).await?;
    }
    let options = match (access.view.barrier, wants_check_option(access, state)) {
        (true, true) => " WITH (security_barrier=true, check_option=cascaded)",
        (true, false) => " WITH (security_barrier=true)",
        (false, _) => "",
    };
    let sql = format!("CREATE VIEW lanyard_secured.{name}{options} AS {}", access.view.select_sql);
    run(tx, access, &sql).await?;
    Ok(true)
}

/// Runs one statement (the extended protocol takes no second one) for one access.
async fn run(tx: &Transaction<'_>, access: &Access, sql: &str) -> Result<(), WarehouseError> {
    match tx.execute_typed(sql, &[]).await {
        Ok(_) => Ok(()),
        Err(e) => Err(match e.as_db_error() {
            Some(answer) => WarehouseError::View {
                relation: access.relation.clone(),
                what: short(answer.message()),
                sqlstate: Some(answer.code().code().to_owned()),
            },
            None => WarehouseError::from_client(e, DOING),
        }),
    }
}

fn wrong(access: &Access, what: &str) -> WarehouseError {
    WarehouseError::View {
        relation: access.relation.clone(),
        what: what.to_owned(),
        sqlstate: None,
    }
}

/// The view must be what its name says, whoever made it. Answers its OID.
fn check_view(access: &Access, state: &State) -> Result<u32, WarehouseError> {
    let view = state
        .view
        .ok_or_else(|| wrong(access, "the server does not show it"))?;
    if !state.owned {
        return Err(wrong(access, "a relation of its name is not a view of lanyard_owner"));
    }
    if state.barrier != access.view.barrier {
        return Err(wrong(access, "security_barrier is not as it should be"));
    }
    if !state.reads.contains(&access.oid) {
        return Err(wrong(access, "it does not read the governed relation"));
    }
    if !state
        .view_columns
        .iter()
        .eq(access.view.columns.iter().map(|c| &c.name))
    {
        return Err(wrong(access, "its columns are others than expected"));
    }
    let writes = Rights::of(access, UpsertHole::Closed).insert;
    if writes && access.view.barrier && !state.check_option {
        return Err(wrong(access, "it would let rows be written out of sight (no check option)"));
    }
    Ok(view)
}

/// Makes mask keys that are missing: 32 random bytes, kept as the HMAC pads of RFC 2104. Made in the database, because a
/// parameter would be in its log under `log_statement = all`; three version-4 UUIDs carry 366 bits of `pg_strong_random`.
const MAKE_KEYS: &str = "
    WITH k AS MATERIALIZED (
      SELECT w.id, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                          || uuid_send(gen_random_uuid())) AS key
      FROM jsonb_array_elements_text($1::jsonb) AS w(id)
      WHERE NOT EXISTS (SELECT FROM lanyard.mask_key m WHERE m.id = w.id)
    )
    INSERT INTO lanyard.mask_key (id, inner_pad, outer_pad)
    SELECT k.id,
           decode(string_agg(lpad(to_hex(b.byte # 54), 2, '0'), '' ORDER BY b.place), 'hex'),
           decode(string_agg(lpad(to_hex(b.byte # 92), 2, '0'), '' ORDER BY b.place), 'hex')
    FROM k CROSS JOIN LATERAL (
      SELECT i, CASE WHEN i < 32 THEN get_byte(k.key, i) ELSE 0 END FROM generate_series(0, 63) AS i
    ) AS b(place, byte)
    GROUP BY k.id
    ON CONFLICT DO NOTHING";

async fn make_keys(tx: &Transaction<'_>, accesses: &[&Access]) -> Result<(), WarehouseError> {
    let keys: BTreeSet<&str> = accesses
        .iter()
        .flat_map(|a| a.view.keys.iter().map(String::as_str))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let keys = json(&keys)?;
    tx.execute_typed(MAKE_KEYS, &[(&keys, Type::TEXT)])
        .await
        .map_err(|e| WarehouseError::from_client(e, "making mask keys"))?;
    Ok(())
}

/// Sequences behind column defaults: the default is evaluated with the rights of who inserts.
const SEQUENCES: &str = "
    SELECT DISTINCT format('%I.%I', n.nspname, s.relname)
    FROM pg_attrdef d
    JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = p.refobjid
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE d.adrelid = ANY ($1)
      AND CASE WHEN s.relkind = 'S' THEN has_sequence_privilege(s.oid, 'USAGE WITH GRANT OPTION') ELSE false END
    ORDER BY 1";

/// Sets what the bundle holds on each view, and on the sequences that its inserts draw from.
async fn grant(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
    hole: UpsertHole,
) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "granting to a bundle");
    let mut sql = String::new();
    let mut inserts: Vec<u32> = Vec::new();
    for (access, state) in accesses.iter().zip(states) {
        let rights = Rights::of(access, hole);
        let columns: Vec<String> = access
            .view
            .columns
            .iter()
            .filter(|c| c.writable)
            .map(|c| escape_identifier(&c.name))
            .collect();
        let columns = columns.join(", ");
        let mut words = Vec::new();
        words.extend(rights.select.then(|| "SELECT".to_owned()));
        words.extend(rights.insert.then(|| format!("INSERT ({columns})")));
        words.extend(rights.update.then(|| format!("UPDATE ({columns})")));
        words.extend(rights.delete.then(|| "DELETE".to_owned()));
        let view = &access.view.name;
        // INVARIANT: writing to a String cannot fail.
        writeln!(
            sql,
            "REVOKE ALL ON lanyard_secured.{view} FROM {bundle};\n\
             GRANT {} ON lanyard_secured.{view} TO {bundle};",
            words.join(", ")
        )
        .expect("writing to a String");
        if rights.insert {
            inserts.extend(state.base_oid);
        }
    }
    if !inserts.is_empty() {
        for row in tx.query(SEQUENCES, &[&inserts]).await.map_err(failed)? {
            let sequence: &str = row.try_get(0).map_err(failed)?;
            writeln!(sql, "GRANT USAGE ON SEQUENCE {sequence} TO {bundle};").expect("writing to a String");
        }
    }
    tx.batch_execute(&sql).await.map_err(failed)
}

/// A row of `lanyard.bundle_relation` with its columns.
#[derive(Debug, Serialize)]
struct Announced<'a> {
    relid: u32,
    view: u32,
    readable: bool,
    writable: bool,
    columns: Vec<(i16, &'a str)>,
}

fn announcement<'a>(accesses: &[&'a Access], states: &[State]) -> Vec<Announced<'a>> {
    accesses
        .iter()
        .zip(states)
        .map(|(access, state)| Announced {
            relid: access.oid,
            view: state.view.unwrap_or_default(),
            readable: access.operations.contains(&Operation::Read),
            writable: access.operations.contains(&Operation::Write),
            columns: access
                .view
                .columns
                .iter()
                .map(|c| (c.base_number, c.name.as_str()))
                .collect(),
        })
        .collect()
}

/// Is what the virtual catalog shows for this bundle what it should show?
const ALIKE: &str = "
    WITH w AS (SELECT * FROM jsonb_to_recordset($2::jsonb)
                 AS w(relid oid, view oid, readable bool, writable bool, columns jsonb)),
    r AS (SELECT relid, view, readable, writable FROM lanyard.bundle_relation WHERE bundle = $1::name),
    c AS (SELECT relid, attnum, name::text FROM lanyard.bundle_column WHERE bundle = $1::name),
    wr AS (SELECT relid, view, readable, writable FROM w),
    wc AS (SELECT w.relid, (e.v ->> 0)::int2, e.v ->> 1 FROM w, jsonb_array_elements(w.columns) AS e(v))
    SELECT NOT EXISTS ((TABLE r EXCEPT TABLE wr) UNION ALL (TABLE wr EXCEPT TABLE r))
       AND NOT EXISTS ((TABLE c EXCEPT TABLE wc) UNION ALL (TABLE wc EXCEPT TABLE c))";

async fn announced_alike(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let wanted = json(&announcement(accesses, states))?;
    tx.query_typed_one(ALIKE, &[(&bundle, Type::TEXT), (&wanted, Type::TEXT)])
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)
}

const ANNOUNCE: &str = "
    WITH w AS (SELECT * FROM jsonb_to_recordset($2::jsonb)
                 AS w(relid oid, view oid, readable bool, writable bool, columns jsonb)),
    r AS (INSERT INTO lanyard.bundle_relation (bundle, relid, view, readable, writable)
          SELECT $1::name, relid, view, readable, writable FROM w)
    INSERT INTO lanyard.bundle_column (bundle, relid, attnum, name)
    SELECT $1::name, w.relid, (e.v ->> 0)::int2, e.v ->> 1 FROM w, jsonb_array_elements(w.columns) AS e(v)";

async fn announce(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "announcing a bundle");
    for table in ["bundle_column", "bundle_relation"] {
        let sql = format!("DELETE FROM lanyard.{table} WHERE bundle = $1::name");
        tx.execute_typed(&sql, &[(&bundle, Type::TEXT)])
            .await
            .map_err(failed)?;
    }
    let rows = json(&announcement(accesses, states))?;
    tx.execute_typed(ANNOUNCE, &[(&bundle, Type::TEXT), (&rows, Type::TEXT)])
        .await
        .map_err(failed)?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String, WarehouseError> {
    serde_json::to_string(value).map_err(|e| WarehouseError::Protocol(format!("a request of ours: {e}")))
}

/// Tries it, in a transaction that is rolled back: does an upsert through a filtered view hand out a hidden row?
pub(super) async fn probe_upsert_hole(client: &mut Client) -> Result<UpsertHole, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "probing ON CONFLICT through a view");
    let tx = client.transaction().await.map_err(failed)?;
    tx.batch_execute(
        "SET LOCAL ROLE lanyard_owner;
         CREATE TABLE lanyard_secured.probe_table (id int PRIMARY KEY, region text, hidden text);
         INSERT INTO lanyard_secured.probe_table VALUES (1, 'there', 'hidden');
         CREATE VIEW lanyard_secured.probe_view WITH (security_barrier=true, check_option=cascaded)
           AS SELECT id, region, hidden FROM lanyard_secured.probe_table WHERE region = 'here';",
    )
    .await
    .map_err(failed)?;
    let upsert = tx
        .execute_typed(
            "INSERT INTO lanyard_secured.probe_view (id, region) VALUES (1, 'here')
             ON CONFLICT (id) DO UPDATE SET region = 'here' RETURNING hidden",
            &[],
        )
        .await;
    let hole = match upsert {
        // 55000: the server looked at the hidden row and refused.
        Err(e) if e.code().is_some_and(|c| c.code() == "55000") => UpsertHole::Closed,
        Err(e) if e.is_closed() => return Err(failed(e)),
        Ok(_) | Err(_) => UpsertHole::Open,
    };
    tx.rollback().await.map_err(failed)?;
    Ok(hole)
}
