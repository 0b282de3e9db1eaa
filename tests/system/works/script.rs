//! A psql script cut into statements, as far as PostgreSQL's regression files need it: quotes, comments, `\set` variables and
//! data after `COPY … FROM stdin`.
//!
//! It must never lose a statement silently: what it does not understand stays in the text and fails in the server. Called by
//! the regression test.

use std::collections::BTreeMap;
use std::path::Path;

use pg_raw_parse::Node;

use lanyard_tests::Outcome;

/// What a statement is to a test that runs it in two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Reads or writes rows.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// All of it.
    Merge,
    /// Makes a relation, type or function, or changes a relation's columns.
    Shape,
    /// Makes a relation and fills it from a query.
    Fill,
    /// Other work of a database's owner: indexes, triggers, rights, data.
    Owner,
    /// Concerns the session alone: settings, transactions, cursors, prepared statements.
    Session,
    /// Not run: plans, housekeeping, and what drops things.
    Left,
    /// Does not parse.
    Broken,
}

impl Kind {
    /// The statements that are counted.
    pub(crate) const COUNTED: [Self; 5] =
        [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Merge];

    /// Is it counted?
    #[must_use]
    pub(crate) fn is_counted(self) -> bool {
        Self::COUNTED.contains(&self)
    }
}

/// One statement of a script.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Its text, without the semicolon; data of a COPY has become an INSERT.
    pub(crate) text: String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Cuts a script. `folder` is what the script knows as `abs_srcdir`.
///
/// # Errors
/// A file of data that the script names cannot be read.
pub(crate) fn statements(script: &str, folder: &Path) -> Outcome<Vec<Statement>> {
    let mut reader = Reader {
        chars: script.chars().collect(),
        at: 0,
        variables: BTreeMap::from([("abs_srcdir".to_owned(), folder.to_string_lossy().into_owned())]),
        backslashes: false,
    };
    let mut found = Vec::new();
    while let Some(text) = reader.statement() {
        let statement = match copied(&text) {
            Some((target, source)) => {
                let data = match source {
                    Some(path) => std::fs::read_to_string(path)?,
                    None => reader.data(),
                };
                Statement { text: insert(&target, &data), kind: Kind::Owner }
            }
            None => Statement { kind: kind(&text), text },
        };
        found.push(statement);
    }
    Ok(found)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    variables: BTreeMap<String, String>,
    /// Do backslashes escape in plain strings (`standard_conforming_strings = off`)?
    backslashes: bool,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self, out: &mut String, count: usize) {
        for _ in 0..count {
            out.extend(self.chars.get(self.at));
            self.at += 1;
        }
    }

    /// The next statement, until there is none.
    fn statement(&mut self) -> Option<String> {
        let mut out = String::new();
        let mut depth = 0_i32;
        while self.at < self.chars.len() {
            let before = out.chars().next_back().unwrap_or(' ');
            match (self.peek(0), self.peek(1)) {
                (';', _) if depth <= 0 => {
                    self.at += 1;
                    if let Some(text) = self.ended(&mut out) {
                        return Some(text);
                    }
                }
                ('\\', _) => {
                    let line = self.line();
                    let ends = ["\\g", "\\crosstabview"].iter().any(|end| line.starts_with(end));
                    self.command(&line);
                    if let (true, Some(text)) = (ends, self.ended(&mut out)) {
                        return Some(text);
                    }
                }
                ('-', '-') => {
                    self.line();
                    out.push('\n');
                }
                ('/', '*') => self.comment(&mut out),
                ('\'', _) => {
                    let escapes = self.backslashes || (matches!(before, 'e' | 'E') && starts_word(&out));
                    self.quoted(&mut out, '\'', escapes);
                }
                ('"', _) => self.quoted(&mut out, '"', false),
                ('$', _) if !is_word(before) => self.dollars(&mut out),
                (':', next) if before != ':' && (next == '\'' || is_word(next)) => self.variable(&mut out),
                (c, _) => {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    self.take(&mut out, 1);
                }
            }
        }
        self.ended(&mut out)
    }

    /// The text so far as a statement; nothing when it is empty.
    fn ended(&mut self, out: &mut String) -> Option<String> {
        let text = std::mem::take(out).trim().to_owned();
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("set standard_conforming_strings") {
            self.backslashes = lower.ends_with("off");
        }
        (!text.is_empty()).then_some(text)
    }

    /// The rest of the line.
    fn line(&mut self) -> String {
        let rest: String = self.chars.iter().skip(self.at).take_while(|c| **c != '\n').collect();
        self.at += rest.chars().count();
        rest
    }

    fn comment(&mut self, out: &mut String) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                ('\0', _) => return,
                _ => {
                    self.take(out, 1);
                    continue;
                }
            }
            self.take(out, 2);
            if depth == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self, out: &mut String, quote: char, escapes: bool) {
        self.take(out, 1);
        while self.at < self.chars.len() {
            let c = self.peek(0);
            if c == '\\' && escapes {
                self.take(out, 2);
                continue;
            }
            self.take(out, 1);
            if c == quote {
                return;
            }
        }
    }

    fn dollars(&mut self, out: &mut String) {
        let tag: String = self.chars.iter().skip(self.at + 1).take_while(|c| is_word(**c)).collect();
        let tag = format!("${tag}$");
        let length = tag.chars().count();
        let here: String = self.chars.iter().skip(self.at).take(length).collect();
        self.take(out, 1);
        if here != tag {
            return;
        }
        self.take(out, length - 1);
        let begun = out.len();
        while self.at < self.chars.len() {
            self.take(out, 1);
            if out.get(begun..).is_some_and(|body| body.ends_with(&tag)) {
                return;
            }
        }
    }

    /// `:name` and `:'name'` of a variable that is set; anything else stays.
    fn variable(&mut self, out: &mut String) {
        let quoted = self.peek(1) == '\'';
        let from = self.at + 1 + usize::from(quoted);
        let name: String = self.chars.iter().skip(from).take_while(|c| is_word(**c)).collect();
        let Some(value) = self.variables.get(&name) else {
            self.take(out, 1);
            return;
        };
        if quoted {
            out.push_str(&format!("'{}'", value.replace('\'', "''")));
        } else {
            out.push_str(value);
        }
        self.at = from + name.chars().count() + usize::from(quoted);
    }

    /// A backslash command: only `\set` has an effect.
    fn command(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("\\set ") else { return };
        let rest = rest.trim();
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let mut read = Self {
            chars: value.chars().collect(),
            at: 0,
            variables: self.variables.clone(),
            backslashes: false,
        };
        let (mut text, mut piece) = (String::new(), String::new());
        while read.at < read.chars.len() {
            match read.peek(0) {
                '\'' => {
                    read.set_text(&mut text);
                }
                ':' => read.variable(&mut text),
                c if c.is_whitespace() => read.at += 1,
                _ => read.take(&mut piece, 1),
            }
        }
        text.push_str(&piece);
        self.variables.insert(name.to_owned(), text);
    }

    /// One quoted piece of a `\set`: doubled quotes stand for one.
    fn set_text(&mut self, out: &mut String) {
        self.at += 1;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('\'', '\'') => {
                    out.push('\'');
                    self.at += 2;
                }
                ('\'', _) => {
                    self.at += 1;
                    return;
                }
                _ => self.take(out, 1),
            }
        }
    }

    /// Lines after `COPY … FROM stdin;` up to `\.`.
    fn data(&mut self) -> String {
        self.line();
        self.at += 1;
        let mut data = String::new();
        while self.at < self.chars.len() {
            let line = self.line();
            self.at += 1;
            if line == "\\." {
                break;
            }
            data.push_str(&line);
            data.push('\n');
        }
        data
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Is the last letter a word of its own (`E` before a quote)?
fn starts_word(out: &str) -> bool {
    !out.chars().rev().nth(1).is_some_and(is_word)
}

/// Target and file of a `COPY … FROM`; no file for stdin.
fn copied(text: &str) -> Option<(String, Option<String>)> {
    let parsed = pg_raw_parse::parse(text).ok()?.into_inner();
    let statement = parsed.iter().next()?;
    let Node::CopyStmt(copy) = statement.stmt() else { return None };
    if !copy.is_from {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let target = text.get(lower.find("copy")? + 4..lower.rfind(" from ")?)?;
    Some((target.trim().to_owned(), copy.filename().map(str::to_owned)))
}

/// Data in COPY's text format as an INSERT.
fn insert(target: &str, data: &str) -> String {
    let value = |field: &str| match field {
        "\\N" => "NULL".to_owned(),
        field => format!("'{}'", unescaped(field).replace('\'', "''")),
    };
    let row = |line: &str| format!("({})", line.split('\t').map(value).collect::<Vec<_>>().join(","));
    let rows: Vec<String> = data.lines().map(row).collect();
    format!("INSERT INTO {target} VALUES {}", rows.join(",\n"))
}

fn unescaped(field: &str) -> String {
    let mut out = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|c| match c {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c => c,
            })),
            c => out.push(c),
        }
    }
    out
}

fn kind(text: &str) -> Kind {
    let Ok(parsed) = pg_raw_parse::parse(text) else { return Kind::Broken };
    let parsed = parsed.into_inner();
    let Some(statement) = parsed.iter().next() else { return Kind::Left };
    match statement.stmt() {
        Node::SelectStmt(select) if into(select) => Kind::Fill,
        Node::SelectStmt(_) => Kind::Select,
        Node::InsertStmt(_) => Kind::Insert,
        Node::UpdateStmt(_) => Kind::Update,
        Node::DeleteStmt(_) => Kind::Delete,
        Node::MergeStmt(_) => Kind::Merge,
        Node::CreateTableAsStmt(_) => Kind::Fill,
        Node::CreateStmt(_)
        | Node::ViewStmt(_)
        | Node::CreateSeqStmt(_)
        | Node::CreateEnumStmt(_)
        | Node::CreateRangeStmt(_)
        | Node::CompositeTypeStmt(_)
        | Node::CreateDomainStmt(_)
        | Node::AlterDomainStmt(_)
        | Node::DefineStmt(_)
        | Node::CreateFunctionStmt(_)
        | Node::CreateOpClassStmt(_)
        | Node::CreateCastStmt(_)
        | Node::RenameStmt(_) => Kind::Shape,
        Node::AlterTableStmt(_) if changes_columns(text) => Kind::Shape,
        Node::TransactionStmt(_)
        | Node::VariableSetStmt(_)
        | Node::VariableShowStmt(_)
        | Node::DeclareCursorStmt(_)
        | Node::FetchStmt(_)
        | Node::ClosePortalStmt(_)
        | Node::PrepareStmt(_)
        | Node::ExecuteStmt(_)
        | Node::DeallocateStmt(_)
        | Node::DiscardStmt(_)
        | Node::ConstraintsSetStmt(_) => Kind::Session,
        Node::ExplainStmt(_) | Node::VacuumStmt(_) | Node::CheckPointStmt(_) | Node::CopyStmt(_) => {
            Kind::Left
        }
        Node::DropStmt(_) if drops_relations(text) => Kind::Left,
        _ => Kind::Owner,
    }
}

fn into(select: &pg_raw_parse::nodes::SelectStmt) -> bool {
    select.into_clause().is_some() || select.larg().is_some_and(into)
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !is_word(c)).filter(|w| !w.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn changes_columns(text: &str) -> bool {
    let words = words(text);
    let pair = |a: &str, b: &str| words.windows(2).any(|pair| pair == [a, b]);
    let constraint = ["constraint", "primary", "unique", "check", "foreign", "exclude"];
    let adds = words.windows(2).any(|pair| pair[0] == "add" && !constraint.contains(&pair[1].as_str()));
    adds || pair("drop", "column")
        || words.iter().any(|w| w == "type")
        || (words.iter().any(|w| w == "drop")
            && !pair("drop", "constraint")
            && !pair("drop", "default")
            && !pair("drop", "not"))
}

fn drops_relations(text: &str) -> bool {
    let words = words(text);
    let second = words.get(1).map(String::as_str);
    matches!(
        second,
        Some(
            "table"
                | "view"
                | "sequence"
                | "type"
                | "domain"
                | "function"
                | "schema"
                | "materialized"
                | "aggregate"
                | "operator"
                | "cast"
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_where_psql_cuts_them() {
        let script = "-- a; b\nSELECT 'a;''b', \"c;d\" /* e; /* f; */ */;\n\\pset null x\nSELECT E'\\';' \\gset\n\
            CREATE FUNCTION f() RETURNS int AS $x$ select 1; $x$ LANGUAGE sql;\n\\set q 'select ''x'''\n:q;\nSELECT 1::int;\n\
            COPY t (a, b) FROM stdin;\n1\t\\N\nx'y\t\\\\z\n\\.\nVALUES (1);\n\
            CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\nSELECT 2";
        let cut = statements(script, Path::new("/nowhere")).expect("no files");
        let texts: Vec<&str> = cut.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts[0], "SELECT 'a;''b', \"c;d\" /* e; /* f; */ */");
        assert_eq!(texts[1], "SELECT E'\\';'");
        assert!(texts[2].contains("select 1; $x$"));
        assert_eq!(texts[3..5], ["select 'x'", "SELECT 1::int"]);
        assert_eq!(texts[5], "INSERT INTO t (a, b) VALUES ('1',NULL),\n('x''y','\\z')");
        assert_eq!(texts[6], "VALUES (1)");
        assert!(texts[7].ends_with("SELECT 2)"));
        assert_eq!(texts.len(), 9);
        let kinds: Vec<Kind> = cut.iter().map(|s| s.kind).collect();
        assert_eq!(kinds[2], Kind::Shape);
        assert_eq!(kinds[5], Kind::Owner);
    }
}
