//! The engine against the naive evaluator, on worlds made by counting from a seed.
//!
//! A case is one principal in one world: every table's verdict, operations, column rules with the policies that decided, and
//! row policies. `LANYARD_CASES` says how many; `make test-long` asks for 100,000.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::naive::{self, Verdict};
use super::naive_permits;
use super::{attributes, definitions, groups, parse, principal, relation, tags, user_id};
use crate::approval::{Approval, Approvals, Approved, Grantee};
use crate::catalog::{Catalog, ForeignKey, NamedType, Relation, RelationName, Routine, Tags};
use crate::entitlement::{Access, ColumnRule, Operation, RowRule};
use crate::identity::{Agent, AgentId, Combination, Identities, Principal, PurposeName, ShortId, User};
use crate::policy::entitle;
use crate::snapshot::{Parts, Snapshot};

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).expect("few")).expect("few")
    }

    fn one<'l>(&mut self, list: &[&'l str]) -> &'l str {
        list[self.roll(list.len())]
    }

    fn often(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }

    fn some(&mut self, list: &[&'static str], most: usize) -> Vec<&'static str> {
        (0..self.roll(most + 1)).map(|_| self.one(list)).collect()
    }
}

const TABLE_TAGS: [&str; 6] = ["Sales", "Sales.EU", "Finance", "Agent.Tool", "PII", "New"];
const COLUMN_TAGS: [&str; 6] = ["PII", "PII.Name", "PII.Name.Last", "Secret", "Region", "New"];
const COLUMNS: [&str; 6] =
    ["id integer", "name text", "region text", "amount numeric", "born date", "level integer"];
const TABLES: [&str; 6] = ["a.orders", "a.people", "a.tools", "b.orders", "b.ledger", "b.odd_name"];
const GROUPS: [&str; 4] = ["hr", "staff", "bots", "eu"];

pub(in crate::policy) fn world(seed: u64) -> (Snapshot, String) {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let text = policies(&mut dice);
    let (catalog, assigned) = catalog(&mut dice);
    let snapshot = Snapshot::new(Parts {
        version: 1,
        identities: identities(&mut dice),
        tags: Tags { definitions: definitions(), tables: assigned, ..Tags::default() },
        policies: parse(&text),
        catalog,
        approvals: approvals(&mut dice),
    });
    (snapshot, text)
}

fn catalog(dice: &mut Dice) -> (Catalog, BTreeMap<String, BTreeSet<crate::catalog::TagPath>>) {
    let mut assigned = BTreeMap::new();
    let relations = (1..).zip(TABLES).map(|(oid, name)| {
        let own = dice.some(&TABLE_TAGS, 2);
        // Sometimes the tags are the schema's.
        if dice.often(2) {
            assigned.insert(name.to_owned(), tags(&own));
        }
        let mut columns: Vec<String> = Vec::new();
        for spec in COLUMNS {
            if !dice.often(5) {
                let tagged = dice
                    .some(&COLUMN_TAGS, 2)
                    .iter()
                    .fold(spec.to_owned(), |text, tag| format!("{text} #{tag}"));
                columns.push(tagged);
            }
        }
        let columns = if columns.is_empty() { vec!["id integer".to_owned()] } else { columns };
        let mut relation = relation(oid, name, &own, &columns.iter().map(String::as_str).collect::<Vec<_>>());
        relation.row_security = dice.often(12);
        keys(&mut relation, dice);
        relation
    });
    let relations: Vec<_> = relations.collect();
    let relations = relations.into_iter().map(|r| (r.name.clone(), r)).collect();
    let mut catalog = Catalog { relations, ..Catalog::default() };
    objects(&mut catalog, dice);
    (catalog, assigned)
}

/// Functions, types and extensions, some of which are not there, and some nobody may be let through to.
fn objects(catalog: &mut Catalog, dice: &mut Dice) {
    for name in ["score", "rank", "citext_eq", "dblink"] {
        let extension = match name {
            "citext_eq" => Some("citext".to_owned()),
            "dblink" => Some("dblink".to_owned()),
            _ => None,
        };
        let trusted = extension.is_none() && !dice.often(5);
        let (definer, names_objects) = (dice.often(5), dice.often(8));
        if !dice.often(6) {
            let routine = Routine { definer, trusted, names_objects, extension };
            catalog.functions.insert(RelationName::new("public", name), vec![routine]);
        }
    }
    for name in ["mood", "citext"] {
        let extension = (name == "citext").then(|| name.to_owned());
        let (row, names_objects) = (dice.often(5), dice.often(5));
        if !dice.often(6) {
            let facts = NamedType { row, names_objects, extension };
            catalog.types.insert(RelationName::new("public", name), facts);
        }
    }
    catalog.extensions =
        dice.some(&["citext", "pg_trgm", "dblink"], 4).iter().map(|e| (*e).to_owned()).collect();
}

/// A primary key, unique columns, and foreign keys, twice at times.
fn keys(relation: &mut Relation, dice: &mut Dice) {
    let has = |relation: &Relation, column: &str| relation.column(column).is_some();
    if dice.often(2) && has(relation, "id") {
        relation.primary_key = vec!["id".to_owned()];
        relation.keys.unique.push(vec!["id".to_owned()]);
    }
    if dice.often(3) {
        let both = vec!["name".to_owned(), "level".to_owned()];
        relation.keys.unique.push(if dice.often(2) { vec!["name".to_owned()] } else { both });
    }
    for _ in 0..dice.roll(3) {
        let (schema, name) =
            dice.one(&["a.people", "b.ledger", "b.gone"]).split_once('.').expect("two parts");
        let (from, to) = (dice.one(&["level", "name"]), dice.one(&["id", "name"]));
        relation.keys.foreign.push(ForeignKey {
            columns: vec![from.to_owned()],
            parent: RelationName::new(schema, name),
            parent_columns: vec![to.to_owned()],
        });
    }
}

fn identities(dice: &mut Dice) -> Identities {
    let mut all = Identities::default();
    let mut short = 0;
    let mut next = || {
        short += 1;
        ShortId::new(short).expect("short")
    };
    let has = |dice: &mut Dice| {
        let region: &[&str] = [&[][..], &["EU"], &["EU", "7"]][dice.roll(3)];
        let training: &[&str] = [&[][..], &["privacy"]][dice.roll(2)];
        attributes(&[("region", region), ("training", training)])
    };
    for id in ["ann", "bob", "cyd"] {
        let user = User {
            id: user_id(id),
            name: id.to_owned(),
            short: next(),
            groups: groups(&dice.some(&GROUPS, 2)),
            attributes: has(dice),
        };
        all.users.insert(user.id.clone(), user);
    }
    for (id, combination) in
        [("wide", Combination::Union), ("usual", Combination::Guarded), ("narrow", Combination::Intersection)]
    {
        let agent = Agent {
            id: AgentId::parse(id).expect("an id"),
            name: id.to_owned(),
            owner: user_id("ann"),
            short: next(),
            groups: groups(&dice.some(&GROUPS, 2)),
            attributes: has(dice),
            combination,
        };
        all.agents.insert(agent.id.clone(), agent);
    }
    all
}

/// Sometimes with what for.
pub(in crate::policy) const WHO: [&str; 12] = [
    "ann",
    "bob",
    "cyd",
    "bob for Work",
    "ann for Work.Night",
    "wide~",
    "usual~",
    "wide~bob",
    "usual~ann",
    "usual~cyd for Work",
    "usual~cyd",
    "narrow~ann",
];

pub(in crate::policy) fn asked(who: &str) -> Principal {
    match who.split_once(" for ") {
        None => principal(who),
        Some((who, purpose)) => principal(who).under(PurposeName::parse(purpose).expect("a purpose")),
    }
}

/// Up to three approvals; one in three has ended.
fn approvals(dice: &mut Dice) -> Approvals {
    let all = (0..dice.roll(4)).map(|n| {
        let (schema, name) = dice.one(&TABLES).split_once('.').expect("schema.table");
        let relation = RelationName::new(schema, name);
        let what = if dice.often(2) {
            Approved::Access { relation, operations: BTreeSet::from([Operation::Read, Operation::Write]) }
        } else {
            Approved::Unmask { relation, column: dice.one(&["name", "amount", "region"]).to_owned() }
        };
        let grantee = match dice.roll(4) {
            0 => Grantee::Agent(AgentId::parse("usual").expect("an id")),
            1 => Grantee::User(user_id("bob")),
            _ => Grantee::User(user_id("ann")),
        };
        let expires = [None, Some(200), Some(100)][dice.roll(3)];
        Approval { id: format!("approval-{n}"), grantee, what, expires }
    });
    Approvals { now: 100, all: all.collect() }
}

/// One to fourteen policies, most of them active.
fn policies(dice: &mut Dice) -> String {
    let mut text = String::new();
    for n in 0..=dice.roll(14) {
        let state = ["", "", "", "", "", "", "(shadow)", "(disabled)"][dice.roll(8)];
        if dice.often(12) {
            let (name, who) = (dice.one(&["Work", "Work.Night"]), who(dice));
            // A purpose stands once.
            if !text.contains(&format!("purpose {name} ")) {
                writeln!(text, "purpose {name} {state} 'a reason' to {who}").expect("room");
            }
            continue;
        }
        let body = match dice.roll(13) {
            12 => format!("{}{} to {}", dice.one(&["", "watches both "]), permit(dice), who(dice)),
            10 => format!(
                "{}reveal columns {} to {}",
                dice.one(&["", "watches both "]),
                columns(dice),
                who(dice)
            ),
            11 => mask_in_branches(dice),
            0..=3 => {
                let what = dice.one(&["read", "write", "read, write"]);
                let watches = dice.one(&["", "", "", "watches both "]);
                format!("{watches}allow {what} on {} to {}", tables(dice), who(dice))
            }
            4 => format!("{}require {} on {}", actor(dice), who(dice), tables(dice)),
            5 | 6 => rows(dice),
            _ => mask(dice),
        };
        writeln!(text, "policy p{n} {state} {body}").expect("a String takes everything");
    }
    text
}

fn permit(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "allow workspace",
        "allow workspace kept",
        "allow function public.score, public.rank",
        "allow function public.score",
        "allow function public.dblink, public.citext_eq",
        "allow type public.mood",
        "allow type public.mood, public.citext, public.nowhere",
        "allow extension pg_trgm, citext",
        "allow extension citext, dblink",
        "allow channel orders, \"Late Orders\"",
        "allow channels orders",
        "allow unmask on columns tagged PII",
        "allow unmask on columns named name, region",
        "allow unmask on columns like '%' of tables tagged Sales",
    ])
}

fn actor(dice: &mut Dice) -> &'static str {
    dice.one(&["", "", "", "when an agent acts ", "watches both "])
}

fn who(dice: &mut Dice) -> String {
    let parties: Vec<String> = (0..=dice.roll(2)).map(|_| party(dice)).collect();
    parties.join(" or ")
}

fn party(dice: &mut Dice) -> String {
    let mut party = dice.one(&["users", "users", "agents", "everyone"]).to_owned();
    for n in 0..dice.roll(3) {
        let not = dice.one(&["", "", "not "]);
        let test = match dice.roll(7) {
            5 => format!("under purpose {}", dice.one(&["Work", "Work.Night"])),
            6 => format!("(in group {} or with training = 'privacy')", dice.one(&GROUPS)),
            0 | 1 => format!("in group {}", dice.one(&GROUPS)),
            2 => format!("with region in ('{}', 'ASIA')", dice.one(&["EU", "US"])),
            3 => "with training = 'privacy'".to_owned(),
            _ => format!("named {}", dice.one(&["ann", "bob", "usual"])),
        };
        let and = if n == 0 { "" } else { "and " };
        write!(party, " {and}{not}{test}").expect("a String takes everything");
    }
    party
}

fn tables(dice: &mut Dice) -> String {
    let one = |dice: &mut Dice| match dice.roll(9) {
        6 => format!("tables matching '{}'", dice.one(&["^a\\.", "orders$", "o"])),
        7 => format!("tables with all of (tagged {} and like '%.o%')", dice.one(&["Sales", "PII"])),
        8 => format!("tables with any of (named a.tools or tagged {})", dice.one(&["Finance", "Agent"])),
        0..=2 => format!("tables tagged {}", dice.one(&["Sales", "Finance", "Agent", "Sales.EU", "PII"])),
        3 => format!("tables named {}", dice.one(&TABLES)),
        4 => format!("tables like '{}'", dice.one(&["a.%", "%.orders", "b.odd\\_name", "b._____", "%"])),
        _ => format!("tables with columns {}", columns(dice)),
    };
    one(dice)
}

fn columns(dice: &mut Dice) -> String {
    match dice.roll(6) {
        5 => format!("matching '{}'", dice.one(&["^re", "e$", "o"])),
        0..=2 => format!("tagged {}", dice.one(&["PII", "PII.Name", "Secret", "Region", "Sales"])),
        3 => format!("named {}", dice.one(&["name", "amount", "a.orders.region", "b.ledger.level"])),
        _ => format!("like '{}'", dice.one(&["%n%", "_d", "re%"])),
    }
}

fn scope(dice: &mut Dice) -> String {
    match dice.roll(3) {
        0 => String::new(),
        1 => format!(" for everyone except {}", who(dice)),
        _ => format!(" for everyone who {}", who(dice)),
    }
}

fn predicate(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "region = 'EU'",
        "@tagged(Region) in (@user.region)",
        "region in (@user.region, 'ALL')",
        "level > 3",
        "not (name = 'x' or region in (@agent.groups))",
        "true",
        "name <> 'x' and id = 7",
        "region in (@user.id)",
    ])
}

/// Through foreign keys that are there, or not, or twice, or lead to what is not unique.
fn through(dice: &mut Dice) -> (&'static str, String) {
    let (table, hops) = [
        ("tables named a.orders, b.orders", "orders.level"),
        ("tables like '%.orders'", "orders.name"),
        ("tables named a.orders", "orders.level to b.ledger.id"),
        ("tables named b.orders", "orders.name to a.people.name"),
        ("tables named a.orders, b.orders", "orders.id to a.people.id then people.level"),
        ("tables named a.tools", "tools.level to a.people.id then people.name to b.ledger.name"),
        ("tables named b.odd_name", "odd_name.level to a.tools.id then tools.level then people.level"),
        ("tables named a.people", "people.born to b.ledger.id"),
        ("tables named a.tools, a.people", "tools.id to b.ledger.id"),
    ][dice.roll(9)];
    let shown = match dice.roll(4) {
        0 => format!("whose Region matches {}", dice.one(&["region", "groups"])),
        1 => format!("older than 2 years by {}", dice.one(&["born", "level"])),
        _ => format!("where {}", predicate(dice)),
    };
    (table, format!("through {hops} {shown}"))
}

fn lookup(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "using lookup b.ledger where region in (select region from b.ledger where level > 3)",
        "using lookup b.ledger where region not in (select name from b.ledger)",
        "using lookup a.people where level in (select id from a.people where name in (@user.id)) or id = 7",
        "using lookup a.people where level in (select region from a.people)",
        "using lookup b.ledger where @tagged(Region) in (select name from b.ledger where region in (@user.region))",
        "using lookup b.gone where region in (select region from b.gone)",
    ])
}

fn rows(dice: &mut Dice) -> String {
    let (acts, tables) = (actor(dice), tables(dice));
    if dice.often(3) {
        let otherwise = dice.one(&["", "otherwise all", "otherwise none", "otherwise where level > 3"]);
        let (first, second) = (who(dice), who(dice));
        let (all, shown) = (dice.one(&["all", "none"]), predicate(dice));
        return format!(
            "{acts}show rows of {tables} who {first} {all} who {second} where {shown} {otherwise}"
        );
    }
    if dice.often(8) {
        let (tables, through) = through(dice);
        return format!("{acts}show rows of {tables} {through}{}", scope(dice));
    }
    if dice.often(8) {
        let missing = dice.one(&["", " on missing skip"]);
        return format!("{acts}show rows of {tables} {}{missing}{}", lookup(dice), scope(dice));
    }
    let shown = match dice.roll(6) {
        0 => format!("whose Region matches {}", dice.one(&["region", "groups", "id"])),
        1 => format!("newer than 90 days by {}", dice.one(&["born", "@tagged(Region)", "level"])),
        2 => format!("only 10 % by {}", dice.one(&["id", "@tagged(Region)"])),
        3 => format!("only for purpose {}", dice.one(&["Work", "Work.Night"])),
        _ => format!("where {}", predicate(dice)),
    };
    let missing = dice.one(&["", "", " on missing skip"]);
    format!("{acts}show rows of {tables} {shown}{missing}{}", scope(dice))
}

fn mask(dice: &mut Dice) -> String {
    let (with, floor) = (masking(dice), dice.one(&["", "", " floor"]));
    let of = if dice.often(4) { format!(" of {}", tables(dice)) } else { String::new() };
    format!("{}mask columns {}{of} {with}{floor}{}", actor(dice), columns(dice), scope(dice))
}

fn mask_in_branches(dice: &mut Dice) -> String {
    let (first, second, last) =
        (masking(dice), masking(dice), dice.one(&["with null", "clear", "with hash"]));
    let (columns, one, other, floor) = (columns(dice), who(dice), who(dice), dice.one(&["", " floor"]));
    format!(
        "{}mask columns {columns} who {one} {first} who {other} {second} otherwise {last}{floor}{}",
        actor(dice),
        scope(dice)
    )
}

fn masking(dice: &mut Dice) -> String {
    let mask = dice.one(&[
        "null",
        "constant('x')",
        "constant(1)",
        "constant('y') with nulls",
        "hash",
        "hash joinable in people",
        "partial(first 1)",
        "partial(last 2)",
        "regex('a', 'b')",
        "round(10)",
        "round(15)",
        "round('year')",
        "round('week')",
        "round('month')",
        "reversible(accounts)",
        "reversible(cards)",
        "fpe(digits)",
        "fpe('abc')",
        "randomized(0.9)",
        "randomized(0.5)",
        "k_anonymous(region, born, 5)",
        "k_anonymous(amount, level, id, name, 3)",
        "token",
        "token",
        "reversible(cards)",
        "reversible(accounts)",
        "redact(email, phone)",
        "redact",
        "custom(upper(@column))",
        "custom('x' || left(@column, 1))",
        "custom(coalesce(@column, 0))",
        "deny",
    ]);
    if mask != "deny" && dice.often(6) {
        let cells = dice.one(&[
            "region = 'EU' or level > 3",
            "not @tagged(Region) in (@user.region)",
            "name is null",
            "level in (@agent.groups)",
        ]);
        return format!("with {mask} where {cells}");
    }
    format!("with {mask}")
}

/// The engine's answer in the naive evaluator's words.
fn told(access: &Access) -> Verdict {
    let columns = access.columns.iter().map(|(name, rule)| {
        let rule = match rule {
            ColumnRule::Clear => ("clear".to_owned(), String::new()),
            ColumnRule::Masked { mask, policy } => ((*mask).to_owned(), policy.clone()),
            ColumnRule::Denied { policy } => ("denied".to_owned(), policy.clone()),
        };
        (name.clone(), rule)
    });
    let (limits, shut) = match &access.rows {
        RowRule::All => (BTreeSet::new(), 0),
        RowRule::Filtered { policies, condition } => {
            let shut = if condition == "FALSE" { 1 } else { condition.matches("(FALSE)").count() };
            (policies.iter().cloned().collect(), shut)
        }
    };
    let operations = access.operations.clone();
    Verdict { operations, columns: columns.collect(), limits, shut, undone_by: access.undone_by.clone() }
}

fn cases() -> u64 {
    std::env::var("LANYARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4_500)
}

#[test]
fn the_naive_evaluator_finds_no_difference() {
    let per_world = u64::try_from(WHO.len()).expect("few");
    let (mut open, mut refused, mut masked, mut filtered, mut permitted) = (0, 0, 0, 0, 0);
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..cases().div_ceil(per_world) {
        let (snapshot, text) = world(seed);
        for who in WHO {
            let asked = asked(who);
            let entitlement = entitle(&snapshot, &asked);
            let extras = entitlement.as_ref().ok().map(|e| naive_permits::told(&e.extras));
            assert_eq!(extras, naive_permits::extras(&snapshot, &asked), "world {seed}, {who}\n{text}");
            permitted += extras.iter().filter(|all| !all.is_empty()).count();

            for relation in snapshot.catalog.relations.values() {
                let found = entitlement.as_ref().ok();
                let access = found.and_then(|e| e.access(&relation.name.schema, &relation.name.name));
                let says = access.map(told);

                let means = naive::verdict(&snapshot, &asked, relation);
                assert_eq!(says, means, "world {seed}, {who}, {}\n{text}\n{relation:#?}", relation.name);
                match &says {
                    None => refused += 1,
                    Some(verdict) => {
                        open += 1;
                        masked += usize::from(verdict.columns.values().any(|(rule, _)| rule != "clear"));
                        filtered += usize::from(!verdict.limits.is_empty());
                        let rules = verdict.columns.values().map(|(rule, _)| rule);
                        rules.for_each(|rule| *words.entry(rule.clone()).or_default() += 1);
                    }
                }
            }
        }
    }
    // Worlds in which nothing happens would prove nothing.
    println!(
        "{open} open, {refused} refused, {masked} masked, {filtered} filtered, {permitted} permitted; {words:?}"
    );
    let enough = open * 20 > refused && masked * 10 > open && filtered * 20 > open && permitted > 0;
    assert!(enough, "{open} {refused} {masked} {filtered} {permitted}");
    assert_eq!(words.len(), 15, "every mask, clear and denied: {words:?}");
}
