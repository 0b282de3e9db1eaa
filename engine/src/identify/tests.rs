//! How identifiers compete, as data. What their tests take is tried on a server.

use super::*;

fn column(name: &str, category: char) -> Column {
    Column {
        name: name.into(),
        number: 1,
        type_oid: 25,
        type_sql: "text".into(),
        category,
        not_null: false,
        deterministic: false,
        tags: Default::default(),
    }
}

fn proposed(
    name: &str,
    category: char,
    sampled: u64,
    hits: &[(&'static str, u64)],
) -> Option<(String, Evidence)> {
    let counts = Counts { sampled, hits: hits.iter().copied().collect() };
    propose(&RelationName::new("public", "t"), &column(name, category), &counts)
        .map(|proposal| (proposal.tag.0, proposal.evidence))
}

#[test]
fn the_most_specific_of_those_over_the_threshold_wins() {
    let tag = |tag: &str, evidence| Some((tag.to_owned(), evidence));
    assert_eq!(proposed("x", 'S', 100, &[("email", 90)]), tag("PII.Email", Evidence::Values));
    assert_eq!(proposed("mail", 'S', 100, &[("email", 95)]), tag("PII.Email", Evidence::ValuesAndName));
    assert_eq!(
        proposed("x", 'S', 100, &[("phone", 100), ("us_ssn", 91)]),
        tag("PII.NationalId", Evidence::Values)
    );
    assert_eq!(proposed("phone", 'S', 100, &[("phone", 50)]), tag("PII.Phone", Evidence::Name));
    assert_eq!(
        proposed("dob", 'D', 100, &[("birth_date", 100)]),
        tag("PII.BirthDate", Evidence::ValuesAndName)
    );
}

#[test]
fn little_or_common_evidence_is_none() {
    assert_eq!(proposed("x", 'S', 100, &[("email", 89)]), None, "under the threshold");
    assert_eq!(proposed("x", 'S', 9, &[("email", 9)]), None, "too few values");
    assert_eq!(proposed("x", 'S', 0, &[]), None, "an empty table");
    assert_eq!(proposed("x", 'N', 100, &[("email", 100)]), None, "a number is no address");
    assert_eq!(proposed("ordered", 'D', 100, &[("birth_date", 100)]), None, "any date could be a birthday");
    assert_eq!(proposed("amount", 'N', 100, &[("nl_bsn", 95)]), None, "one number in eleven is a BSN");
}

#[test]
fn names_are_known_by_their_words() {
    let knows = |id: &str, name: &str| built_in().iter().any(|i| i.id == id && i.knows(name));
    for (id, name) in [
        ("email", "customer_email"),
        ("email", "emailAddress"),
        ("birth_date", "DOB"),
        ("phone", "home-phone"),
    ] {
        assert!(knows(id, name), "{name}");
    }
    for (id, name) in
        [("email", "emailed"), ("phone", "microphone"), ("ip", "ship_date"), ("card", "cardinality")]
    {
        assert!(!knows(id, name), "{name}");
    }
}

#[test]
fn ids_and_specificities_make_a_ranking() {
    let mut ids: Vec<&str> = built_in().iter().map(|i| i.id).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert!(built_in().iter().all(|i| TagPath(i.tag.into()).is_under(&TagPath("PII".into()))));
}
