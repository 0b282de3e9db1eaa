//! Policies as JSON, and the schema that is published for them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::generators::any_policy;
use super::{SAMPLE, parse};
use crate::policy::model::Policy;
use crate::policy::{Diagnostic, PolicySet, Source, print, to_json};

const SCHEMA: &str = include_str!("../../../../docs/reference/policy.schema.json");
const REFERENCE: &str = include_str!("../../../../docs/reference/policy.md");

fn read(json: &str) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    let set = PolicySet::parse(&[Source { file: "a.policy.json", text: json }])?;
    Ok(set.iter().cloned().collect())
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("JSON")
}

/// What the value breaks of the schema: the keywords our schema uses, and a panic for any other.
fn fault(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let broken = |what: &str| Some(format!("{at}: {what}"));
    for (keyword, wanted) in schema.as_object().expect("an object") {
        let number = || usize::try_from(wanted.as_u64().expect("a number")).expect("small");
        let found = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => None,
            "$ref" => {
                let name = wanted.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a definition");
                fault(root, root["$defs"].get(name).expect("defined"), value, at)
            }
            "type" => match wanted.as_str() {
                Some("object") if value.is_object() => None,
                Some("array") if value.is_array() => None,
                Some("string") if value.is_string() => None,
                Some("boolean") if value.is_boolean() => None,
                Some("integer") if value.is_u64() => None,
                _ => broken("type"),
            },
            "enum" if !wanted.as_array().expect("a list").contains(value) => broken("enum"),
            "const" if wanted != value => broken("const"),
            "enum" | "const" => None,
            "oneOf" => {
                let fits =
                    wanted.as_array().expect("a list").iter().filter(|s| fault(root, s, value, at).is_none());
                (fits.count() != 1).then(|| format!("{at}: oneOf {value}"))
            }
            "required" => {
                let missing = |name: &&Value| value.get(name.as_str().expect("a name")).is_none();
                wanted
                    .as_array()
                    .expect("a list")
                    .iter()
                    .find(missing)
                    .map(|n| format!("{at}: {n} is missing"))
            }
            "properties" => value.as_object().and_then(|object| {
                object.iter().find_map(|(name, inner)| {
                    let inner_schema = wanted.get(name)?;
                    fault(root, inner_schema, inner, &format!("{at}/{name}"))
                })
            }),
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false));
                let known = |name: &String| schema["properties"].get(name).is_some();
                value
                    .as_object()
                    .and_then(|o| o.keys().find(|n| !known(n)))
                    .map(|n| format!("{at}: {n} is not known"))
            }
            "items" => value
                .as_array()
                .and_then(|list| list.iter().find_map(|v| fault(root, wanted, v, &format!("{at}[]")))),
            "minItems" => value.as_array().filter(|l| l.len() < number()).and_then(|_| broken("minItems")),
            "maxItems" => value.as_array().filter(|l| l.len() > number()).and_then(|_| broken("maxItems")),
            "uniqueItems" => value
                .as_array()
                .filter(|l| l.iter().enumerate().any(|(n, v)| l[..n].contains(v)))
                .and_then(|_| broken("uniqueItems")),
            "minLength" => {
                value.as_str().filter(|s| s.chars().count() < number()).and_then(|_| broken("minLength"))
            }
            "maxLength" => {
                value.as_str().filter(|s| s.chars().count() > number()).and_then(|_| broken("maxLength"))
            }
            "minimum" => value.as_u64().filter(|n| *n < number() as u64).and_then(|_| broken("minimum")),
            "maximum" => value.as_u64().filter(|n| *n > number() as u64).and_then(|_| broken("maximum")),
            "pattern" => {
                let pattern = regex_lite::Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern");
                value.as_str().filter(|s| !pattern.is_match(s)).and_then(|_| broken("pattern"))
            }
            other => panic!("the schema says '{other}', which this test does not know"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn fits(json: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let schema = schema();
    fault(&schema, &schema, &value, "").map_or(Ok(()), Err)
}

#[test]
fn the_sample_and_every_example_are_the_same_in_json() {
    let blocks = REFERENCE.split("```policy\n").skip(1).map(|b| b.split("```").next().unwrap_or_default());
    for text in blocks.chain([SAMPLE]) {
        let policies: Vec<Policy> = parse(text).iter().cloned().collect();
        let json = to_json(&policies);
        assert_eq!(fits(&json), Ok(()), "{json}");
        assert_eq!(read(&json).expect("policies"), policies, "{json}");
    }
}

#[test]
fn the_json_of_the_reference_is_two_policies_of_the_sample() {
    let json = REFERENCE.split("```json\n").nth(1).and_then(|b| b.split("```").next()).expect("an example");
    assert_eq!(fits(json), Ok(()));
    let read: Vec<String> = read(json).expect("policies").iter().map(print).collect();
    let sample: Vec<String> = parse(SAMPLE).iter().map(print).collect();
    assert_eq!(read, [sample[3].clone(), sample[4].replace("secrets\n", "secrets (shadow)\n")]);
}

#[test]
fn the_approvals_of_the_reference_are_read() -> Result<(), serde_json::Error> {
    let json = REFERENCE.split("```json\n").nth(2).and_then(|b| b.split("```").next()).expect("an example");
    let read: Vec<crate::approval::Approval> = serde_json::from_str(json)?;
    assert_eq!(read.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["request-17", "request-18"]);
    assert_eq!(serde_json::to_value(&read)?, serde_json::from_str::<Value>(json)?);
    Ok(())
}

/// Changes that make a policy nobody can read, each with a word of what is said about it.
#[test]
fn json_that_is_no_policy_is_refused_with_a_place() {
    let good = || {
        json!({"policies": [{"name": "p", "rule": {"mask": {"columns": {"any": [{"tagged": ["PII"]}]},
            "otherwise": {"with": {"mask": "null"}}}}}]})
    };
    assert!(read(&good().to_string()).is_ok());
    let mut cases: Vec<(Value, &str)> = Vec::new();
    let mut case = |path: &str, value: Value, says: &'static str| {
        let mut changed = good();
        *changed.pointer_mut(path).expect(path) = value;
        cases.push((changed, says));
    };
    case("/policies/0/rule", json!({"mask": {}, "grant": {}}), "");
    case("/policies/0/rule", json!({"msk": {}}), "unknown variant `msk`");
    case("/policies/0/rule/mask/columns/any", json!([]), "expected 'tagged'");
    case("/policies/0/rule/mask/columns/any/0", json!({"tagged": []}), "");
    case("/policies/0/rule/mask/columns/any/0", json!({"matching": ["("]}), "regular expression");
    case("/policies/0/rule/mask/otherwise", json!({"with": {"mask": "nul"}}), "unknown variant `nul`");
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"bucket": "0"}}}),
        "a bucket above zero",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"fpe": {"alphabet": "aa"}}}}),
        "each once",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"bucket": "1) with null policy x ("}}}),
        "",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": "deny", "where": "a"}}),
        "cannot depend on the row",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": "null", "where": "pg_sleep(1)"}}),
        "not part of predicates",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": "null", "where": "a = 1) or (b = 1"}}),
        "",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"custom": {"value": "lower(@column) for users"}}}}),
        "",
    );
    case("/policies/0/name", json!(""), "");
    case("/policies/0/name", json!("a\nb"), "");
    case("/policies/0/name", json!(7), "invalid type");
    case("/policies/0", json!({"name": "p"}), "missing field `rule`");
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"hash": []}}}),
        "not written as the schema says: policies/0/rule/mask/otherwise/with/mask/hash/",
    );
    case(
        "/policies/0/rule/mask/otherwise",
        json!({"with": {"mask": {"null": null}}}),
        "not written as the schema says",
    );
    case("/policies", json!({}), "");
    for (value, says) in cases {
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let found = read(&text).expect_err(&text);
        let shown = found[0].to_string();
        assert!(shown.contains(says), "{shown}\n{text}");
        assert!(found[0].excerpt.is_some() && shown.starts_with("a.policy.json:"), "{shown}");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_err());
    let deep = format!("{}{{\"test\": {{\"id\": [\"a\"]}}}}{}", "{\"not\":".repeat(60), "}".repeat(60));
    let whole = format!(
        "{{\"policies\":[{{\"name\":\"p\",\"rule\":{{\"grant\":{{\"operations\":[\"read\"],\"on\":{{\"any\":[{{\"tagged\":[\"A\"]}}]}},\
         \"to\":{{\"any\":[{{\"kind\":\"users\",\"condition\":{deep}}}]}}}}}}}}]}}"
    );
    assert!(read(&whole).is_ok());
    assert!(read(&whole.replacen("{\"not\":", &"{\"not\":".repeat(50), 1)).is_err());
    assert!(read(&format!("\"{}\"", "x".repeat(10 << 20))).is_err());
}

#[test]
fn findings_about_json_show_the_policy_as_text() {
    let json = to_json(
        &parse("policy a mask columns tagged PII with null\npolicy b mask columns tagged Nope with null")
            .iter()
            .cloned()
            .collect::<Vec<_>>(),
    );
    let mut snapshot = super::snapshot("");
    snapshot.policies = PolicySet::parse(&[Source { file: "a.policy.json", text: &json }]).expect("policies");
    let found = crate::policy::check(&snapshot);
    let found = found.iter().find(|d| d.message.contains("Nope")).expect("not defined");
    assert_eq!(found.file, "a.policy.json (as text)");
    assert!(
        found.excerpt.as_ref().is_some_and(|e| e.contains("mask columns tagged Nope with null")),
        "{found}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_policy_fits_the_schema(policy in any_policy()) {
        let json = to_json(std::slice::from_ref(&policy));
        prop_assert_eq!(fits(&json), Ok(()), "{}", json);
    }

    /// A value put somewhere into a policy never makes one that is read and breaks the schema, but for bounds of bytes that a
    /// schema counts in characters.
    #[test]
    fn what_is_read_fits_the_schema(policy in any_policy(), spot in 0..200usize, put in 0..8usize) {
        let mut value: Value = serde_json::from_str(&to_json(std::slice::from_ref(&policy))).expect("JSON");
        let puts = [json!(null), json!(7), json!("x"), json!([]), json!({}), json!(true), json!("null"), json!("1.5")];
        let mut left = spot;
        change(&mut value, &mut left, &puts[put]);
        let text = value.to_string();
        if let Ok(read) = read(&text) {
            prop_assert_eq!(fits(&text), Ok(()), "{}", to_json(&read));
        }
    }
}

/// Replaces the value that many steps in.
fn change(value: &mut Value, left: &mut usize, put: &Value) -> bool {
    if *left == 0 {
        *value = put.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|v| change(v, left, put)),
        Value::Object(object) => object.values_mut().any(|v| change(v, left, put)),
        _ => false,
    }
}
