//! The adapter against a real PostgreSQL, started here.

mod bootstrap;
mod by_hand;
mod doctor;
mod floor;
mod identify;
mod login;
mod masks;
mod roles;
mod rows;
mod server;
mod views;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Client;

use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::{
    Access, Beneath, Entitlement, Extras, Fingerprint, Operation, RowRule, SecuredView, ViewColumn,
};
use lanyard_engine::identity::{RoleName, SessionId, ShortId};

use super::*;
use server::Server;

type Outcome = Result<(), Box<dyn Error>>;

const BUILDER_PASSWORD: &str = "builder's \\ password";
const VENDOR_PASSWORD: &str = "vendor $1 password";

/// The demo's table: three rows, two of them of US-EAST.
const SHOP: &str = "
    CREATE TYPE public.mood AS ENUM ('calm', 'angry');
    CREATE TABLE public.customer_orders (
      order_id serial PRIMARY KEY, lastname text, region text NOT NULL, order_total numeric(12,2) NOT NULL DEFAULT 0,
      mood public.mood);
    INSERT INTO public.customer_orders (lastname, region, order_total) VALUES
      ('Smith', 'US-EAST', 10), ('Jones', 'US-EAST', 20), ('SECRETNAME', 'US-WEST', 999);
    CREATE TABLE public.payroll (id int, salary int);
    INSERT INTO public.payroll VALUES (1, 100000);";

/// A bootstrapped database of its own on the shared server.
struct Shop {
    server: Arc<Server>,
    database: String,
    warehouse: Warehouse,
}

fn options() -> BootstrapOptions {
    BootstrapOptions {
        grant: vec!["public".into()],
        builder_password: Secret::new(BUILDER_PASSWORD),
        vendor_password: Secret::new(VENDOR_PASSWORD),
    }
}

impl Shop {
    async fn open(database: &str) -> Result<Self, Box<dyn Error>> {
        let server = Server::shared().await?;
        let dba = client_of(&server.endpoint("postgres"), &server.dba()).await?;
        dba.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        let endpoint = server.endpoint(database);
        let dba = client_of(&endpoint, &server.dba()).await?;
        dba.batch_execute(SHOP).await?;
        super::bootstrap(&endpoint, &server.dba(), &options()).await?;
        let warehouse = connect(&endpoint, database).await?;
        Ok(Self { server, database: database.to_owned(), warehouse })
    }

    fn endpoint(&self) -> Endpoint {
        self.server.endpoint(&self.database)
    }

    async fn dba(&self) -> Result<Client, Box<dyn Error>> {
        client_of(&self.endpoint(), &self.server.dba()).await
    }

    async fn oid(&self, table: &str) -> Result<u32, Box<dyn Error>> {
        let row = self.dba().await?.query_one("SELECT $1::text::regclass::oid", &[&table]).await?;
        Ok(row.try_get(0)?)
    }

    /// Rows of the subject's regions, lastname masked with a constant.
    async fn orders(&self, operations: &[Operation]) -> Result<Access, Box<dyn Error>> {
        let oid = self.oid("public.customer_orders").await?;
        let select = "SELECT t.order_id, 'REDACTED'::text AS lastname, t.region, t.order_total \
                      FROM public.customer_orders AS t WHERE t.region IN (SELECT a.value FROM lanyard.session_attribute \
                      AS a WHERE a.role = session_user AND a.key = 'user.region')";
        let columns =
            [("order_id", 1, true), ("lastname", 2, false), ("region", 3, true), ("order_total", 4, true)];
        let mut access = access("customer_orders", oid, operations, select, true, &columns);
        if operations.contains(&Operation::Write) {
            access.sequences = [RelationName::new("public", "customer_orders_order_id_seq")].into();
        }
        Ok(access)
    }
}

fn access(
    table: &str,
    oid: u32,
    operations: &[Operation],
    select: &str,
    barrier: bool,
    columns: &[(&str, i16, bool)],
) -> Access {
    let seed = format!("{select}{columns:?}");
    let mut hash = [0_u8; 16];
    let digest = ring::digest::digest(&ring::digest::SHA256, seed.as_bytes());
    hash.copy_from_slice(&digest.as_ref()[..16]);
    Access {
        relation: RelationName::new("public", table),
        oid,
        operations: operations.iter().copied().collect(),
        rows: RowRule::All,
        columns: BTreeMap::new(),
        granted_by: vec!["test".into()],
        sequences: BTreeSet::new(),
        undone_by: BTreeMap::new(),
        beneath: Beneath::default(),
        view: SecuredView {
            name: format!("v_{}", Fingerprint(hash)),
            // As the engine spells it.
            select_sql: select.replace("public.customer_orders", "\"public\".\"customer_orders\""),
            barrier,
            columns: columns
                .iter()
                .map(|(name, number, writable)| ViewColumn {
                    type_sql: "text".into(),
                    name: (*name).into(),
                    base_number: *number,
                    writable: *writable,
                    by_prefix: false,
                })
                .collect(),
            keys: BTreeSet::from(["table:public.customer_orders".to_owned()]),
        },
    }
}

/// Bundles are the server's: each test takes a fingerprint of its own.
fn entitlement(seed: &str, accesses: Vec<Access>) -> Entitlement {
    let mut hash = [0_u8; 16];
    let digest = ring::digest::digest(&ring::digest::SHA256, seed.as_bytes());
    hash.copy_from_slice(&digest.as_ref()[..16]);
    let mut relations: BTreeMap<String, BTreeMap<String, Arc<Access>>> = BTreeMap::new();
    for access in accesses {
        relations
            .entry(access.relation.schema.clone())
            .or_default()
            .insert(access.relation.name.clone(), Arc::new(access));
    }
    Entitlement {
        relations,
        extras: Extras::default(),
        shadow: BTreeMap::new(),
        fingerprint: Fingerprint(hash),
        session_attributes: attributes(&["US-EAST"]),
    }
}

fn attributes(regions: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    BTreeMap::from([("user.region".to_owned(), regions.iter().map(|r| (*r).to_owned()).collect())])
}

fn new_role() -> Result<RoleName, Box<dyn Error>> {
    let session = SessionId::from_u128(uuid::Uuid::new_v4().as_u128());
    Ok(RoleName::of(Some(ShortId::new(7)?), Some(ShortId::new(1)?), session))
}

fn lease(bundle: &str) -> Result<Lease, Box<dyn Error>> {
    Ok(Lease {
        role: new_role()?,
        bundle: bundle.to_owned(),
        expires: SystemTime::now() + Duration::from_secs(600),
        connections: 2,
        attributes: attributes(&["US-EAST"]),
        workspace: None,
    })
}

async fn connect(endpoint: &Endpoint, node: &str) -> Result<Warehouse, WarehouseError> {
    Warehouse::connect(
        endpoint.clone(),
        Login::new("lanyard_builder", Secret::new(BUILDER_PASSWORD)),
        Login::new("lanyard_vendor", Secret::new(VENDOR_PASSWORD)),
        vec!["public".into()],
        node.to_owned(),
    )
    .await
}

async fn client_of(endpoint: &Endpoint, login: &Login) -> Result<Client, Box<dyn Error>> {
    let connector = stream::Connector::new(endpoint.clone())?;
    Ok(client::connect(&connector, login, "test").await?)
}

/// Runs a simple query on a raw session: rows as text, or the SQLSTATE.
async fn ask(upstream: &mut Upstream, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let lost = |_| "08006".to_owned();
    let mut out = BytesMut::new();
    frontend::query(sql, &mut out).map_err(lost)?;
    upstream.stream.write_all(&out).await.map_err(lost)?;
    let mut buffer = std::mem::take(&mut upstream.leftover);
    let mut rows = Vec::new();
    let mut error = None;
    loop {
        while buffer.len() < 5 || buffer.len() < 1 + (&buffer[1..5]).get_u32() as usize {
            let read = upstream.stream.read_buf(&mut buffer).await.map_err(lost)?;
            if read == 0 {
                return Err(error.unwrap_or_else(|| "08006".into()));
            }
        }
        let mut frame = buffer.split_to(1 + (&buffer[1..5]).get_u32() as usize);
        let tag = frame.get_u8();
        frame.advance(4);
        match tag {
            b'D' => {
                let fields = frame.get_u16();
                let row = (0..fields).map(|_| {
                    let length = usize::try_from(frame.get_i32()).ok()?;
                    Some(String::from_utf8_lossy(&frame.split_to(length)).into_owned())
                });
                rows.push(row.collect());
            }
            b'E' => {
                let code = frame.as_ref().split(|b| *b == 0).find(|f| f.first() == Some(&b'C'));
                error = code.map(|c| String::from_utf8_lossy(&c[1..]).into_owned());
            }
            b'Z' => return error.map_or(Ok(rows), Err),
            _ => {}
        }
    }
}

/// The SQLSTATE of a refusal, or `00000`.
async fn state_of(upstream: &mut Upstream, sql: &str) -> String {
    ask(upstream, sql).await.err().unwrap_or_else(|| "00000".into())
}

/// Waits until `check` holds, at most ten seconds.
async fn eventually<F>(what: &str, mut check: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Result<bool, Box<dyn Error>>>,
{
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while !check().await? {
        if tokio::time::Instant::now() > end {
            return Err(format!("{what}: not within ten seconds").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
