//! The floor: the catalogue of attacks sent verbatim by a vended role, without the rewriter between. Whatever the rewriter
//! does, a value must not come out here.
//!
//! Each attack is sent three times: as it is, statement by statement, and by an attacker who has learned the names of the
//! secured views. What tells only of names or existence is listed, not forbidden: that is what the rewriter is for.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use lanyard::demo::setting::DATABASE;
use lanyard_adapters::store;
use lanyard_adapters::warehouse::postgres::{Endpoint, Lease, Login, Secret, TlsMode, Warehouse};
use lanyard_engine::approval::Approvals;
use lanyard_engine::entitlement::Entitlement;
use lanyard_engine::identity::{Principal, RoleName, SessionId, ShortId, UserId};
use lanyard_engine::policy::{self, PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};
use lanyard_engine::workspace::Workspace;
use lanyard_tests::{Governed, Outcome, Raw};

use crate::attacks::{Attack, PRINCIPALS, attacked, catalogue, leak, simple};

/// A role as the proxy would vend it, and how to log in as it.
pub(crate) struct Vended {
    pub(crate) warehouse: Warehouse,
    pub(crate) role: RoleName,
    login: Login,
    /// Governed relation -> secured view, both qualified.
    views: BTreeMap<String, String>,
    pub(crate) entitlement: Entitlement,
}

/// The warehouse behind the proxy, as the proxy sees it.
pub(crate) async fn warehouse(governed: &Governed, node: &str) -> Outcome<Warehouse> {
    let setting = governed.setting();
    let login = |role: &str, file: &str| -> Outcome<Login> {
        Ok(Login::new(role, Secret::new(std::fs::read_to_string(setting.folder.join(file))?)))
    };
    let endpoint = Endpoint {
        host: governed.cluster().socket_dir().to_string_lossy().into_owned(),
        port: governed.cluster().port(),
        database: DATABASE.to_owned(),
        tls: TlsMode::Disable,
    };
    Ok(Warehouse::connect(
        endpoint,
        login("lanyard_builder", "builder.password")?,
        login("lanyard_vendor", "vendor.password")?,
        vec!["public".into()],
        node.to_owned(),
    )
    .await?)
}

pub(crate) async fn vend(governed: &Governed, user: &str, number: u32) -> Outcome<Vended> {
    let setting = governed.setting();
    let warehouse = warehouse(governed, &format!("floor-{number}")).await?;
    let governance = store::load(&setting.governance)?;
    let mut catalog = warehouse.catalog().await?;
    governance.tags.apply(&mut catalog);
    let sources: Vec<Source<'_>> =
        governance.policies.iter().map(|(file, text)| Source { file, text }).collect();
    let policies = PolicySet::parse(&sources).map_err(|errors| format!("{errors:?}"))?;
    let snapshot = Snapshot::new(Parts {
        version: 1,
        identities: governance.identities.clone(),
        tags: governance.tags.clone(),
        policies,
        catalog,
        approvals: Approvals::default(),
    });
    let principal = Principal::direct(UserId::parse(user)?);
    let entitlement = policy::entitle(&snapshot, &principal)?;
    let prepared = warehouse.prepare(&entitlement).await?;
    let user_number = ShortId::new(number)?;
    let role = RoleName::of(None, Some(user_number), SessionId::from_u128(u128::from(number)));
    let lease = Lease {
        role: role.clone(),
        bundle: prepared.bundle.clone(),
        expires: SystemTime::now() + Duration::from_secs(600),
        connections: 20,
        attributes: entitlement.session_attributes.clone(),
        workspace: entitlement
            .extras
            .workspace
            .map(|leftovers| Workspace::of(None, Some(user_number), None, leftovers)),
    };
    let login = warehouse.vend(&lease).await?;
    let name = |access: &lanyard_engine::entitlement::Access| {
        (access.relation.to_string(), format!("lanyard_secured.{}", access.view.name))
    };
    Ok(Vended { warehouse, role, login, views: entitlement.iter().map(name).collect(), entitlement })
}

impl Vended {
    async fn session(&self, governed: &Governed) -> Outcome<Raw> {
        let mut raw = Raw::connect(governed.cluster().port()).await?;
        raw.log_in(&self.login.user, self.login.password.expose(), DATABASE).await?;
        Ok(raw)
    }

    /// The attack by one who knows what the governed relations are called here.
    fn knowing(&self, sql: &str) -> String {
        let mut text = sql.to_owned();
        for (relation, view) in &self.views {
            // `app.customers_archive` is another table.
            let mut from = 0;
            while let Some(at) =
                text.get(from..).and_then(|rest| rest.find(relation.as_str())).map(|n| n + from)
            {
                let end = at + relation.len();
                let longer =
                    text.as_bytes().get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
                if longer {
                    from = end;
                } else {
                    text.replace_range(at..end, view);
                    from = at + view.len();
                }
            }
        }
        text
    }
}

/// Cuts at semicolons outside quotes and dollar quotes: good enough for this catalogue, and a wrong cut is one more attack.
fn statements(sql: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut quote, mut dollar) = (None, false);
    let mut before = ' ';
    for c in sql.chars() {
        match (c, quote) {
            ('$', None) if before == '$' => dollar = !dollar,
            ('\'' | '"', None) if !dollar => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (';', None) if !dollar => {
                pieces.push(String::new());
                before = c;
                continue;
            }
            _ => {}
        }
        before = c;
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// One attack in a session of its own, as one message and then statement by statement.
async fn attack_once(
    vended: &Vended,
    governed: &Governed,
    attack: &Attack,
    sql: &str,
) -> Outcome<Vec<String>> {
    let pieces = statements(sql);
    let mut rounds = vec![vec![sql.to_owned()]];
    if pieces.len() > 1 {
        rounds.push(pieces);
    }
    let mut leaks = Vec::new();
    for round in rounds {
        let mut raw = vended.session(governed).await?;
        // The path is the proxy's; database_to_xml reads every catalog there is, and nothing of value before that.
        simple(&mut raw, "SET statement_timeout = '5s'; SET search_path = public, pg_temp").await?;
        for statement in round {
            let frames = simple(&mut raw, &statement).await?;
            leaks.extend(
                leak(attack, &frames)
                    .map(|what| format!("{} {}: {what}: {statement}", attack.id, attack.class)),
            );
            if frames.last().is_none_or(|frame| frame.tag != b'Z') {
                // The attack ended its own session.
                break;
            }
        }
    }
    Ok(leaks)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_leaks_without_the_rewriter() -> Outcome {
    no_value_leaks(&*attacked().await?, 101).await
}

/// The whole catalogue by every principal; `number` is that of the first role.
pub(crate) async fn no_value_leaks(governed: &Governed, number: u32) -> Outcome {
    let catalogue = catalogue()?;
    let mut leaks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, user) in (number..).zip(PRINCIPALS) {
        let vended = vend(governed, user, number).await?;
        assert_eq!(vended.views.len(), 6, "the attacked relations are governed: {:?}", vended.views);
        for attack in &catalogue {
            let knowing = vended.knowing(&attack.sql);
            let mut texts = vec![attack.sql.clone()];
            if knowing != attack.sql {
                texts.push(knowing);
            }
            for sql in texts {
                let found = attack_once(&vended, governed, attack, &sql).await;
                let found = found.map_err(|e| format!("{} {sql}: {e}", attack.id))?;
                leaks.entry(attack.kind.clone()).or_default().extend(found);
            }
        }
        vended.warehouse.end(&vended.role).await?;
    }
    println!("{} attacks by {} principals on the floor", catalogue.len(), PRINCIPALS.len());
    for (kind, found) in &leaks {
        println!("{kind}: {} answers", found.len());
        found.iter().for_each(|line| println!("  {line}"));
    }
    let values = leaks.remove("value").unwrap_or_default();
    if values.is_empty() {
        Ok(())
    } else {
        Err(format!("values leak on the floor:\n{}", values.join("\n")).into())
    }
}
