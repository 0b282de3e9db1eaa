//! What the rarer constructs mean: purposes, both parties, branches, cells, reveals, approvals, permits.

use super::*;
use crate::approval::{Approval, Approvals, Approved, Grantee};
use crate::entitlement::{Extras, Leftovers, RowRule};
use crate::identity::PurposeName;
use crate::policy::{entitle, explain};
use crate::refusal::Code;

const READ: &str = "policy read_all allow read on tables like '%' to everyone\n";
const PURPOSES: &str = "purpose Marketing 'I plan campaigns' to users in group marketing or agents\n\
                        purpose Marketing.Campaign 'I run one campaign' to everyone\n\
                        purpose Audit 'I audit' to users in group accountants\n\
                        purpose Old (disabled) 'gone' to everyone\n";
const ORDERS: &str = "public.customer_orders";

fn purpose(text: &str) -> PurposeName {
    PurposeName::parse(text).expect("a purpose")
}

fn under(text: &str, who: &str, what: &str) -> Result<Entitlement, Code> {
    entitle(&snapshot(text), &principal(who).under(purpose(what))).map_err(|r| r.code)
}

fn column_sql(access: &Access, column: &str) -> String {
    let ends = format!(" AS \"{column}\"");
    let list = access.view.select_sql.split(" FROM \"public\"").next().unwrap_or_default();
    let at = list.find(&ends).unwrap_or_else(|| panic!("{column} in {list}"));
    let before = list[..at].rfind(" AS \"").unwrap_or(0);
    let start = list[before..at].find("\", ").map_or(0, |n| before + n + 3);
    list[start..at].to_owned()
}

#[test]
fn a_purpose_is_declared_and_allowed_to_both_or_refused() {
    for (who, what) in [
        ("taylor", "Marketing"),
        ("marketing-agent~taylor", "Marketing"),
        ("marketing-agent~", "Marketing"),
        ("riley", "Marketing.Campaign"),
        ("avery", "Audit"),
    ] {
        assert!(under(PURPOSES, who, what).is_ok(), "{who} {what}");
    }
    for (who, what) in [
        ("riley", "Marketing"),
        ("taylor", "Audit"),
        // Allowed to the user and not to the agent.
        ("marketing-agent~avery", "Audit"),
        // Allowed to the agent and not to the user.
        ("marketing-agent~riley", "Marketing"),
        ("taylor", "Marketing.Other"),
        ("taylor", "Market"),
        ("taylor", "Old"),
        ("taylor", "marketing"),
    ] {
        assert_eq!(under(PURPOSES, who, what).err(), Some(Code::NoIdentity), "{who} {what}");
    }
}

#[test]
fn conditions_see_the_purpose_and_those_above_it() {
    let text = format!(
        "{PURPOSES}policy a allow read on tables tagged Sales to users under purpose Marketing\n\
         policy b mask columns tagged PII with null for everyone except users under purpose Marketing.Campaign"
    );
    let reads = |who: &str, what: &str| {
        let found = under(&text, who, what).expect("allowed");
        found.access("public", "customer_orders").map(|a| rule(a, "lastname"))
    };
    assert_eq!(reads("taylor", "Marketing"), Some("null"));
    assert_eq!(reads("taylor", "Marketing.Campaign"), Some("clear"));
    assert_eq!(reads("avery", "Audit"), None);
    assert!(access(&text, "taylor", ORDERS).is_none());
}

#[test]
fn rows_for_a_purpose_are_for_it_and_those_below() {
    let text = format!(
        "{READ}{PURPOSES}policy p show rows of tables tagged Sales only for purpose Marketing or Audit"
    );
    let rows = |who: &str, what: Option<&str>| {
        let mut principal = principal(who);
        principal.purpose = what.map(purpose);
        let found = entitle(&snapshot(&text), &principal).expect("allowed");
        found.access("public", "customer_orders").expect("granted").rows.clone()
    };
    assert_eq!(rows("taylor", Some("Marketing")), RowRule::All);
    assert_eq!(rows("taylor", Some("Marketing.Campaign")), RowRule::All);
    assert_eq!(rows("avery", Some("Audit")), RowRule::All);
    for (who, what) in [("taylor", None), ("marketing-agent~taylor", None)] {
        assert!(matches!(rows(who, what), RowRule::Filtered { condition, .. } if condition == "FALSE"));
    }
}

#[test]
fn conditions_nest_as_they_are_written() {
    let granted = |condition: &str, who: &str| {
        access(&format!("policy p allow read on tables tagged Sales to {condition}"), who, ORDERS).is_some()
    };
    for (condition, yes, no) in [
        (
            "users in group hr or with training = 'privacy'",
            vec!["harper", "riley"],
            vec!["taylor", "marketing-agent~"],
        ),
        ("users in group analysts and not in group hr", vec!["riley", "casey"], vec!["harper", "taylor"]),
        (
            "users (in group hr or in group marketing) and with region = 'US-EAST'",
            vec!["harper", "taylor"],
            vec!["riley"],
        ),
        (
            "users in group hr or in group marketing and with region = 'EU'",
            vec!["harper"],
            vec!["taylor", "casey"],
        ),
        (
            "users not (in group analysts or in group marketing)",
            vec!["avery", "nobody"],
            vec!["riley", "taylor"],
        ),
        ("users not not in group hr", vec!["harper"], vec!["riley"]),
        (
            "everyone with certified = 'yes' or users named casey",
            vec!["marketing-agent~", "casey"],
            vec!["riley"],
        ),
    ] {
        for who in yes {
            assert!(granted(condition, who), "{who}: {condition}");
        }
        for who in no {
            assert!(!granted(condition, who), "{who}: {condition}");
        }
    }
}

#[test]
fn circumstances_and_regular_expressions_name_tables() {
    let tables = |of: &str| {
        let found = entitled(&snapshot(&format!("policy p allow read on tables {of} to everyone")), "taylor");
        found.iter().map(|a| a.relation.to_string()).collect::<Vec<_>>()
    };
    for (of, expected) in [
        ("with all of (with columns tagged PII and tagged Sales)", vec!["public.customer_orders"]),
        (
            "all of (like 'public.%' and any of (tagged Plain or tagged Broken))",
            vec!["public.no_region", "public.plain"],
        ),
        ("with all of (tagged Sales and tagged Finance)", vec![]),
        ("with any of (tagged Sales, tagged Finance)", vec!["finance.ledger", "public.customer_orders"]),
        ("matching '^public\\.p'", vec!["public.payroll", "public.plain"]),
        ("matching 'ledger', '^public\\.plain$'", vec!["finance.ledger", "public.plain"]),
        ("with columns matching '^sal'", vec!["public.payroll"]),
        ("matching '^plain$'", vec![]),
    ] {
        assert_eq!(tables(of), expected, "{of}");
    }
}

#[test]
fn what_watches_both_must_hold_for_both() {
    let guarded = format!(
        "{READ}policy g watches both require users or agents with certified = 'no' on tables tagged Sales"
    );
    assert!(access(&guarded, "taylor", ORDERS).is_some());
    assert!(access(&guarded, "marketing-agent~taylor", ORDERS).is_none());
    assert!(access(&guarded, "marketing-agent~", ORDERS).is_none());

    let granted = "policy g watches both allow read on tables tagged Sales to users in group marketing or agents with certified = 'yes'";
    assert!(access(granted, "taylor", ORDERS).is_some());
    assert!(access(granted, "marketing-agent~taylor", ORDERS).is_some());
    assert!(access(granted, "marketing-agent~riley", ORDERS).is_none());
    let not_the_agent = "policy g watches both allow read on tables tagged Sales to users";
    assert!(access(not_the_agent, "marketing-agent~taylor", ORDERS).is_none());

    let masked = format!(
        "{READ}policy m watches both mask columns tagged PII with null for everyone except users in group hr"
    );
    assert_eq!(rule(&access(&masked, "harper", ORDERS).expect("granted"), "lastname"), "clear");
    assert_eq!(
        rule(&access(&masked, "marketing-agent~harper", ORDERS).expect("granted"), "lastname"),
        "null"
    );

    let rows =
        format!("{READ}policy r watches both show rows of tables tagged Sales whose Region matches region");
    let RowRule::Filtered { condition, .. } =
        access(&rows, "marketing-agent~taylor", ORDERS).expect("granted").rows
    else {
        panic!("not filtered");
    };
    // The agent has no region: its half hides every row.
    assert!(condition.contains("user.region") && condition.contains("(FALSE)"), "{condition}");
}

#[test]
fn whose_means_the_attributes_of_whom_the_policy_looks_at() {
    let text = format!("{READ}policy r show rows of tables tagged Sales whose Region matches groups");
    let found = entitled(&snapshot(&text), "marketing-agent~");
    assert_eq!(values(&found), BTreeMap::from([("agent.groups", vec!["marketing_agents"])]));
    let found = entitled(&snapshot(&text), "marketing-agent~riley");
    assert_eq!(values(&found), BTreeMap::from([("user.groups", vec!["analysts"])]));
}

#[test]
fn the_first_branch_of_a_mask_decides_and_nobody_else_sees() {
    let text = format!(
        "{READ}policy m mask columns tagged PII\n who is in group hr clear\n who users in group analysts with hash\n \
         who agents with deny"
    );
    for (who, expected) in
        [("harper", "clear"), ("riley", "hash"), ("taylor", "null"), ("marketing-agent~", "denied")]
    {
        assert_eq!(rule(&access(&text, who, ORDERS).expect("granted"), "lastname"), expected, "{who}");
    }
    // As a floor it asks nothing of those it shows clear.
    let text = format!(
        "{READ}policy f mask columns tagged PII who users in group hr clear otherwise with hash floor\n\
         policy m mask columns tagged PII with partial(last 1)"
    );
    assert_eq!(rule(&access(&text, "harper", ORDERS).expect("granted"), "lastname"), "partial");
    assert_eq!(rule(&access(&text, "taylor", ORDERS).expect("granted"), "lastname"), "hash");
}

#[test]
fn a_cell_mask_is_in_force_wherever_its_predicate_is_not_false() {
    let text = format!("{READ}policy m mask columns tagged PII with null where active");
    let found = access(&text, "taylor", ORDERS).expect("granted");
    assert_eq!(rule(&found, "lastname"), "null");
    assert_eq!(
        column_sql(&found, "lastname"),
        "CAST(CASE WHEN (t.\"active\") IS NOT FALSE THEN CAST(NULL AS character varying(40)) ELSE t.\"lastname\" END \
         AS character varying(40))"
    );
    assert!(!found.view.barrier && found.view.columns.iter().any(|c| c.name == "lastname" && !c.writable));

    let mine = format!("{READ}policy m mask columns tagged PII with null where not region in (@user.region)");
    let found = access(&mine, "taylor", ORDERS).expect("granted");
    let sql = column_sql(&found, "lastname");
    // Were the session's values gone, the mask would still be there.
    assert!(sql.contains("IS NOT FALSE OR NOT EXISTS (SELECT 1 FROM lanyard.session_attribute"), "{sql}");
    assert_eq!(
        values(&entitled(&snapshot(&mine), "taylor")),
        BTreeMap::from([("user.region", vec!["US-EAST"])])
    );
    // Nobody has no region, and the agent none at all: a doubt masks.
    for who in ["nobody", "marketing-agent~"] {
        let found = access(&mine, who, ORDERS).expect("granted");
        assert!(column_sql(&found, "lastname").contains("WHEN TRUE THEN"), "{who}");
    }
    // As does a predicate that says nothing of this table.
    let lost = format!("{READ}policy m mask columns tagged PII with null where no_such_column = 1");
    let found = access(&lost, "taylor", ORDERS).expect("granted");
    assert!(column_sql(&found, "lastname").contains("WHEN TRUE THEN"));
}

#[test]
fn of_several_masks_the_strictest_holds_in_every_row() {
    let text = format!(
        "{READ}policy usual mask columns tagged PII with partial(last 1)\n\
         policy cells mask columns tagged PII with null where active floor\n\
         policy whole mask columns tagged PII with hash floor"
    );
    let found = access(&text, "taylor", ORDERS).expect("granted");
    let sql = column_sql(&found, "lastname");
    assert!(sql.contains("WHEN (t.\"active\") IS NOT FALSE THEN CAST(NULL"), "{sql}");
    assert!(sql.contains("ELSE CAST(pg_catalog.left(pg_catalog.encode("), "{sql}");
    assert!(!sql.contains("WHEN TRUE") && !sql.contains("repeat"), "{sql}");
    assert_eq!(rule(&found, "lastname"), "null");
    // Two of one kind that cannot be ordered hide everything, in some rows or in all.
    let text =
        format!("{text}\npolicy weak mask columns tagged PII with regex('a', 'b') where level = 1 floor");
    let found = access(&text, "taylor", ORDERS).expect("granted");
    assert_eq!(column_sql(&found, "lastname"), "CAST(NULL AS character varying(40))");
}

#[test]
fn a_reveal_lifts_except_masks_and_nothing_else() {
    let reveal = "policy r reveal columns tagged PII.Name to users named taylor\n";
    for (mask, expected) in [
        ("with null for everyone except users in group hr", "clear"),
        ("with hash for everyone except users in group hr or agents", "clear"),
        ("with null for everyone who is in group marketing", "null"),
        ("with null for users", "null"),
        ("with null", "null"),
        ("with null floor for everyone except users in group hr", "null"),
    ] {
        let text = format!("{READ}{reveal}policy m mask columns tagged PII {mask}");
        assert_eq!(rule(&access(&text, "taylor", ORDERS).expect("granted"), "lastname"), expected, "{mask}");
    }
    let text = format!(
        "{READ}{reveal}policy m mask columns tagged PII with null for everyone except users in group hr"
    );
    assert_eq!(rule(&access(&text, "riley", ORDERS).expect("granted"), "lastname"), "null");
    // For the user, whoever acts; but what watches who acts stays.
    assert_eq!(rule(&access(&text, "marketing-agent~taylor", ORDERS).expect("granted"), "lastname"), "clear");
    let acting = format!("{text}\npolicy a when an agent acts mask columns tagged PII with hash");
    assert_eq!(
        rule(&access(&acting, "marketing-agent~taylor", ORDERS).expect("granted"), "lastname"),
        "hash"
    );
    // A reveal for the agent is none for the user.
    let other = text.replace("users named taylor", "agents");
    assert_eq!(rule(&access(&other, "marketing-agent~taylor", ORDERS).expect("granted"), "lastname"), "null");
    assert_eq!(rule(&access(&other, "marketing-agent~", ORDERS).expect("granted"), "lastname"), "clear");
}

fn approved(text: &str, who: &str, approval: Approval, now: u64) -> Option<Access> {
    let mut snapshot = snapshot(text);
    snapshot.approvals = Approvals { now, all: vec![approval] };
    entitle(&snapshot, &principal(who)).expect("known").access("public", "customer_orders").cloned()
}

#[test]
fn an_approval_grants_until_it_ends_and_beats_no_guardrail() {
    let orders = || RelationName::new("public", "customer_orders");
    let grant = |grantee: Grantee, expires: Option<u64>| Approval {
        id: "request-7".into(),
        grantee,
        what: Approved::Access { relation: orders(), operations: BTreeSet::from([Operation::Read]) },
        expires,
    };
    let taylor = || Grantee::User(user_id("taylor"));
    let found = approved("", "taylor", grant(taylor(), Some(100)), 99).expect("granted");
    assert_eq!(
        (operations(&found), found.granted_by.as_slice()),
        (vec![Operation::Read], ["request-7".to_owned()].as_slice())
    );
    assert!(approved("", "marketing-agent~taylor", grant(taylor(), None), u64::MAX).is_some());
    assert!(approved("", "taylor", grant(taylor(), Some(100)), 100).is_none());
    assert!(approved("", "riley", grant(taylor(), None), 0).is_none());
    // An agent on its own has no user's approvals, and a user none of an agent of the same name.
    assert!(approved("", "marketing-agent~", grant(taylor(), None), 0).is_none());
    assert!(approved("", "taylor", grant(Grantee::Agent(agent_id("taylor")), None), 0).is_none());
    assert!(approved("", "narrow-agent~taylor", grant(taylor(), None), 0).is_none());
    let guarded = "policy g require users in group hr on tables tagged Sales";
    assert!(approved(guarded, "taylor", grant(taylor(), None), 0).is_none());

    let unmask = Approval {
        id: "request-8".into(),
        grantee: taylor(),
        what: Approved::Unmask { relation: orders(), column: "lastname".into() },
        expires: Some(100),
    };
    for (mask, now, expected) in [
        ("with null for everyone except users in group hr", 99, "clear"),
        ("with null for everyone except users in group hr", 100, "null"),
        ("with null floor for everyone except users in group hr", 0, "null"),
        ("with null for users", 0, "null"),
    ] {
        let text = format!("{READ}policy m mask columns tagged PII {mask}");
        let found = approved(&text, "taylor", unmask.clone(), now).expect("granted");
        assert_eq!(rule(&found, "lastname"), expected, "{mask}");
    }
    let all = Approvals { now: 50, all: vec![unmask, grant(taylor(), Some(70)), grant(taylor(), Some(50))] };
    assert_eq!((all.live().count(), all.next_end()), (2, Some(70)));
}

#[test]
fn permits_are_the_subjects_and_make_another_fingerprint() {
    let text = "policy w allow workspace kept to users in group marketing\n\
                policy f allow function public.score, public.rank to users or agents in group marketing_agents\n\
                policy t allow type public.mood to agents\n\
                policy e allow extension pg_trgm to users in group hr";
    let extras = |who: &str| entitled(&snapshot(text), who).extras;
    assert_eq!(extras("taylor").workspace, Some(Leftovers::Kept));
    assert_eq!(extras("taylor").functions.len(), 2);
    let closed = "policy c allow function public.as_owner, public.dblink, public.nowhere to everyone
                  policy d allow extension dblink, hstore to everyone";
    assert_eq!(
        entitled(&snapshot(closed), "taylor").extras,
        Extras::default(),
        "none of these is let through"
    );
    let citext = entitled(&snapshot("policy e allow extension citext to everyone"), "taylor").extras;
    let name = |name: &str| RelationName::new("public", name);
    assert!(citext.has_function(&name("replace")) && citext.has_type(&name("citext")));
    assert!(!citext.has_function(&name("similarity")) && !citext.has_operator(&name("<->")));
    assert!(extras("taylor").types.is_empty() && extras("taylor").extensions.is_empty());
    assert_eq!(extras("riley").workspace, None);
    assert_eq!(extras("harper").extensions.iter().collect::<Vec<_>>(), ["pg_trgm"]);
    assert_eq!(extras("marketing-agent~").types.len(), 1);
    assert_eq!(extras("marketing-agent~taylor"), extras("taylor"));
    let narrow = extras("narrow-agent~taylor");
    assert_eq!((narrow.workspace, narrow.functions.len()), (None, 2));
    let mark = |who: &str| entitled(&snapshot(text), who).fingerprint;
    assert_ne!(mark("taylor"), mark("riley"));
    assert_eq!(mark("riley"), mark("casey"));
    let both = format!("{text}\npolicy d allow workspace to users");
    assert_eq!(entitled(&snapshot(&both), "taylor").extras.workspace, Some(Leftovers::Kept));
}

#[test]
fn channels_are_given_by_their_exact_names() {
    let longest = "c".repeat(63);
    let text = format!(
        "policy c allow channel Orders, \"Late Orders\", {longest} to users or agents in group marketing_agents\n\
         policy d allow channels only_agents to agents\n\
         policy e (shadow) allow channel shadowed to everyone"
    );
    let channels = |who: &str| entitled(&snapshot(&text), who).extras.channels;
    let given = ["Late Orders".to_owned(), longest.clone(), "orders".to_owned()];
    assert_eq!(channels("taylor").into_iter().collect::<Vec<_>>(), given);
    assert_eq!(channels("marketing-agent~taylor"), channels("taylor"));
    assert_eq!(channels("narrow-agent~taylor"), channels("taylor"));
    assert!(channels("marketing-agent~").contains("only_agents"));
    let mark = |text: &str| entitled(&snapshot(text), "taylor").fingerprint;
    assert_ne!(mark("policy c allow channel a to users"), mark(""));
    assert_ne!(mark("policy c allow channel a to users"), mark("policy c allow channel b to users"));
    for bad in [
        format!("policy c allow channel {longest}c to users"),
        "policy c allow channel 'orders' to users".to_owned(),
        "policy c allow channel to users".to_owned(),
        "policy c allow channel * to users".to_owned(),
        "policy c allow channel \"\" to users".to_owned(),
        "policy c allow channel app.orders to users".to_owned(),
        "policy c allow channel orders".to_owned(),
    ] {
        let read = crate::policy::PolicySet::parse(&[crate::policy::Source { file: "p", text: &bad }]);
        assert!(read.is_err(), "{bad}");
    }
}

#[test]
fn shadow_policies_of_every_kind_are_told_and_not_enforced() {
    let text = format!(
        "{READ}policy r (shadow) reveal columns tagged PII to users\n\
         policy m (shadow) mask columns tagged PII with null where active\n\
         policy w (shadow) allow workspace to users\n\
         policy x (shadow) show rows of tables tagged Sales only 10 % by order_id"
    );
    let told =
        explain(&snapshot(&text), &principal("taylor"), &RelationName::new("public", "customer_orders"));
    assert_eq!(
        told.shadow,
        [
            "'r' would reveal lastname",
            "'m' would mask lastname with null in some rows",
            "'x' would filter rows"
        ]
    );
    let found = access(&text, "taylor", ORDERS).expect("granted");
    assert_eq!((rule(&found, "lastname"), found.rows), ("clear", RowRule::All));
}
