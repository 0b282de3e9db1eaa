//! A company of any size, of which one principal matches the same part.
//!
//! Made by counting, not by chance. Used by the entitlement bench alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::{Catalog, Column, Keys, Relation, RelationKind, RelationName, TagPath, Tags};
use lanyard_engine::identity::{Identities, Principal, ShortId, User, UserId};
use lanyard_engine::policy::{PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) users: usize,
    pub(crate) policies: usize,
    pub(crate) columns: usize,
    /// Tables the principal is granted; the others carry other tags.
    pub(crate) tables: usize,
}

impl Size {
    pub(crate) const FULL: Self = Self { users: 100_000, policies: 10_000, columns: 100_000, tables: 200 };
}

/// Columns of a table.
const WIDTH: usize = 10;
/// Tags the principal's tables are spread over, and grants for it.
const TEAMS: usize = 10;
/// Users who match alike, asked in turn.
const PEERS: usize = 50;

/// See the module's words.
pub(crate) struct World {
    size: Size,
}

impl World {
    pub(crate) fn of(size: Size) -> Self {
        Self { size }
    }

    pub(crate) fn principals(&self) -> usize {
        PEERS.min(self.size.users)
    }

    pub(crate) fn principal(&self, number: usize) -> Principal {
        Principal::direct(user_id(number))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let texts = self.policies();
        let sources: Vec<Source<'_>> =
            texts.iter().map(|text| Source { file: "bench.policy", text }).collect();
        let policies = PolicySet::parse(&sources).unwrap_or_else(|found| panic!("{}", found[0]));
        Snapshot::new(Parts {
            version: 1,
            identities: self.identities(),
            tags: Tags::default(),
            policies,
            catalog: self.catalog(),
            approvals: Approvals::default(),
        })
    }

    fn identities(&self) -> Identities {
        let users = (0..self.size.users).map(|n| {
            let mut groups: BTreeSet<String> =
                (0..5).map(|k| format!("others_{}", (n * 7 + k * 131) % 2_000)).collect();
            if n < PEERS {
                groups.extend((0..TEAMS).map(|team| format!("team_{team}")));
            }
            let attributes = [
                ("region".to_owned(), BTreeSet::from([format!("R{}", n % 40)])),
                ("training".to_owned(), BTreeSet::from(["privacy".to_owned()])),
            ];
            let short = ShortId::new(u32::try_from(n + 1).expect("few")).expect("a short id");
            let id = user_id(n);
            let name = id.to_string();
            (id.clone(), User { id, name, short, groups, attributes: attributes.into() })
        });
        Identities { users: users.collect(), agents: BTreeMap::new() }
    }

    fn catalog(&self) -> Catalog {
        let relations = (0..self.size.columns.max(self.size.tables * WIDTH) / WIDTH).map(|n| {
            let tag = if n < self.size.tables {
                format!("Team.T{}", n % TEAMS)
            } else {
                format!("Others.T{}", n % 500)
            };
            let name = RelationName::new(&format!("schema_{}", n % 40), &format!("table_{n}"));
            let relation = Relation {
                name: name.clone(),
                oid: u32::try_from(n).expect("few") + 20_000,
                kind: RelationKind::Table,
                columns: (0..WIDTH).map(|c| column(n, c)).collect(),
                primary_key: Vec::new(),
                keys: Keys::default(),
                row_security: false,
                tags: BTreeSet::from([TagPath(tag)]),
            };
            (name, relation)
        });
        Catalog { relations: relations.collect(), ..Catalog::default() }
    }

    /// Fifty that match the principal, and the rest for others, among them many on the principal's own tables.
    fn policies(&self) -> Vec<String> {
        let mut text = String::new();
        let mut number = 0;
        let mut add = |text: &mut String, body: String| {
            number += 1;
            writeln!(text, "policy p{number} {body}").expect("a String takes everything");
        };
        for team in 0..TEAMS {
            add(&mut text, format!("allow read on tables tagged Team.T{team} to users in group team_{team}"));
            add(&mut text, format!("show rows of tables tagged Team.T{team} where region = @user.region"));
            let masks = ["hash", "partial(first 1, last 2)", "null"];
            let mask = masks[team % masks.len()];
            add(
                &mut text,
                format!("mask columns tagged PII.K{team} with {mask} for everyone except users in group hr"),
            );
            add(
                &mut text,
                format!("mask columns tagged PII.K{team} with round(10) for users in group team_{team}"),
            );
            add(&mut text, format!("require users with training = 'privacy' on tables tagged Team.T{team}"));
        }
        let mut files = vec![std::mem::take(&mut text)];
        for n in TEAMS * 5..self.size.policies {
            let (group, tag, team) = (n % 2_000, n % 500, n % TEAMS);
            let body = match n % 5 {
                0 => format!("allow read on tables tagged Others.T{tag} to users in group strangers_{group}"),
                1 => format!("allow read on tables tagged Team.T{team} to users in group strangers_{group}"),
                2 => {
                    format!("mask columns tagged PII.K{team} with null for users in group strangers_{group}")
                }
                3 => format!("show rows of tables tagged Others.T{tag} where region = @user.region"),
                _ => format!("require users with training = 'privacy' on tables tagged Others.T{tag}"),
            };
            add(&mut text, body);
            if n % 2_000 == 0 {
                files.push(std::mem::take(&mut text));
            }
        }
        files.push(text);
        files
    }
}

fn user_id(number: usize) -> UserId {
    UserId::parse(&format!("user_{number}")).expect("an id")
}

/// Three of ten columns are masked.
fn column(table: usize, number: usize) -> Column {
    let (name, type_sql, category) = match number {
        0 => ("id".to_owned(), "bigint", 'N'),
        1 => ("region".to_owned(), "character varying(20)", 'S'),
        2 | 3 => (format!("contact_{number}"), "text", 'S'),
        4 => ("amount".to_owned(), "numeric(12,2)", 'N'),
        _ => (format!("field_{number}"), "text", 'S'),
    };
    let tags = match number {
        2..=4 => BTreeSet::from([TagPath(format!("PII.K{}", table % TEAMS))]),
        _ => BTreeSet::new(),
    };
    Column {
        name,
        number: i16::try_from(number + 1).expect("few"),
        type_oid: 0,
        type_sql: type_sql.to_owned(),
        category,
        not_null: false,
        deterministic: false,
        tags,
    }
}
