//! From the startup message to ReadyForQuery: proof, entitlement, role, backend.
//!
//! Identity is read from the startup message once and proven before anything else happens; nothing the client can
//! write later changes it. Called by the listener under the login clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use lanyard_adapters::store::Who;
use lanyard_adapters::warehouse::postgres::Login;
use lanyard_engine::identity::{Parties, RoleName, SessionId, ShortId};
use lanyard_engine::record::{
    Attempt, Disposition, Objects, Outcome, RulingId, SessionFacts, SessionPart, StatementPart, Status,
};
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::released::{Filed, Ledger as _, LedgerFull};
use lanyard_engine::sql::{self, paths::Paths};
use ring::rand::SecureRandom as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use crate::net::strangers::Stranger;
use crate::net::stream::ClientStream;
use crate::server::Shared;
use crate::vend::{self, Ending, Governor, Lease, Live};
use crate::wire::backend::{Severity, cstring, message, parameter_status, ready, refusal as say_refusal};
use crate::wire::frame;
use crate::wire::startup::Startup;

use super::backend::{self, Backend, unreachable_warehouse};
use super::exchange::{Exchange, Process, now_us};
use super::question::grantee;
use super::scram;
use super::wish::{Prover, Wish, read_wish};

/// Largest message during authentication, in bytes.
const AUTHENTICATION_BYTES_MAX: usize = 4096;
/// Protocol 3.2 is the newest we speak.
const NEWEST_MINOR: u16 = 2;
/// A session ready to be served. Dropping it ends its lease.
pub struct Session {
    pub(super) exchange: Exchange,
    pub(super) client: ClientStream,
    pub(super) client_in: BytesMut,
    pub(super) backend: Backend,
    pub(super) opened: backend::Opened,
    pub(super) end: watch::Receiver<Option<Ending>>,
    pub(super) expires: Instant,
    pub(super) place: Place,
    pub(super) lease: Lease,
    pub(super) room: OwnedSemaphorePermit,
}

/// A session's place among the live ones, given up with the value.
pub(super) struct Place {
    shared: Arc<Shared>,
    pub(super) id: SessionId,
    /// What the client holds to cancel.
    key: (i32, [u8; 4]),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.registry.remove(self.id, self.key);
    }
}

/// Logs a client in, which has to prove itself while it may wait as a stranger; then the warehouse has as long as a login may take. On success
/// everything up to ReadyForQuery has been written.
///
/// # Errors
/// The refusal to say, with the stream to say it on.
pub async fn login(
    mut client: Box<ClientStream>,
    startup: Startup,
    peer: SocketAddr,
    stranger: Stranger,
    shared: &Arc<Shared>,
) -> Result<Session, (Box<ClientStream>, Refusal)> {
    match try_login(&mut client, startup, peer, stranger, shared).await {
        Ok(parts) => Ok(parts.into_session(*client)),
        Err(refusal) => Err((client, refusal)),
    }
}

/// A session but for its client's stream.
struct Parts {
    exchange: Exchange,
    client_in: BytesMut,
    backend: Backend,
    opened: backend::Opened,
    end: watch::Receiver<Option<Ending>>,
    expires: Instant,
    place: Place,
    lease: Lease,
    room: OwnedSemaphorePermit,
}

impl Parts {
    fn into_session(self, client: ClientStream) -> Session {
        let Self { exchange, client_in, backend, opened, end, expires, place, lease, room } = self;
        Session { exchange, client, client_in, backend, opened, end, expires, place, lease, room }
    }
}

async fn try_login(
    client: &mut ClientStream,
    startup: Startup,
    peer: SocketAddr,
    mut stranger: Stranger,
    shared: &Arc<Shared>,
) -> Result<Parts, Refusal> {
    let (minor, unknown_options) = (startup.minor, startup.unknown_options.clone());
    let (governor, wish) = read_wish(startup, shared)?;
    let mut facts = facts(&wish, peer, &governor);

    let mut out = BytesMut::with_capacity(1024);
    if minor > NEWEST_MINOR || !unknown_options.is_empty() {
        negotiate(&mut out, minor, &unknown_options);
    }
    let mut client_in = BytesMut::with_capacity(1024);
    let proof = prove(client, &mut client_in, out, &wish, &governor, shared);
    let proof = stranger.while_waiting(proof).await.unwrap_or_else(|| Err(unproven(&mut stranger)));
    drop(stranger);
    let authentication = proof.inspect_err(|refusal| record_login(shared, &facts, Some(refusal)))?;
    facts.authentication = authentication;

    let entered = timeout(shared.login, enter(&wish, &mut facts, &governor, shared)).await;
    let entered = entered.unwrap_or_else(|_| Err(too_slow(&governor, shared.login)));
    let Entered { opened, place, end, room } =
        entered.inspect_err(|refusal| record_login(shared, &facts, Some(refusal)))?;
    record_login(shared, &facts, None);

    let mut out = BytesMut::with_capacity(1024);
    greet(&mut out, &wish, &opened, place.key);
    send(client, &mut out).await?;
    let stamp = sql::stamp(&wish.principal, place.id);
    let shard = shared.ledger.shard(shared.next_shard.fetch_add(1, Ordering::Relaxed));
    let mut exchange = Exchange::new(
        opened.granted,
        SessionPart::new(&shared.node, &facts),
        grantee(&wish.principal),
        stamp,
        Process { told: place.key.0, real: opened.opened.key.pid },
        shard,
        Arc::clone(&shared.metrics),
        shared.record_text,
        random_u64()?,
    );
    exchange.paths = opened.paths;
    Ok(Parts {
        exchange,
        client_in,
        backend: opened.backend,
        opened: opened.opened,
        end,
        expires: opened.expires,
        place,
        lease: opened.lease,
        room,
    })
}

fn facts(wish: &Wish, peer: SocketAddr, governor: &Governor) -> SessionFacts {
    let owner = wish.principal.agent().and_then(|agent| {
        governor.with(|snapshot, _| snapshot.identities.agents.get(agent).map(|a| a.owner.to_string()))
    });
    SessionFacts {
        session: String::new(),
        role: String::new(),
        mode: wish.principal.mode(),
        agent: wish.principal.agent().map(ToString::to_string),
        agent_owner: owner,
        user: wish.principal.user().map(ToString::to_string),
        user_proof: match wish.principal.parties {
            Parties::OnBehalfOf { .. } => "asserted",
            Parties::Autonomous { .. } => "none",
            Parties::Direct { .. } => "password",
        },
        authentication: "none",
        client_address: peer.to_string(),
        client_application: wish.application.clone(),
        database: wish.database.clone(),
        purpose: wish.principal.purpose.as_ref().map(ToString::to_string),
        task: wish.task.clone(),
        expires: 0,
    }
}

/// NegotiateProtocolVersion: the version we go on with, as the number that stands in a startup packet (that is what
/// PostgreSQL sends and libpq reads, whatever the manual's "minor version" suggests), and the options we do not know.
fn negotiate(out: &mut BytesMut, minor: u16, unknown: &[String]) {
    message(out, b'v', |out| {
        out.put_u32(3 << 16 | u32::from(minor.min(NEWEST_MINOR)));
        out.put_i32(i32::try_from(unknown.len()).unwrap_or(i32::MAX));
        for option in unknown {
            cstring(out, option);
        }
    });
}

/// The SCRAM exchange. `out` is what has to be written first.
async fn prove(
    client: &mut ClientStream,
    client_in: &mut BytesMut,
    mut out: BytesMut,
    wish: &Wish,
    governor: &Governor,
    shared: &Shared,
) -> Result<&'static str, Refusal> {
    let (shown, verifier) = governor.with(|_, credentials| match &wish.prover {
        Prover::Agent(agent) => (agent.to_string(), credentials.of(Who::Agent(agent)).cloned()),
        Prover::User(user) => (user.to_string(), credentials.of(Who::User(user)).cloned()),
    });
    let verifier = verifier.unwrap_or_else(|| scram::nobody(&shown, &shared.secret));
    let certificate =
        if client.is_tls() { shared.tls.as_ref().map(|tls| tls.certificate_pem.as_slice()) } else { None };
    let offer = scram::Offer::new(certificate);
    offer.ask(&mut out);
    send(client, &mut out).await?;
    let (waiting, mechanism) = offer.first(answer(client, client_in).await?, &verifier, &mut out)?;
    send(client, &mut out).await?;
    let body = answer(client, client_in).await?;
    scram::last(&waiting, &body, &mut out).ok_or_else(|| {
        Refusal::new(Code::BadLogin, format!("authentication failed for \"{shown}\"")).hint(
            "the key or password does not fit this agent or user; \"lanyard agent key\" makes a new key",
        )
    })?;
    send(client, &mut out).await?;
    Ok(mechanism)
}

async fn send(client: &mut ClientStream, out: &mut BytesMut) -> Result<(), Refusal> {
    let gone = |_| protocol("the client went away");
    client.write_all(out).await.map_err(gone)?;
    client.flush().await.map_err(gone)?;
    out.clear();
    Ok(())
}

/// One password message.
async fn answer(client: &mut ClientStream, buffer: &mut BytesMut) -> Result<BytesMut, Refusal> {
    loop {
        let cut =
            frame::cut(buffer, AUTHENTICATION_BYTES_MAX).map_err(|error| protocol(&error.to_string()))?;
        match cut {
            Some(frame) if frame.kind == b'p' => return Ok(frame.body),
            Some(_) => return Err(protocol("expected a password message")),
            None => {}
        }
        match client.read_buf(buffer).await {
            Ok(0) | Err(_) => return Err(protocol("the client went away")),
            Ok(_) => {}
        }
    }
}

/// What a proven principal is given.
struct Opened {
    granted: Arc<vend::Granted>,
    /// With the search path it came with.
    paths: Paths,
    backend: Backend,
    opened: backend::Opened,
    lease: Lease,
    expires: Instant,
}

async fn open(
    wish: &Wish,
    facts: &mut SessionFacts,
    id: SessionId,
    governor: &Arc<Governor>,
    shared: &Shared,
) -> Result<Opened, Refusal> {
    let (agent, user) = short_ids(wish, governor)?;
    let role = RoleName::of(agent, user, id);
    let lifetime = wish.lease.map_or(shared.lease, |wished| wished.min(shared.lease));
    let expires = SystemTime::now() + lifetime;
    facts.role = role.to_string();
    facts.expires = expires.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());

    let start = Instant::now();
    let (granted, lease, login) = vend_role(wish, &role, expires, governor, shared).await?;
    let mut settings = wish.settings.clone();
    let mut paths = Paths::default();
    if let Some(text) = &wish.path {
        let (home, upstream) = sql::startup_path(text, &granted.entitlement, governor.search_path())?;
        settings.push(("search_path".to_owned(), upstream));
        paths = Paths::from_home(home);
    }
    let mut backend = Backend::new(Arc::clone(governor), login, settings, id);
    let opened = backend.open().await?;
    shared.metrics.vended(start.elapsed());
    Ok(Opened { granted, paths, backend, opened, lease, expires: Instant::now() + lifetime })
}

/// SQLSTATE with which the warehouse says that a bundle is gone: another node collected it.
const BUNDLE_IS_GONE: &str = "22023";

/// How long a login waits for tables that change under it, in looks.
const SETTLING_LOOKS_MAX: usize = 20;
/// How long between them.
const SETTLING: Duration = Duration::from_millis(200);

/// What the principal is granted, once the tables are those of the snapshot.
async fn settled(wish: &Wish, governor: &Governor) -> Result<Arc<vend::Granted>, Refusal> {
    for _ in 0..SETTLING_LOOKS_MAX {
        match governor.granted(&wish.principal).await {
            Err(refusal) if refusal.code == Code::Changing => tokio::time::sleep(SETTLING).await,
            done => return done,
        }
    }
    governor.granted(&wish.principal).await
}

/// Vends the role; once more from the start when the bundle was collected meanwhile.
async fn vend_role(
    wish: &Wish,
    role: &RoleName,
    expires: SystemTime,
    governor: &Governor,
    shared: &Shared,
) -> Result<(Arc<vend::Granted>, Lease, Login), Refusal> {
    let mut tries = 2;
    loop {
        tries -= 1;
        let granted = settled(wish, governor).await?;
        let attributes = &granted.entitlement.session_attributes;
        let bundle = &granted.prepared.bundle;
        let alive = shared.alive()?;
        let workspace = granted.workspace.clone();
        let vended =
            vend::vend(governor.warehouse(), role.clone(), bundle, attributes, workspace, expires, alive)
                .await;
        match vended {
            Ok((lease, login)) => return Ok((granted, lease, login)),
            Err(error) if tries > 0 && error.sqlstate() == Some(BUNDLE_IS_GONE) => {
                governor.forget(&wish.principal, &granted);
            }
            Err(error) => return Err(unreachable_warehouse(governor, &error)),
        }
    }
}

fn too_many(clients_max: usize) -> Refusal {
    Refusal::new(Code::TooManyClients, format!("more than {clients_max} clients"))
        .hint("try again later, or raise clients_max in [listen]")
}

fn unproven(stranger: &mut Stranger) -> Refusal {
    if stranger.was_sent_away() {
        return Refusal::new(Code::TooManyClients, "too many connections wait to prove who they are")
            .hint("try again later");
    }
    Refusal::new(Code::BadLogin, "the proof of who you are did not come in time")
        .hint("an operator sets login_seconds in [session]")
}

fn too_slow(governor: &Governor, within: Duration) -> Refusal {
    let (name, seconds) = (governor.name(), within.as_secs());
    tracing::warn!(database = %name, "the warehouse took longer over a login than {seconds} s");
    Refusal::new(Code::UpstreamLost, format!("the warehouse of \"{name}\" did not let you in within {seconds} s"))
        .hint("try again; if it persists, an operator sees what holds the warehouse up, or raises login_seconds in [session]")
}

/// The numbers in the role's name; also the moment an unknown person is refused, after the agent proved itself.
fn short_ids(wish: &Wish, governor: &Governor) -> Result<(Option<ShortId>, Option<ShortId>), Refusal> {
    governor.with(|snapshot, _| {
        let agent = match wish.principal.agent() {
            Some(id) => {
                Some(snapshot.identities.agents.get(id).ok_or_else(|| unknown("agent", id.as_str()))?.short)
            }
            None => None,
        };
        let user = match wish.principal.user() {
            Some(id) => {
                Some(snapshot.identities.users.get(id).ok_or_else(|| unknown("user", id.as_str()))?.short)
            }
            None => None,
        };
        Ok((agent, user))
    })
}

fn unknown(what: &str, id: &str) -> Refusal {
    Refusal::new(Code::NoIdentity, format!("{what} \"{id}\" is not known"))
        .hint(format!("an administrator registers one with: lanyard {what} add {id}"))
}

/// A session that others can find.
struct Entered {
    opened: Opened,
    place: Place,
    end: watch::Receiver<Option<Ending>>,
    room: OwnedSemaphorePermit,
}

/// How often a login begins again when its access changes under it.
const ENTER_TRIES: usize = 3;

/// Opens the backend and enters the session among the live ones; again from the start, as another session, when the access
/// changed meanwhile.
async fn enter(
    wish: &Wish,
    facts: &mut SessionFacts,
    governor: &Arc<Governor>,
    shared: &Arc<Shared>,
) -> Result<Entered, Refusal> {
    let room = Arc::clone(&shared.room).try_acquire_owned().map_err(|_| too_many(shared.clients_max))?;
    for _ in 0..ENTER_TRIES {
        let id = SessionId::from_u128(uuid::Uuid::new_v4().as_u128());
        facts.session = id.to_string();
        let mut opened = open(wish, facts, id, governor, shared).await?;
        let (place, end) = register(shared, id, governor, wish, &opened)?;
        // A snapshot that came between compiling the entitlement and entering the session did not find it.
        if let Some(granted) = current(governor, wish, &opened).await? {
            opened.granted = granted;
            return Ok(Entered { opened, place, end, room });
        }
    }
    Err(Refusal::new(Code::ShuttingDown, "your access changed while you logged in").hint("connect again"))
}

/// Makes the cancel key the client holds (4 bytes, as protocol 3.0 has it) and enters the session.
fn register(
    shared: &Arc<Shared>,
    id: SessionId,
    governor: &Governor,
    wish: &Wish,
    opened: &Opened,
) -> Result<(Place, watch::Receiver<Option<Ending>>), Refusal> {
    let entitlement = &opened.granted.entitlement;
    for _ in 0..8 {
        let random = random_u64()?.to_be_bytes();
        let (Some(pid), Some(secret)) = (random.first_chunk::<4>(), random.last_chunk::<4>()) else { break };
        let key = (i32::from_be_bytes(*pid) & i32::MAX, *secret);
        let (end, ended) = watch::channel(None);
        let live = Live {
            database: governor.name().to_owned(),
            principal: wish.principal.clone(),
            fingerprint: entitlement.fingerprint,
            attributes: entitlement.session_attributes.clone(),
            warehouse: governor.warehouse().clone(),
            upstream: Some(opened.opened.key.clone()),
            end,
        };
        if shared.registry.add(id, key, live) {
            return Ok((Place { shared: Arc::clone(shared), id, key }, ended));
        }
    }
    Err(Refusal::new(Code::Internal, "no cancel key could be made"))
}

/// What the principal is granted now, where that is what the session was opened for.
async fn current(
    governor: &Governor,
    wish: &Wish,
    opened: &Opened,
) -> Result<Option<Arc<vend::Granted>>, Refusal> {
    if !governor.has_key(&wish.principal) {
        return Err(Refusal::new(Code::ShuttingDown, "your key was taken away while you logged in"));
    }
    let now = settled(wish, governor).await?;
    let (now_is, was) = (&now.entitlement, &opened.granted.entitlement);
    let same = now_is.fingerprint == was.fingerprint && now_is.session_attributes == was.session_attributes;
    Ok(same.then_some(now))
}

/// AuthenticationOk to ReadyForQuery. Parameters are the warehouse's, but for those that are the principal's.
fn greet(out: &mut BytesMut, wish: &Wish, opened: &Opened, key: (i32, [u8; 4])) {
    message(out, b'R', |out| out.put_i32(0));
    let own = match &wish.principal.parties {
        Parties::OnBehalfOf { agent, .. } | Parties::Autonomous { agent } => agent.as_str(),
        Parties::Direct { user } => user.as_str(),
    };
    for (name, value) in &opened.backend.parameters {
        let value = match name.as_str() {
            "session_authorization" => own,
            "is_superuser" => "off",
            "application_name" => wish.application.as_str(),
            "search_path" => &sql::shown_path(value),
            _ => value,
        };
        parameter_status(out, name, value);
    }
    message(out, b'K', |out| {
        out.put_i32(key.0);
        out.extend_from_slice(&key.1);
    });
    ready(out, b'I');
}

/// One record per login, refused ones included.
fn record_login(shared: &Shared, facts: &SessionFacts, refusal: Option<&Refusal>) {
    let mut shard = shared.ledger.shard(0);
    let ruling = RulingId(uuid::Uuid::now_v7().as_u128());
    let disposition = if refusal.is_some() { Disposition::Refused } else { Disposition::Allowed };
    let attempt = Attempt {
        ruling,
        time_us: now_us(),
        session: &SessionPart::new(&shared.node, facts),
        protocol: "login",
        what: &StatementPart::new("LOGIN", "", None, &Objects::default(), disposition),
        sqlstate: refusal.map(|r| r.code.sqlstate()),
        reason: refusal.map(|r| r.message.as_str()),
        snapshot: 0,
        judge_us: 0,
    };
    match shard.file(&attempt) {
        Ok(filed) => finish_login(&mut shard, filed, ruling, refusal.is_none()),
        Err(LedgerFull) => tracing::error!("a login could not be recorded"),
    }
}

fn finish_login(shard: &mut lanyard_adapters::ledger::Shard, filed: Filed, ruling: RulingId, ok: bool) {
    drop(filed);
    if ok {
        shard.complete(&Outcome {
            ruling,
            time_us: now_us(),
            status: Status::Ok,
            sqlstate: None,
            rows: 0,
            bytes: 0,
            warehouse_us: 0,
        });
    }
}

fn random_u64() -> Result<u64, Refusal> {
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Refusal::new(Code::Internal, "no randomness"))?;
    Ok(u64::from_be_bytes(bytes))
}

pub(super) fn protocol(message: &str) -> Refusal {
    Refusal::new(Code::Protocol, message)
}

/// Says a refusal and closes. Errors on the way are the client's business.
pub async fn say(client: &mut ClientStream, refusal: &Refusal) {
    let mut out = BytesMut::new();
    say_refusal(&mut out, Severity::Fatal, refusal, None, "");
    if client.write_all(&out).await.is_ok() && client.flush().await.is_ok() {
        drop(client.shutdown().await);
    }
}
