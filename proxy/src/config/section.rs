//! Reading TOML tables key by key, collecting every error with its place.
//!
//! Must never let a key pass that nobody asked for: `finish` names the nearest known one. Called by `read`.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Located};

/// The file being read, and what was found wrong so far.
pub(super) struct Document<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
    pub(super) errors: RefCell<Vec<ConfigError>>,
}

impl Document<'_> {
    /// Line and column of a byte offset, from 1.
    pub(super) fn place(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(line), number(column))
    }

    pub(super) fn error(&self, offset: usize, message: impl Into<String>, hint: &str) {
        self.error_at(self.place(offset), message, hint);
    }

    pub(super) fn error_at(&self, place: (u32, u32), message: impl Into<String>, hint: &str) {
        let mut error = ConfigError::new(self.file, place, message);
        if !hint.is_empty() {
            error = error.hint(hint);
        }
        self.errors.borrow_mut().push(error);
    }

    /// Relative paths start at the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// One table of the file.
pub(super) struct Section<'d, 't> {
    pub(super) document: &'d Document<'d>,
    /// `listen`, `databases.shop`; empty at the top.
    name: String,
    /// Where the table begins, as a byte offset.
    pub(super) offset: usize,
    /// `None` when the file leaves the table out: every key then has its default.
    table: Option<&'t DeTable<'t>>,
    asked: Vec<&'static str>,
}

impl<'d, 't> Section<'d, 't> {
    pub(super) fn top(document: &'d Document<'d>, table: &'t DeTable<'t>) -> Self {
        Self { document, name: String::new(), offset: 0, table: Some(table), asked: Vec::new() }
    }

    /// The key as the operator thinks of it, `listen.tls`.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        let (_, value) = self.table?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(value)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str) {
        let found = value.get_ref().type_str();
        let message = format!("\"{}\" must be {want}, found {found}", self.path(key));
        self.document.error(value.span().start, message, "");
    }

    fn locate<T>(&self, span: &Range<usize>, value: T) -> Located<T> {
        let (line, column) = self.document.place(span.start);
        Located { value, line, column }
    }

    /// A default, located at its section.
    pub(super) fn default<T>(&self, value: T) -> Located<T> {
        self.locate(&(self.offset..self.offset), value)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        if text.is_empty() || text.contains('\0') {
            let message = format!("\"{}\" is empty or holds a NUL", self.path(key));
            self.document.error(value.span().start, message, "");
            return None;
        }
        Some(self.locate(&value.span(), text.to_owned()))
    }

    pub(super) fn required_text(&mut self, key: &'static str, hint: &str) -> Option<Located<String>> {
        if self.has(key) {
            return self.text(key);
        }
        self.asked.push(key);
        let message = format!("\"{}\" is missing", self.path(key));
        self.document.error(self.offset, message, hint);
        None
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.iter().any(|(name, _)| name.get_ref() == key))
    }

    pub(super) fn file(&mut self, key: &'static str) -> Option<Located<PathBuf>> {
        let text = self.text(key)?;
        Some(Located { value: self.document.resolve(&text.value), line: text.line, column: text.column })
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(value) = self.value(key) else {
            return default;
        };
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return default;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        match u64::try_from(number).ok().filter(|n| range.contains(n)) {
            Some(number) => number,
            None => {
                let (low, high) = (range.start(), range.end());
                let path = self.path(key);
                let message = format!("\"{path}\" must be {low} to {high}, found {integer}");
                self.document.error(value.span().start, message, "");
                default
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<Located<T>> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Located { value: *value, line: text.line, column: text.column });
        }
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let path = self.path(key);
        let message = format!("\"{path}\" must be {}, found \"{}\"", known.join(" or "), text.value);
        let hint = nearest(&text.value, words.iter().map(|(word, _)| *word));
        let hint = hint.map_or(String::new(), |word| format!("did you mean \"{word}\"?"));
        self.document.error_at((text.line, text.column), message, &hint);
        None
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of strings");
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) if !text.is_empty() => texts.push(self.locate(&item.span(), text.to_owned())),
                Some(_) | None => self.wrong_type(key, item, "a list of strings that are not empty"),
            }
        }
        Some(self.locate(&value.span(), texts))
    }

    /// A table below this one; an empty one when it is left out.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'d, 't> {
        let value = self.value(key);
        let table = value.and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.wrong_type(key, value, "a table");
            }
            table
        });
        Section {
            document: self.document,
            name: self.path(key),
            offset: value.map_or(self.offset, |value| value.span().start),
            table,
            asked: Vec::new(),
        }
    }

    /// Every table of a table of tables, by name.
    pub(super) fn members(&self) -> Vec<(String, Section<'d, 't>)> {
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        entries
            .filter_map(|(name, value)| {
                let Some(table) = value.get_ref().as_table() else {
                    self.wrong_type(name.get_ref(), value, "a table");
                    return None;
                };
                let section = Section {
                    document: self.document,
                    name: self.path(name.get_ref()),
                    offset: name.span().start,
                    table: Some(table),
                    asked: Vec::new(),
                };
                Some((name.get_ref().to_string(), section))
            })
            .collect()
    }

    /// Refuses every key that nobody asked for.
    pub(super) fn finish(self) {
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        for (name, _) in entries {
            let key: &str = name.get_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let hint = match nearest(key, self.asked.iter().copied()) {
                Some(known) => format!("did you mean \"{}\"?", self.path(known)),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            let message = format!("unknown key \"{}\"", self.path(key));
            self.document.error(name.span().start, message, &hint);
        }
    }
}

/// The known word that is closest, when it is close at all.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(word.len()) / 2)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's edit distance over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
