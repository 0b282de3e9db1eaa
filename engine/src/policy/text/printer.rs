//! Policies as canonical text: reading it gives the same policy.
//!
//! Must never print what the parser refuses. Called by `print` and by `explain`.

use super::words::{identifier, name, path, string};
use crate::entitlement::Operation;
use crate::policy::model::{
    ColumnMatch, ColumnName, Columns, Mask, Nulls, Party, PartyKind, Policy, Question, RowsShown, Rule,
    Scope, Sense, State, Strength, TableMatch, Tables, Tag, Test, Watches, Who,
};
use crate::policy::predicate::print as predicate;

/// One policy, without a line break at the end.
pub(crate) fn policy(policy: &Policy) -> String {
    let head = match policy.rule {
        Rule::Guardrail(_) => "guardrail",
        Rule::Grant(_) | Rule::Rows(_) | Rule::Mask(_) => "policy",
    };
    let mut out = format!("{head} {}", name(&policy.name));
    if policy.state != State::Active {
        out.push_str(&format!(" ({})", policy.state.word()));
    }
    if policy.watches == Watches::Actor {
        out.push_str("\n  when an agent acts");
    }
    for line in lines(&policy.rule) {
        out.push_str("\n  ");
        out.push_str(&line);
    }
    out
}

fn lines(rule: &Rule) -> Vec<String> {
    match rule {
        Rule::Grant(grant) => {
            let word = |o: &Operation| match o {
                Operation::Read => "read",
                Operation::Write => "write",
            };
            let operations: Vec<&str> = grant.operations.iter().map(word).collect();
            vec![
                format!("allow {} on {}", operations.join(", "), tables(&grant.on)),
                format!("to {}", who(&grant.to)),
            ]
        }
        Rule::Guardrail(guardrail) => {
            vec![format!("require {}", who(&guardrail.require)), format!("on {}", tables(&guardrail.on))]
        }
        Rule::Rows(rows) => {
            let head = format!("show rows of {}", tables(&rows.of));
            let mut lines = if rows.branches.is_empty() {
                vec![format!("{head} {}", shown(&rows.otherwise))]
            } else {
                let mut lines = vec![head];
                for branch in &rows.branches {
                    let who = described(&branch.who);
                    lines.push(format!("who {who} {}", shown(&branch.shown)));
                }
                lines.push(format!("otherwise {}", shown(&rows.otherwise)));
                lines
            };
            lines.extend(scope(&rows.scope));
            lines
        }
        Rule::Mask(rule) => {
            let floor = match rule.strength {
                Strength::Usual => "",
                Strength::Floor => " floor",
            };
            let mut lines = vec![format!("mask {} with {}{floor}", columns(&rule.columns), mask(&rule.mask))];
            lines.extend(scope(&rule.scope));
            lines
        }
    }
}

fn shown(shown: &RowsShown) -> String {
    match shown {
        RowsShown::All => "all".to_owned(),
        RowsShown::None => "none".to_owned(),
        RowsShown::Where(one) => format!("where {}", predicate::predicate(&one.expr)),
    }
}

fn scope(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Everyone => None,
        Scope::Except(these) => Some(format!("for everyone except {}", who(these))),
        Scope::Only(these) => Some(match these.any.as_slice() {
            [Party { kind: PartyKind::Everyone, all }] if !all.is_empty() => {
                format!("for everyone who {}", described(these))
            }
            [Party { kind, .. }, ..] if *kind != PartyKind::Everyone => {
                format!("for {}", who(these))
            }
            _ => format!("for everyone who {}", who(these)),
        }),
    }
}

/// After `who`.
fn described(these: &Who) -> String {
    match these.any.as_slice() {
        [Party { kind: PartyKind::Everyone, all }] if !all.is_empty() => {
            let is = match all.first().map(|t| (&t.question, t.sense)) {
                Some((Question::Attribute { .. }, _)) | None => "",
                Some(_) => "is ",
            };
            format!("{is}{}", tests(all, "has"))
        }
        _ => who(these),
    }
}

pub(crate) fn who(who: &Who) -> String {
    let parties: Vec<String> = who.any.iter().map(party).collect();
    parties.join(" or ")
}

fn party(party: &Party) -> String {
    let kind = match party.kind {
        PartyKind::Users => "users",
        PartyKind::Agents => "agents",
        PartyKind::Everyone => "everyone",
    };
    if party.all.is_empty() { kind.to_owned() } else { format!("{kind} {}", tests(&party.all, "with")) }
}

fn tests(all: &[Test], with: &str) -> String {
    let one = |test: &Test| {
        let not = match test.sense {
            Sense::Is => "",
            Sense::Not => "not ",
        };
        let names = |list: &[String]| list.iter().map(|n| name(n)).collect::<Vec<_>>().join(" or ");
        match &test.question {
            Question::Group(groups) => format!("{not}in group {}", names(groups)),
            Question::Id(ids) => format!("{not}named {}", names(ids)),
            Question::Attribute { name: key, values } => match values.as_slice() {
                [one] => format!("{not}{with} {} = {}", name(key), string(one)),
                many => {
                    let many: Vec<String> = many.iter().map(|v| string(v)).collect();
                    format!("{not}{with} {} in ({})", name(key), many.join(", "))
                }
            },
        }
    };
    all.iter().map(one).collect::<Vec<_>>().join(" and ")
}

fn tags(tags: &[Tag]) -> String {
    let tags: Vec<String> = tags.iter().map(|t| path(&t.path.0)).collect();
    format!("tagged {}", tags.join(", "))
}

fn patterns(patterns: &[String]) -> String {
    let patterns: Vec<String> = patterns.iter().map(|p| string(p)).collect();
    format!("like {}", patterns.join(", "))
}

pub(crate) fn tables(tables: &Tables) -> String {
    let one = |m: &TableMatch| match m {
        TableMatch::Tagged(list) => tags(list),
        TableMatch::Named(list) => {
            let names: Vec<String> = list
                .iter()
                .map(|t| format!("{}.{}", identifier(&t.relation.schema), identifier(&t.relation.name)))
                .collect();
            format!("named {}", names.join(", "))
        }
        TableMatch::Like(list) => patterns(list),
        TableMatch::WithColumns(columns) => format!("with columns {}", column_match(columns)),
    };
    let any: Vec<String> = tables.any.iter().map(one).collect();
    format!("tables {}", any.join(" or "))
}

fn columns(columns: &Columns) -> String {
    let any: Vec<String> = columns.any.iter().map(column_match).collect();
    let of = match &columns.of {
        Some(of) => format!(" of {}", tables(of)),
        None => String::new(),
    };
    format!("columns {}{of}", any.join(" or "))
}

fn column_match(one: &ColumnMatch) -> String {
    match one {
        ColumnMatch::Tagged(list) => tags(list),
        ColumnMatch::Like(list) => patterns(list),
        ColumnMatch::Named(list) => {
            let names: Vec<String> = list.iter().map(column_name).collect();
            format!("named {}", names.join(", "))
        }
    }
}

fn column_name(one: &ColumnName) -> String {
    let column = identifier(&one.column);
    match &one.relation {
        None => column,
        Some(table) => format!("{}.{}.{column}", identifier(&table.schema), identifier(&table.name)),
    }
}

/// A mask as text.
pub(crate) fn mask(mask: &Mask) -> String {
    match mask {
        Mask::Null => "null".to_owned(),
        Mask::Deny => "deny".to_owned(),
        Mask::Constant { value, nulls } => {
            let with = match nulls {
                Nulls::Kept => "",
                Nulls::Hidden => " with nulls",
            };
            format!("constant({}){with}", predicate::literal(value))
        }
        Mask::Hash { joinable: None } => "hash".to_owned(),
        Mask::Hash { joinable: Some(group) } => format!("hash joinable in {}", name(group)),
        Mask::Partial { first, last, fill } => {
            format!("partial(first {first}, last {last}, {})", string(&fill.to_string()))
        }
        Mask::Regex { pattern, replacement, flags } => {
            format!("regex({}, {}, {})", string(pattern), string(replacement), string(flags))
        }
        Mask::Bucket(bucket) => format!("round({bucket})"),
        Mask::Unit(unit) => format!("round('{}')", unit.word()),
    }
}
