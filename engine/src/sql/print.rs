//! Printed trees as tokens, made while a tree is printed.
//!
//! The printed form is the tree's `Debug`, which is generated for every node and every field of the grammar. Reading it piece by
//! piece as it is written spares the text, and a second look at most of its bytes. How the pieces are cut must not matter: the
//! tokens are those of the pieces put together. Called by `verify`.

use std::fmt::{self, Write};
use std::ops::Range;

use crate::limits;

/// No position.
const NOWHERE: u32 = u32::MAX;

/// A piece of a printed tree, in bytes. Strings stay in their escaped form, quotes included; commas and colons say nothing
/// that the fields' names and order do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a [u8]),
    Text(&'a [u8]),
    Mark(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Text,
    Mark,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    kind: Kind,
    start: u32,
    end: u32,
    /// Of a brace: byte position in the text of the struct it opens; [`NOWHERE`] for other tokens.
    place: u32,
}

/// What the last byte was part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Word,
    Text,
    /// Behind a backslash in a string.
    Escaped,
}

/// What a number stands behind that says where in the text something is; such fields are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    Location,
    OtherPlace,
}

/// The tokens of a printed tree.
#[derive(Debug)]
pub(super) struct Printed {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Braces that are open.
    open: Vec<usize>,
    state: State,
    /// Where the token at hand starts in `bytes`.
    start: usize,
    behind: Behind,
}

impl Printed {
    /// Reads what is printed.
    ///
    /// # Errors
    /// There are more than [`limits::TREE_TOKENS_MAX`].
    pub(super) fn of(tree: fmt::Arguments<'_>) -> Result<Self, fmt::Error> {
        let mut printed = Self {
            bytes: Vec::with_capacity(1 << 10),
            items: Vec::with_capacity(1 << 8),
            open: Vec::with_capacity(1 << 4),
            state: State::Between,
            start: 0,
            behind: Behind::Nothing,
        };
        printed.write_fmt(tree)?;
        printed.end();
        Ok(printed)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn token(&self, index: usize) -> Option<Token<'_>> {
        let item = self.items.get(index)?;
        let bytes = self.bytes.get(item.start as usize..item.end as usize)?;
        Some(match item.kind {
            Kind::Word => Token::Word(bytes),
            Kind::Text => Token::Text(bytes),
            Kind::Mark => Token::Mark(*bytes.first()?),
        })
    }

    /// Where in the text the struct stands that the brace at this index opens.
    pub(super) fn place(&self, index: usize) -> Option<usize> {
        self.items.get(index).filter(|item| item.place != NOWHERE).map(|item| item.place as usize)
    }

    /// Are the tokens in this range those of `other` from `at` on?
    pub(super) fn same(&self, range: Range<usize>, other: &Self, at: usize) -> bool {
        range.end <= self.items.len()
            && range.end >= range.start
            && range.enumerate().all(|(n, index)| self.token(index) == other.token(at + n))
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let at = |byte: usize| u32::try_from(byte).unwrap_or(NOWHERE);
        let (start, end) = (at(start), at(self.bytes.len()));
        self.items.push(Item { kind, start, end, place: NOWHERE });
    }

    /// The word at hand is whole.
    fn end_word(&mut self) {
        self.state = State::Between;
        let word = self.bytes.get(self.start..).unwrap_or_default();
        if self.behind != Behind::Nothing {
            let place = std::str::from_utf8(word).ok().and_then(|number| number.parse().ok());
            let brace = self.open.last().and_then(|open| self.items.get_mut(*open));
            if let (Behind::Location, Some(brace), Some(place)) = (self.behind, brace, place) {
                brace.place = place;
            }
            self.behind = Behind::Nothing;
            self.bytes.truncate(self.start);
            return;
        }
        self.behind = place_field(word);
        if self.behind == Behind::Nothing {
            self.push(Kind::Word, self.start);
        } else {
            self.bytes.truncate(self.start);
        }
    }

    fn end(&mut self) {
        match self.state {
            State::Between => {}
            State::Word => self.end_word(),
            // A string that does not end: kept, and equal to nothing that does.
            State::Text | State::Escaped => self.push(Kind::Text, self.start),
        }
        self.state = State::Between;
    }

    fn mark(&mut self, byte: u8) {
        self.behind = Behind::Nothing;
        match byte {
            b'{' => self.open.push(self.items.len()),
            b'}' => drop(self.open.pop()),
            _ => {}
        }
        self.bytes.push(byte);
        self.push(Kind::Mark, self.bytes.len() - 1);
    }

    fn byte(&mut self, byte: u8) {
        match self.state {
            State::Text | State::Escaped => {
                self.bytes.push(byte);
                match (self.state, byte) {
                    (State::Text, b'\\') => self.state = State::Escaped,
                    (State::Text, b'"') => {
                        self.push(Kind::Text, self.start);
                        self.state = State::Between;
                    }
                    _ => self.state = State::Text,
                }
                return;
            }
            State::Word if is_word(byte) => return self.bytes.push(byte),
            State::Word => self.end_word(),
            State::Between => {}
        }
        match byte {
            b' ' | b',' | b':' => {}
            b'{' | b'}' | b'[' | b']' | b'(' | b')' => self.mark(byte),
            _ => {
                self.start = self.bytes.len();
                self.bytes.push(byte);
                if byte == b'"' {
                    self.behind = Behind::Nothing;
                    self.state = State::Text;
                } else {
                    self.state = State::Word;
                }
            }
        }
    }
}

impl Write for Printed {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.items.len() > limits::TREE_TOKENS_MAX {
            return Err(fmt::Error);
        }
        let bytes = piece.as_bytes();
        match self.state {
            // The pieces most trees are made of: separators, and words whole.
            State::Between | State::Word if matches!(bytes, b", " | b": ") => {
                if self.state == State::Word {
                    self.end_word();
                }
            }
            State::Between | State::Word if bytes.iter().all(|byte| is_word(*byte)) && !bytes.is_empty() => {
                if self.state == State::Between {
                    self.start = self.bytes.len();
                    self.state = State::Word;
                }
                self.bytes.extend_from_slice(bytes);
            }
            State::Text if !bytes.iter().any(|byte| matches!(byte, b'"' | b'\\')) => {
                self.bytes.extend_from_slice(bytes);
            }
            State::Between | State::Word | State::Text | State::Escaped => {
                bytes.iter().for_each(|byte| self.byte(*byte));
            }
        }
        Ok(())
    }
}

/// Bytes that go on a word; a string or a mark ends one.
const WORD: [bool; 256] = {
    let mut word = [true; 256];
    let ends = b" \"{}[](),:";
    let mut at = 0;
    while at < ends.len() {
        word[ends[at] as usize] = false;
        at += 1;
    }
    word
};

fn is_word(byte: u8) -> bool {
    WORD.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Does this field say where in the text something stands?
fn place_field(word: &[u8]) -> Behind {
    match word.len() {
        8 if word == b"location" => Behind::Location,
        8 if matches!(word, b"stmt_len" | b"list_end") => Behind::OtherPlace,
        10 if word == b"list_start" => Behind::OtherPlace,
        13 if word == b"stmt_location" => Behind::OtherPlace,
        14 if word == b"rexpr_list_end" => Behind::OtherPlace,
        16 if word == b"rexpr_list_start" => Behind::OtherPlace,
        _ => Behind::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(printed: &Printed) -> Vec<(Token<'_>, Option<usize>)> {
        (0..printed.len()).filter_map(|i| Some((printed.token(i)?, printed.place(i)))).collect()
    }

    fn read(text: &str) -> Printed {
        Printed::of(format_args!("{text}")).expect("a text prints")
    }

    #[test]
    fn words_strings_marks_and_places() {
        let printed =
            read(r#"A { b: Some("x\" {\\"), location: 14, c: [-1, D { location: 7, .. }], location: -1 }"#);
        let expected = [
            Token::Word(b"A"),
            Token::Mark(b'{'),
            Token::Word(b"b"),
            Token::Word(b"Some"),
            Token::Mark(b'('),
            Token::Text(br#""x\" {\\""#),
            Token::Mark(b')'),
            Token::Word(b"c"),
            Token::Mark(b'['),
            Token::Word(b"-1"),
            Token::Word(b"D"),
            Token::Mark(b'{'),
            Token::Word(b".."),
            Token::Mark(b'}'),
            Token::Mark(b']'),
            Token::Mark(b'}'),
        ];
        assert_eq!(tokens(&printed).into_iter().map(|(token, _)| token).collect::<Vec<_>>(), expected);
        assert_eq!((printed.place(1), printed.place(11)), (Some(14), Some(7)));
    }

    #[test]
    fn a_string_that_does_not_end_is_not_one_that_does() {
        assert!(!read("\"a").same(0..1, &read("\"a\""), 0));
        assert!(read("\"a").same(0..1, &read("\"a"), 0));
    }

    proptest! {
        /// However the text is cut, by whoever prints it.
        #[test]
        fn pieces_do_not_matter(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "location", ": ", "14", ", ", " { ", " }", "{", "}", "[", "]", "(", ")", "\"", "\\", "\\\"", "a", "stmt_len", ":", "-",
                    ", .. }", " { .. }", "rexpr_list_start", "\u{e9}",
                ]),
                0..40,
            ),
            cuts in prop::collection::vec(any::<bool>(), 200),
        ) {
            let whole: String = words.concat();
            let by_words = Printed::of(format_args!("{}", Pieces(&words))).expect("prints");
            let mut letters: Vec<String> = Vec::new();
            for (letter, cut) in whole.chars().zip(cuts.iter().cycle()) {
                match letters.last_mut() {
                    Some(last) if !cut => last.push(letter),
                    _ => letters.push(letter.to_string()),
                }
            }
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            let by_cuts = Printed::of(format_args!("{}", Pieces(&letters))).expect("prints");
            let by_bytes = {
                let single: Vec<String> = whole.chars().map(|letter| letter.to_string()).collect();
                let single: Vec<&str> = single.iter().map(String::as_str).collect();
                Printed::of(format_args!("{}", Pieces(&single))).expect("prints")
            };
            prop_assert_eq!(tokens(&by_words), tokens(&by_bytes));
            prop_assert_eq!(tokens(&by_cuts), tokens(&by_bytes));
            let at_once = read(&whole);
            prop_assert_eq!(tokens(&at_once), tokens(&by_bytes));
        }
    }

    /// Prints its pieces one by one.
    struct Pieces<'a>(&'a [&'a str]);

    impl fmt::Display for Pieces<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|piece| f.write_str(piece))
        }
    }
}
