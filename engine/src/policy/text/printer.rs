//! Policies as canonical text: reading it gives the same policy.
//!
//! Must never print what the parser refuses. Called by `print` and by `explain`.

use super::words::{identifier, name, path, string};
use crate::catalog::RelationName;
use crate::entitlement::Leftovers;
use crate::identity::PurposeName;
use crate::policy::model::{
    ColumnMatch, ColumnName, Columns, Condition, EventColumn, Hop, Mask, Masking, Match, Missing,
    NamePattern, Nulls, Party, PartyKind, Permitted, Policy, Question, Rows, RowsShown, Rule, Scope, Share,
    State, Strength, TableMatch, Tables, Tag, Test, Through, Watches, Who, Window, WindowSide,
};
use crate::policy::predicate::Named;
use crate::policy::predicate::print as predicate;

/// One policy, without a line break at the end.
pub(crate) fn policy(policy: &Policy) -> String {
    let head = match policy.rule {
        Rule::Guardrail(_) => "guardrail",
        Rule::Purpose(_) => "purpose",
        Rule::Grant(_) | Rule::Permit(_) | Rule::Rows(_) | Rule::Mask(_) | Rule::Reveal(_) => "policy",
    };
    let called = match policy.rule {
        Rule::Purpose(_) => path(&policy.name),
        _ => name(&policy.name),
    };
    let mut out = format!("{head} {called}");
    if policy.state != State::Active {
        out.push_str(&format!(" ({})", policy.state.word()));
    }
    match policy.watches {
        Watches::Subject => {}
        Watches::Actor => out.push_str("\n  when an agent acts"),
        Watches::Both => out.push_str("\n  watches both"),
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
            let operations: Vec<&str> = grant.operations.iter().map(|operation| operation.word()).collect();
            vec![
                format!("allow {} on {}", operations.join(", "), tables(&grant.on)),
                format!("to {}", who(&grant.to)),
            ]
        }
        Rule::Guardrail(guardrail) => {
            vec![format!("require {}", who(&guardrail.require)), format!("on {}", tables(&guardrail.on))]
        }
        Rule::Permit(permit) => {
            vec![format!("allow {}", permitted(&permit.what)), format!("to {}", who(&permit.to))]
        }
        Rule::Reveal(reveal) => {
            vec![format!("reveal {}", columns(&reveal.columns)), format!("to {}", who(&reveal.to))]
        }
        Rule::Purpose(purpose) => vec![string(&purpose.statement), format!("to {}", who(&purpose.to))],
        Rule::Rows(rows) => row_lines(rows),
        Rule::Mask(rule) => {
            let floor = match rule.strength {
                Strength::Usual => "",
                Strength::Floor => " floor",
            };
            let head = format!("mask {}", columns(&rule.columns));
            let mut lines = if rule.branches.is_empty() && rule.otherwise != Masking::Clear {
                vec![format!("{head} {}{floor}", masking(&rule.otherwise))]
            } else {
                let mut lines = vec![head];
                for branch in &rule.branches {
                    lines.push(format!("who {} {}", described(&branch.who), masking(&branch.masking)));
                }
                lines.push(format!("otherwise {}{floor}", masking(&rule.otherwise)));
                lines
            };
            lines.extend(scope(&rule.scope));
            lines
        }
    }
}

fn row_lines(rows: &Rows) -> Vec<String> {
    let mut head = format!("show rows of {}", tables(&rows.of));
    if !rows.lookups.is_empty() {
        let lookups: Vec<String> = rows.lookups.iter().map(|l| relation(&l.relation)).collect();
        head.push_str(&format!(" using lookup {}", lookups.join(", ")));
    }
    let mut lines = if rows.branches.is_empty() {
        vec![format!("{head} {}", shown(&rows.otherwise))]
    } else {
        let mut lines = vec![head];
        for branch in &rows.branches {
            lines.push(format!("who {} {}", described(&branch.who), shown(&branch.shown)));
        }
        lines.push(format!("otherwise {}", shown(&rows.otherwise)));
        lines
    };
    if rows.missing == Missing::Skip {
        lines.push("on missing skip".to_owned());
    }
    lines.extend(scope(&rows.scope));
    lines
}

pub(crate) fn relation(relation: &RelationName) -> String {
    format!("{}.{}", identifier(&relation.schema), identifier(&relation.name))
}

fn permitted(what: &Permitted) -> String {
    let objects = |list: &[RelationName]| list.iter().map(relation).collect::<Vec<_>>().join(", ");
    match what {
        Permitted::Workspace(Leftovers::Dropped) => "workspace".to_owned(),
        Permitted::Workspace(Leftovers::Kept) => "workspace kept".to_owned(),
        Permitted::Functions(list) => format!("function {}", objects(list)),
        Permitted::Types(list) => format!("type {}", objects(list)),
        Permitted::Extensions(list) => {
            let list: Vec<String> = list.iter().map(|e| identifier(e)).collect();
            format!("extension {}", list.join(", "))
        }
        Permitted::Channels(list) => {
            let list: Vec<String> = list.iter().map(|c| identifier(c)).collect();
            format!("channel {}", list.join(", "))
        }
        Permitted::Unmask(which) => format!("unmask on {}", columns(which)),
    }
}

fn masking(masking: &Masking) -> String {
    match masking {
        Masking::Clear => "clear".to_owned(),
        Masking::With { mask: one, cells: None } => format!("with {}", mask(one)),
        Masking::With { mask: one, cells: Some(cells) } => {
            format!("with {} where {}", mask(one), predicate::predicate(&cells.expr))
        }
    }
}

pub(crate) fn shown(shown: &RowsShown) -> String {
    match shown {
        RowsShown::All => "all".to_owned(),
        RowsShown::None => "none".to_owned(),
        RowsShown::Where(one) => format!("where {}", predicate::predicate(&one.expr)),
        RowsShown::Whose(Match { tag, values }) => {
            let values = match values {
                Named::Id => "id".to_owned(),
                Named::Groups => "groups".to_owned(),
                Named::Purpose => "purpose".to_owned(),
                Named::Attribute(attribute) => name(attribute),
            };
            format!("whose {} matches {values}", path(&tag.path.0))
        }
        RowsShown::Window(Window { side, span, by, .. }) => {
            let side = match side {
                WindowSide::Newer => "newer",
                WindowSide::Older => "older",
            };
            format!("{side} than {} {} by {}", span.count, span.unit.word(), event_column(by))
        }
        RowsShown::Share(Share { percent, by, .. }) => match by {
            Some(by) => format!("only {percent} % by {}", event_column(by)),
            None => format!("only {percent} %"),
        },
        RowsShown::Purpose(list) => format!("only for purpose {}", purposes(list)),
        RowsShown::Through(Through { hops, shown: inner, .. }) => {
            let hops: Vec<String> = hops.iter().map(hop).collect();
            format!("through {} {}", hops.join(" then "), shown_inside(inner))
        }
    }
}

/// What stands behind `through`, which is never `through` again.
fn shown_inside(inner: &RowsShown) -> String {
    match inner {
        RowsShown::Through(_) => "none".to_owned(),
        other => shown(other),
    }
}

fn hop(hop: &Hop) -> String {
    let from = format!("{}.{}", identifier(&hop.table), identifier(&hop.column));
    match &hop.to {
        None => from,
        Some(to) => format!("{from} to {}.{}", relation(&to.relation), identifier(&to.column)),
    }
}

fn event_column(by: &EventColumn) -> String {
    match by {
        EventColumn::Column(column) => identifier(column),
        EventColumn::Tagged(tag) => format!("@tagged({})", path(&tag.0)),
    }
}

fn purposes(list: &[PurposeName]) -> String {
    list.iter().map(|p| path(p.as_str())).collect::<Vec<_>>().join(" or ")
}

fn scope(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Everyone => None,
        Scope::Except(these) => Some(format!("for everyone except {}", who(these))),
        Scope::Only(these) => Some(match these.any.as_slice() {
            [Party { kind: PartyKind::Everyone, condition: Some(_) }] => {
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
        [Party { kind: PartyKind::Everyone, condition: Some(condition) }] => {
            // `is` reads better where a verb is missing.
            let first = condition.tests().next().map(|t| &t.question);
            let is = match (condition, first) {
                (Condition::Test(_), Some(Question::Attribute { .. })) => "",
                (Condition::Test(_) | Condition::Not(_) | Condition::All(_) | Condition::Any(_), _) => "is ",
            };
            format!("{is}{}", conditions(condition, "has"))
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
    match &party.condition {
        None => kind.to_owned(),
        Some(condition) => format!("{kind} {}", conditions(condition, "with")),
    }
}

/// A condition; recursion is bounded by the depth the parser keeps.
fn conditions(condition: &Condition, with: &str) -> String {
    let inner = |one: &Condition| match one {
        Condition::All(_) | Condition::Any(_) => format!("({})", conditions(one, with)),
        Condition::Not(_) | Condition::Test(_) => conditions(one, with),
    };
    let all = |terms: &[Condition], word: &str| terms.iter().map(inner).collect::<Vec<_>>().join(word);
    match condition {
        Condition::All(terms) => all(terms, " and "),
        Condition::Any(terms) => all(terms, " or "),
        Condition::Not(one) => format!("not {}", inner(one)),
        Condition::Test(one) => test(one, with),
    }
}

fn test(test: &Test, with: &str) -> String {
    let names = |list: &[String]| list.iter().map(|n| name(n)).collect::<Vec<_>>().join(" or ");
    match &test.question {
        Question::Group(groups) => format!("in group {}", names(groups)),
        Question::Id(ids) => format!("named {}", names(ids)),
        Question::Purpose(list) => format!("under purpose {}", purposes(list)),
        Question::Attribute { name: key, values } => match values.as_slice() {
            [one] => format!("{with} {} = {}", name(key), string(one)),
            many => {
                let many: Vec<String> = many.iter().map(|v| string(v)).collect();
                format!("{with} {} in ({})", name(key), many.join(", "))
            }
        },
    }
}

fn tags(tags: &[Tag]) -> String {
    let tags: Vec<String> = tags.iter().map(|t| path(&t.path.0)).collect();
    format!("tagged {}", tags.join(", "))
}

fn patterns(patterns: &[String]) -> String {
    let patterns: Vec<String> = patterns.iter().map(|p| string(p)).collect();
    format!("like {}", patterns.join(", "))
}

fn regexes(list: &[NamePattern]) -> String {
    let list: Vec<String> = list.iter().map(|p| string(p.as_str())).collect();
    format!("matching {}", list.join(", "))
}

pub(crate) fn tables(tables: &Tables) -> String {
    let any: Vec<String> = tables.any.iter().map(table_match).collect();
    format!("tables {}", any.join(" or "))
}

/// One match; recursion is bounded by the depth the parser keeps.
fn table_match(one: &TableMatch) -> String {
    let inner = |list: &[TableMatch]| list.iter().map(table_match).collect::<Vec<_>>();
    match one {
        TableMatch::Tagged(list) => tags(list),
        TableMatch::Named(list) => {
            let names: Vec<String> = list.iter().map(|t| relation(&t.relation)).collect();
            format!("named {}", names.join(", "))
        }
        TableMatch::Like(list) => patterns(list),
        TableMatch::Matching(list) => regexes(list),
        TableMatch::WithColumns(columns) => format!("with columns {}", column_match(columns)),
        TableMatch::AllOf(list) => format!("with all of ({})", inner(list).join(" and ")),
        TableMatch::AnyOf(list) => format!("with any of ({})", inner(list).join(" or ")),
    }
}

pub(crate) fn columns(columns: &Columns) -> String {
    let any: Vec<String> = columns.any.iter().map(column_match).collect();
    let of = match &columns.of {
        Some(of) => format!(" of {}", tables(of)),
        None => String::new(),
    };
    format!("columns {}{of}", any.join(" or "))
}

pub(crate) fn column_match(one: &ColumnMatch) -> String {
    match one {
        ColumnMatch::Tagged(list) => tags(list),
        ColumnMatch::Like(list) => patterns(list),
        ColumnMatch::Matching(list) => regexes(list),
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
        Mask::Reversible { key } => format!("reversible({})", name(key)),
        Mask::Fpe { alphabet } => format!("fpe({})", string(alphabet)),
        Mask::Randomized { keep } => format!("randomized({keep})"),
        Mask::KAnonymous { columns, k } => {
            let columns: Vec<String> = columns.iter().map(|c| identifier(c)).collect();
            format!("k_anonymous({}, {k})", columns.join(", "))
        }
        Mask::Token => "token".to_owned(),
        Mask::Redact { entities } => {
            let words: Vec<&str> = entities.iter().map(|e| e.word()).collect();
            format!("redact({})", words.join(", "))
        }
        Mask::Custom { value } => format!("custom({})", predicate::predicate(&value.expr)),
    }
}
