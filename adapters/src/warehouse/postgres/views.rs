//! Secured views and mask keys of an entitlement: made when first needed, in one transaction.
//!
//! Must never replace a view, nor grant anything on a base table; the bundle's rows and rights become visible together
//! with the views. Called by `Warehouse::prepare`.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use lanyard_engine::entitlement::{Access, Entitlement, Operation};
use lanyard_engine::names;

use super::bundles::{Rights, UpsertHole, announce, announced_alike, bundle_name, grant};
use super::copies;
use super::error::{WarehouseError, short};
use super::extras;
use super::migration;

const DOING: &str = "preparing an entitlement";
/// One preparer at a time in a database; any number will do as long as every node uses it ("lanyard" in ASCII).
pub(super) const ADVISORY_LOCK: i64 = 0x006c_616e_7961_7264;

/// What is in the warehouse for an entitlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The bundle role.
    pub bundle: String,
    /// By OID of the secured view.
    pub views: HashMap<u32, ViewIdentity>,
    /// Are all views there? Those of tables that a DBA is changing are not.
    pub whole: bool,
}

/// What a secured view stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewIdentity {
    /// OID of the governed relation.
    pub base_oid: u32,
    /// The view's attnum - 1 -> attnum in the governed relation.
    pub columns: Vec<i16>,
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
    tx.execute_typed("SELECT lanyard.create_bundle($1)", &[(&bundle, Type::TEXT)]).await.map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}", names::OWNER_ROLE)).await.map_err(failed)?;

    let changing = migration::under_way(&tx).await?;
    let is_open = |access: &Access| !changing.as_ref().is_some_and(|concern| concern.holds(access));
    make_keys(&tx, &accesses).await?;
    let mut states = look(&tx, &accesses, &bundle).await?;
    let mut made = false;
    for (access, state) in accesses.iter().zip(&states).filter(|(access, _)| is_open(access)) {
        check_base(access, state)?;
        made |= make_view(&tx, access, state).await?;
    }
    if made {
        states = look(&tx, &accesses, &bundle).await?;
    }
    let mut views = HashMap::with_capacity(accesses.len());
    for (access, state) in accesses.iter().zip(&states).filter(|(access, _)| is_open(access)) {
        let view = check_view(access, state)?;
        let columns = access.view.columns.iter().map(|c| c.base_number).collect();
        views.insert(view, ViewIdentity { base_oid: access.oid, columns });
    }
    let ready = accesses.iter().zip(&states).all(|(access, state)| state.is_granted(access, hole));
    if !ready || !announced_alike(&tx, &bundle, &accesses, &states).await? {
        grant(&tx, &bundle, &accesses, &states, hole).await?;
        announce(&tx, &bundle, &accesses, &states).await?;
    }
    let open: Vec<&Access> = accesses.iter().copied().filter(|access| is_open(access)).collect();
    copies::prepare(&tx, &bundle, &open).await?;
    extras::grant(&tx, &bundle, entitlement).await?;
    tx.commit().await.map_err(failed)?;
    Ok(Prepared { bundle, views, whole: open.len() == accesses.len() })
}

/// What the server says about one access: the governed relation, and the secured view where it exists.
pub(super) struct State {
    pub(super) base_oid: Option<u32>,
    base_kind: Option<String>,
    /// `(attnum, name)` of the governed relation.
    base_columns: Vec<(i16, String)>,
    pub(super) view: Option<u32>,
    owned: bool,
    barrier: bool,
    check_option: bool,
    view_columns: Vec<String>,
    /// What the view reads: OIDs, and names as a view's SELECT spells them.
    reads: Vec<u32>,
    reads_names: Vec<String>,
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

const LOOK: &str = r#"
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
           ARRAY(SELECT DISTINCT format('"%s"."%s"', replace(rn.nspname, '"', '""'), replace(rc.relname, '"', '""'))
                 FROM pg_rewrite r
                 JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                 AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
                 JOIN pg_class rc ON rc.oid = d.refobjid JOIN pg_namespace rn ON rn.oid = rc.relnamespace
                 WHERE r.ev_class = v.oid AND rn.nspname NOT IN ('lanyard', 'pg_catalog')),
           coalesce(has_table_privilege(b.oid, v.oid, 'SELECT'), false),
           coalesce(has_any_column_privilege(b.oid, v.oid, 'INSERT'), false),
           coalesce(has_any_column_privilege(b.oid, v.oid, 'UPDATE'), false),
           coalesce(has_table_privilege(b.oid, v.oid, 'DELETE'), false)
    FROM jsonb_to_recordset($1::jsonb) AS w(place int, schema text, name text, view text)
    LEFT JOIN pg_namespace n ON n.nspname = w.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    LEFT JOIN pg_class v ON v.relname = w.view AND v.relnamespace = 'lanyard_secured'::regnamespace
    LEFT JOIN pg_roles b ON b.rolname = $2
    ORDER BY w.place"#;

async fn look(
    tx: &Transaction<'_>,
    accesses: &[&Access],
    bundle: &str,
) -> Result<Vec<State>, WarehouseError> {
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
    let rows = tx.query_typed(LOOK, &[(&wanted, Type::TEXT), (&bundle, Type::TEXT)]).await.map_err(failed)?;
    if rows.len() != accesses.len() {
        return Err(WarehouseError::Protocol("an answer of another length".into()));
    }
    rows.iter().map(state).collect::<Result<_, tokio_postgres::Error>>().map_err(failed)
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
        reads_names: row.try_get(10)?,
        may_select: row.try_get(11)?,
        may_insert: row.try_get(12)?,
        may_update: row.try_get(13)?,
        may_delete: row.try_get(14)?,
    })
}

/// The governed relation must be the one the entitlement was made for.
fn check_base(access: &Access, state: &State) -> Result<(), WarehouseError> {
    let changed = |what: String| Err(WarehouseError::Changed { relation: access.relation.clone(), what });
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
        // Who still reads a stale one makes us wait for lock_timeout and fail.
        if !state.owned || !is_stale(access, state) {
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

/// A view follows its tables when they are renamed: after a rename-and-swap it reads the old ones, under names that its
/// definition does not have.
fn is_stale(access: &Access, state: &State) -> bool {
    !state.reads.contains(&access.oid)
        || state.reads_names.iter().any(|name| !access.view.select_sql.contains(name))
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
    WarehouseError::View { relation: access.relation.clone(), what: what.to_owned(), sqlstate: None }
}

/// The view must be what its name says, whoever made it. Answers its OID.
fn check_view(access: &Access, state: &State) -> Result<u32, WarehouseError> {
    let view = state.view.ok_or_else(|| wrong(access, "the server does not show it"))?;
    if !state.owned {
        return Err(wrong(access, "a relation of its name is not a view of lanyard_owner"));
    }
    if state.barrier != access.view.barrier {
        return Err(wrong(access, "security_barrier is not as it should be"));
    }
    if is_stale(access, state) {
        return Err(wrong(access, "it does not read the relations that policy names"));
    }
    if !state.view_columns.iter().eq(access.view.columns.iter().map(|c| &c.name)) {
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
    let keys: BTreeSet<&str> = accesses.iter().flat_map(|a| a.view.keys.iter().map(String::as_str)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let keys = json(&keys)?;
    tx.execute_typed(MAKE_KEYS, &[(&keys, Type::TEXT)])
        .await
        .map_err(|e| WarehouseError::from_client(e, "making mask keys"))?;
    Ok(())
}

/// Are all these relations there?
pub(super) async fn are_there(client: &Client, views: &[u32]) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "looking for secured views");
    let sql = "SELECT count(*) = cardinality($1) FROM pg_class WHERE oid = ANY ($1)";
    let row = client.query_typed_one(sql, &[(&views, Type::OID_ARRAY)]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, WarehouseError> {
    serde_json::to_string(value).map_err(|e| WarehouseError::Protocol(format!("a request of ours: {e}")))
}
