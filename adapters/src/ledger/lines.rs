//! Reading a file line by line, with a bound.
//!
//! Must never load a file whole and never stop at a bad line: what cannot be read is counted and passed over.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::LINE_BYTES_MAX;

/// What one step brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line, without its newline.
    Whole(&'a [u8]),
    /// The last line of the file has no newline: a crash, or a write going on.
    Torn(&'a [u8]),
    /// Longer than any line we write; passed over.
    TooLong,
}

/// Lines of one file.
pub(super) struct Lines {
    reader: BufReader<File>,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(1 << 16, File::open(path)?), buffer: Vec::new() })
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            return Ok(Some(Line::Whole(&self.buffer)));
        }
        if self.buffer.len() <= LINE_BYTES_MAX {
            return Ok(Some(Line::Torn(&self.buffer)));
        }
        self.skip_rest()?;
        Ok(Some(Line::TooLong))
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let (used, done) = match chunk.iter().position(|&b| b == b'\n') {
                Some(at) => (at + 1, true),
                None => (chunk.len(), false),
            };
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }
}
