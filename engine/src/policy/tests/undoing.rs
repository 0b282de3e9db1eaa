//! Whose masks may be undone by whom.

use super::{entitled, snapshot};

const MASKED: &str = "policy g allow read on tables named finance.ledger, public.campaign_tools to everyone
    policy m mask columns tagged PII, Secret with reversible(accounts) ";

fn keys(more: &str, who: &str) -> Vec<String> {
    let extras = entitled(&snapshot(&format!("{MASKED}{more}")), who).extras;
    let columns = extras
        .unmask
        .iter()
        .map(|(key, columns)| format!("{key}: {}", columns.iter().cloned().collect::<Vec<_>>().join(" ")));
    columns.collect()
}

#[test]
fn the_right_to_undo_masks_is_for_the_columns_it_names() {
    let right = "policy u allow unmask on columns tagged Secret to users in group hr";
    assert_eq!(keys(right, "harper"), ["reversible:accounts: finance.ledger.token"]);
    let of = "policy u allow unmask on columns tagged PII of tables named public.campaign_tools
        to users in group hr";
    assert_eq!(keys(of, "harper"), ["reversible:accounts: public.campaign_tools.email"]);
    assert_eq!(keys(of, "marketing-agent~harper").len(), 1, "the subject's right");
    // On `finance.ledger.phone` the mask does not fit and is `null`: nothing is there to undo.
    let both = "policy u allow unmask on columns tagged PII, Secret to users in group hr or agents
        policy t mask columns named public.campaign_tools.email with token";
    assert_eq!(
        keys(both, "narrow-agent~harper"),
        ["reversible:accounts: finance.ledger.token", "token: public.campaign_tools.email"]
    );
}

#[test]
fn nothing_else_is_undone() {
    let everyone = "policy u allow unmask on columns tagged Secret to everyone ";
    for (more, who, why) in [
        ("policy u allow unmask on columns tagged Secret to users in group hr", "taylor", "not for them"),
        ("policy u (shadow) allow unmask on columns tagged Secret to everyone", "harper", "not active"),
        ("policy u allow unmask on columns tagged Region to everyone", "harper", "another column"),
        (
            "policy u allow unmask on columns tagged PII of tables named public.payroll to everyone",
            "harper",
            "another table",
        ),
        (
            &format!("{everyone} policy f mask columns tagged Secret with null floor"),
            "harper",
            "a floor is stricter",
        ),
        (&format!("{everyone} policy f mask columns named token with deny"), "harper", "it is not there"),
        (&format!("{everyone} policy f mask columns named token with hash"), "harper", "no way back"),
        (
            &format!("{everyone} guardrail r require users in group nobody on tables named finance.ledger"),
            "harper",
            "the table is refused",
        ),
        ("policy u allow unmask on columns tagged Secret to users", "narrow-agent~harper", "not the agent's"),
        ("policy u allow unmask on columns tagged Secret to agents", "marketing-agent~harper", "an agent's"),
        (
            "policy u allow unmask on columns tagged Secret to users under purpose Fraud
             purpose Fraud 'to find fraud' to users",
            "harper",
            "without the purpose",
        ),
    ] {
        assert_eq!(keys(more, who), Vec::<String>::new(), "{why}");
    }
}

#[test]
fn the_right_makes_another_bundle() {
    let mark = |more: &str, who: &str| entitled(&snapshot(&format!("{MASKED}{more}")), who).fingerprint;
    let right = "policy u allow unmask on columns tagged Secret to users in group hr";
    assert_ne!(mark(right, "harper"), mark("", "harper"));
    assert_eq!(mark(right, "taylor"), mark("", "taylor"));
}
