//! Secrets on their way in: from standard input, or made here and shown once.

use std::io::{IsTerminal, Read};

use super::CliError;

/// Longest input, in bytes.
const INPUT_BYTES_MAX: u64 = 4096;
/// Shortest password a person may choose, in characters.
const PASSWORD_CHARACTERS_MIN: usize = 12;

/// Standard input, or a test's stand-in for it.
pub(super) trait Input: Read {
    /// Is it a terminal, which would show what is typed?
    fn is_terminal(&self) -> bool;
}

impl Input for std::io::Stdin {
    fn is_terminal(&self) -> bool {
        IsTerminal::is_terminal(self)
    }
}

impl Input for &[u8] {
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Reads one line.
pub(super) fn read(input: &mut dyn Input) -> Result<String, CliError> {
    if input.is_terminal() {
        return Err(CliError::usage("a secret typed here would be seen")
            .hint("pipe it in, or let Lanyard make one with --generate"));
    }
    let mut text = String::new();
    input
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| CliError::because("cannot read the secret from standard input", source))?;
    let secret =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.chars().count() < PASSWORD_CHARACTERS_MIN {
        let message = format!("a secret has at least {PASSWORD_CHARACTERS_MIN} characters");
        return Err(CliError::failed(message).hint("pipe in a longer one, or use --generate"));
    }
    Ok(secret.to_owned())
}
