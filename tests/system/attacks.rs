//! What the floor and the bypass tests share: the attacked warehouse, the catalogue of attacks, and the eye that looks for
//! secrets in what came back.
//!
//! `tests/attacks/catalogue.json` is a list of `{id, group, class, kind, sql, secret, answer}`. `secret` is a list of texts;
//! one of them in anything the server said is a leak. What was said is written `=text=` before the search, so `=text=` in
//! the catalogue means the whole of a value and `=text` its start. `kind` is what is at stake: `value`, `metadata`,
//! `existence`, or `exposed` for what somebody left open to PUBLIC, which no floor stops. `answer` says what the proxy must
//! do for who only reads: `runs`, `refused`, `any` where only the secret matters; `owner` what for who has a workspace, where an
//! attack on those does not end in a refusal.

use std::path::Path;
use std::sync::{Arc, Weak};

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::frame;
use lanyard_tests::{Frame, Governed, GovernedOptions, Outcome, Raw};
use serde_json::Value;
use tokio::sync::Mutex;

/// The principals under attack: one reads, one may write `app.notes` as well, one has a workspace.
pub(crate) const PRINCIPALS: [&str; 3] = ["eu_analyst", "eu_writer", "eu_worker"];

/// Values that nobody may see in any answer, whatever the entry says; not looked for where the attack itself says them.
const SECRETS: [&str; 14] = [
    "333-33-3333",
    "666-66-6666",
    "111-11-1111",
    "222-22-2222",
    "777-77-7777",
    "900-00-000",
    "SECRETNAME",
    "Hopper",
    "grace@us",
    "US-SECRET",
    "ARCHIVED-US",
    "LO-SECRET",
    "LEDGER-SECRET",
    "HIDDEN-SECRET",
];

/// One attack.
#[derive(Debug, Clone)]
pub(crate) struct Attack {
    pub(crate) id: String,
    pub(crate) class: String,
    pub(crate) kind: String,
    pub(crate) sql: String,
    pub(crate) secret: Vec<String>,
    pub(crate) answer: String,
    pub(crate) group: String,
    pub(crate) owner: Option<String>,
}

impl Attack {
    /// What the proxy must do with it for this principal.
    pub(crate) fn answer_to(&self, login: &str) -> &str {
        match login {
            "eu_analyst" => &self.answer,
            "eu_worker" if self.group == "W_workspace" => self.owner.as_deref().unwrap_or(&self.answer),
            // The others get further with some: only what leaks counts.
            _ => "any",
        }
    }
}

/// Every attack of the catalogue.
pub(crate) fn catalogue() -> Outcome<Vec<Attack>> {
    let entries: Vec<Value> = serde_json::from_str(include_str!("../attacks/catalogue.json"))?;
    let attack = |entry: &Value| -> Option<Attack> {
        let text = |field: &str| entry[field].as_str().map(str::to_owned);
        let secret = entry["secret"].as_array()?.iter().map(|s| s.as_str().map(str::to_owned));
        Some(Attack {
            id: text("id")?,
            class: text("class")?,
            kind: text("kind")?,
            sql: text("sql")?,
            secret: secret.collect::<Option<_>>()?,
            answer: text("answer")?,
            group: text("group")?,
            owner: text("owner"),
        })
    };
    entries.iter().map(|e| attack(e).ok_or_else(|| format!("not an attack: {e}").into())).collect()
}

/// The attacked warehouse with its proxy, shared by the tests of this module's users.
pub(crate) async fn attacked() -> Outcome<Arc<Governed>> {
    static SHARED: Mutex<Weak<Governed>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(attacked_on(None).await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// The same with a proxy and a server of its own, of the major whose binaries these are.
pub(crate) async fn attacked_on(bin: Option<&Path>) -> Outcome<Governed> {
    let governance = [
        ("identities.json", include_str!("../attacks/governance/identities.json")),
        ("tags.json", include_str!("../attacks/governance/tags.json")),
        ("attacks.policy", include_str!("../attacks/governance/attacks.policy")),
    ];
    let options = GovernedOptions {
        setting: SettingOptions {
            governance: &governance,
            agents: &["probe"],
            users: &PRINCIPALS,
            lines: &[("databases.shop", "accept_public = [\"public.leak_customer\", \"app.sd_customer\"]")],
        },
        sql: include_str!("../attacks/schema.sql"),
        schemas: &["app"],
        bin,
        ..GovernedOptions::default()
    };
    Governed::start_with(&options).await
}

/// Everything a server said, up to ReadyForQuery or the end of the connection; COPY is declined.
pub(crate) async fn answers(raw: &mut Raw) -> Outcome<Vec<Frame>> {
    answers_declining(raw, b"").await
}

/// The same, with more behind what declines a COPY.
async fn answers_declining(raw: &mut Raw, more: &[u8]) -> Outcome<Vec<Frame>> {
    let mut frames = Vec::new();
    loop {
        match raw.read().await {
            Ok(frame) => frames.push(frame),
            Err(error) if error.to_string().contains("nothing happened") => return Err(error),
            // It closed: that is an answer too.
            Err(_) => return Ok(frames),
        }
        match frames.last().map(|f| f.tag) {
            Some(b'Z') => return Ok(frames),
            Some(b'G' | b'W') => {
                raw.send(b'f', b"no\0").await?;
                raw.send_bytes(more).await?;
            }
            Some(_) | None => {}
        }
    }
}

/// A simple Query and all its answers.
pub(crate) async fn simple(raw: &mut Raw, sql: &str) -> Outcome<Vec<Frame>> {
    let mut body = sql.as_bytes().to_vec();
    body.push(0);
    raw.send(b'Q', &body).await?;
    answers(raw).await
}

/// Parse, Bind, Describe, Execute, Sync in one write, and all their answers.
pub(crate) async fn extended(raw: &mut Raw, sql: &str) -> Outcome<Vec<Frame>> {
    let mut bytes = parse("", sql);
    bytes.extend(bind("", ""));
    bytes.extend(frame(b'D', b"P\0"));
    bytes.extend(execute(""));
    bytes.extend(frame(b'S', b""));
    raw.send_bytes(&bytes).await?;
    // A COPY from the client swallows the first Sync, as PostgreSQL has it.
    answers_declining(raw, &frame(b'S', b"")).await
}

/// A Parse without parameter types.
pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat())
}

/// A Bind without parameters, all results as text.
pub(crate) fn bind(portal: &str, statement: &str) -> Vec<u8> {
    frame(b'B', &[portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\0"].concat())
}

/// An Execute of all rows.
pub(crate) fn execute(portal: &str) -> Vec<u8> {
    frame(b'E', &[portal.as_bytes(), b"\0\0\0\0\0"].concat())
}

/// What a server's messages say, piece by piece: values of rows, COPY data, fields of errors and notices, notifications,
/// parameters; column names and command tags.
pub(crate) fn said(frames: &[Frame]) -> Vec<String> {
    let mut pieces = Vec::new();
    for frame in frames {
        match frame.tag {
            b'D' => match frame.row() {
                Ok(row) => pieces.extend(row.into_iter().flatten()),
                Err(_) => pieces.push(String::from_utf8_lossy(&frame.body).into_owned()),
            },
            // State, and a command's name with a number.
            b'Z' | b'C' => {}
            b'E' | b'N' => {
                // The ruling's random digits say nothing.
                let fields = frame.fields().into_values();
                pieces.extend(fields.filter(|text| !text.starts_with("ruling ")));
            }
            _ => pieces
                .extend(frame.body.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned())),
        }
    }
    pieces
}

/// The first secret in what was said.
pub(crate) fn leak(attack: &Attack, frames: &[Frame]) -> Option<String> {
    let common = SECRETS.iter().filter(|s| !attack.sql.contains(*s)).map(|s| (*s).to_owned());
    let wanted: Vec<String> = attack.secret.iter().cloned().chain(common).collect();
    said(frames).into_iter().find_map(|piece| {
        let shown = format!("={piece}=");
        wanted
            .iter()
            .find(|secret| shown.contains(secret.as_str()))
            .map(|secret| format!("{secret:?} in {piece:?}"))
    })
}

/// SQLSTATE of the first error.
pub(crate) fn refused(frames: &[Frame]) -> Option<String> {
    frames.iter().filter(|f| f.tag == b'E').find_map(Frame::sqlstate)
}
