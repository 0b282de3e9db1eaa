//! What works through the proxy as it does directly: PostgreSQL's regression files, wide analytic queries, tools.
//!
//! It must never count as alike what was not compared, nor as passed what was not run. `make what-works` writes
//! `docs/what-works.md`.

mod analytic;
mod compare;
mod privileges;
mod regression;
mod report;
mod script;
mod tools;

/// A person who is granted what each test's policy says; no tags.
const GOVERNANCE: [(&str, &str); 2] = [
    (
        "identities.json",
        r#"{"next_short": 2, "users": [{"id": "tester", "name": "Tess Tester", "short": 1, "groups": [],
        "attributes": {}}], "agents": []}"#,
    ),
    ("tags.json", r#"{"definitions": [], "schemas": {}, "tables": {}, "columns": {}}"#),
];
