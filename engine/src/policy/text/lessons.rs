//! What to say to somebody who wrote something natural that the grammar has another form for.
//!
//! Must never change what is accepted: hints only. Called by the parser where a word was expected.

use super::lexer::Kind;
use super::masks::MASKS;

/// What would be right here, where these words were expected and that was found.
pub(super) fn hint(expected: &[&str], found: &Kind) -> Option<String> {
    let wants = |one: &str| expected.contains(&one);
    let spelt = match found {
        Kind::Word(word) | Kind::Quoted(word) => word.as_str(),
        _ => "",
    };
    let word = spelt.to_ascii_lowercase();
    let is = |list: &[&str]| list.contains(&word.as_str());
    let a_word = !word.is_empty();
    let told = if wants("guardrail")
        && wants("purpose")
        && is(&["allow", "show", "mask", "reveal", "require"])
    {
        format!("a policy starts with its name, as in: policy my_policy {word} …")
    } else if wants("allow") && is(&["deny", "hide", "remove", "forbid", "block"]) {
        "nothing is allowed unless a policy says so; columns are hidden by: mask columns tagged PII with deny"
            .to_owned()
    } else if wants("allow") && is(&["grant", "permit", "give"]) {
        "write: allow read on tables tagged Sales to users".to_owned()
    } else if wants("allow") && is(&["filter", "only", "limit"]) {
        "rows are limited by: show rows of tables tagged Sales where …".to_owned()
    } else if wants("allow") && a_word && !is(&["alow", "mak", "shw"]) {
        "a name of several words stands in double quotes".to_owned()
    } else if wants("read") && is(&["select", "insert", "update", "delete", "query", "all"]) {
        "'read' is SELECT; 'write' is INSERT, UPDATE and DELETE".to_owned()
    } else if expected == MASKS && matches!(found, Kind::Text(_) | Kind::Number(_)) {
        "a fixed value is written constant('REDACTED')".to_owned()
    } else if expected == MASKS && spelt.len() > 1 && spelt == spelt.to_ascii_uppercase() && !is(&MASKS) {
        format!("a fixed value is written constant('{spelt}')")
    } else if expected == MASKS {
        return None;
    } else if wants("users") && is(&["all", "everybody", "anyone", "anybody", "public"]) {
        "write 'everyone'".to_owned()
    } else if wants("users") && is(&["group", "groups"]) {
        "say what they are first, as in: users in group hr".to_owned()
    } else if wants("users") && is(&["in", "with", "named", "not", "under"]) {
        format!("say what they are first, as in: users {word} …")
    } else if wants("users") && !wants("except") && a_word {
        format!("say who they are, as in: users in group {spelt}, or: users named {spelt}")
    } else if expected == ["group"] && a_word {
        format!("write: in group {spelt}")
    } else if wants("=") {
        "as in: with region = 'EU', or: with region in ('EU', 'UK')".to_owned()
    } else if wants("tagged") && a_word {
        format!("say how it is named, as in: tagged {spelt}, or: named schema.{spelt}")
    } else {
        return in_sentence(expected, found, &word);
    };
    Some(told)
}

/// The joints of sentences.
fn in_sentence(expected: &[&str], found: &Kind, word: &str) -> Option<String> {
    let wants = |one: &str| expected.contains(&one);
    let is = |list: &[&str]| list.contains(&word);
    let told = match expected {
        ["columns"] => "as in: columns tagged PII, or: columns named email",
        ["tables"] => "as in: tables tagged Sales, or: tables named public.orders",
        ["with", "who"] => "as in: mask columns tagged PII with null",
        ["with", "clear"] if MASKS.contains(&word) => return Some(format!("write: with {word}")),
        ["than" | "by"] => "as in: newer than 90 days by created_at",
        ["%"] => "as in: only 10 % by customer_id",
        ["matches"] => "as in: whose Region matches region",
        ["to"] if is(&["policy", "guardrail", "purpose"]) => {
            "the policy above is not finished: say to whom, as in: to users in group hr"
        }
        ["to"] if is(&["for"]) => "write: to users …",
        ["on"] if is(&["for", "of", "to"]) => "write: on tables …",
        ["require"] => {
            "a guardrail says what one must be, as in: require users with training = 'privacy' on tables tagged PII"
        }
        ["except" | "for"] => "as in: for everyone except users in group hr",
        _ if wants("policy") && is(&["except", "but", "unless"]) => "write: for everyone except …",
        _ if wants("floor") && matches!(found, Kind::Symbol("(")) => "this mask takes nothing in parentheses",
        _ if wants("and") && is(&["where", "when", "if"]) => {
            "people are described by tests, as in: users with region = 'EU'; rows by: show rows of tables … where …"
        }
        _ if wants("whose") && wants("none") && !word.is_empty() => {
            return Some(format!("write: where {word} …"));
        }
        _ => return None,
    };
    Some(told.to_owned())
}
