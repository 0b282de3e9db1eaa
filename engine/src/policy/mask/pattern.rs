//! Patterns of `regex` masks that PostgreSQL's engine runs in bounded time.
//!
//! Must never pass a back-reference or a quantifier over a quantifier: both can take exponential time on a value somebody chose.
//! Called by `mask`.

use crate::limits;

/// Largest number in `{m,n}`; PostgreSQL's own limit is 255.
const BOUND_MAX: u32 = 255;
/// Most look-ahead and look-behind constraints: each is a machine of its own.
const CONSTRAINTS_MAX: usize = 8;

/// Is the pattern small, without back-references and without nested quantifiers?
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(pattern: &str, flags: &str) -> Result<(), String> {
    if pattern.len() > limits::MASK_PATTERN_BYTES_MAX {
        return Err(format!("a pattern has at most {} bytes", limits::MASK_PATTERN_BYTES_MAX));
    }
    if pattern.starts_with("***") {
        return Err("a pattern does not start with '***'".to_owned());
    }
    if flags.contains(['b', 'e', 'q', 'x']) {
        return Err("flags that change how a pattern is read are not for masks".to_owned());
    }
    let mut scanner = Scanner {
        rest: pattern.chars().peekable(),
        groups: vec![false],
        last: Last::Nothing,
        constraints: 0,
    };
    while scanner.rest.peek().is_some() {
        scanner.step()?;
    }
    if scanner.groups.len() == 1 { Ok(()) } else { Err("a parenthesis is not closed".to_owned()) }
}

/// What a quantifier would stand behind.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Atom,
    /// A group, and whether a quantifier is in it.
    Group(bool),
    Quantifier,
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// For every open parenthesis: has it a quantifier?
    groups: Vec<bool>,
    last: Last,
    constraints: usize,
}

impl Scanner<'_> {
    fn step(&mut self) -> Result<(), String> {
        let Some(c) = self.rest.next() else {
            return Ok(());
        };
        match c {
            '\\' => match self.rest.next() {
                None => return Err("a backslash stands at the end".to_owned()),
                Some('1'..='9') => return Err("a back-reference can take exponential time".to_owned()),
                Some(_) => self.last = Last::Atom,
            },
            '[' => self.bracket()?,
            '(' => self.open()?,
            ')' => {
                let inner = self.groups.pop().unwrap_or(false);
                let Some(outer) = self.groups.last_mut() else {
                    return Err("a parenthesis is closed that was not opened".to_owned());
                };
                *outer |= inner;
                self.last = Last::Group(inner);
            }
            '|' => self.last = Last::Nothing,
            '*' | '+' => self.quantifier()?,
            // Behind a quantifier it only makes that one reluctant.
            '?' if matches!(self.last, Last::Quantifier) => {}
            '?' => self.optional()?,
            '{' => {
                self.bounds()?;
                self.quantifier()?;
            }
            _ => self.last = Last::Atom,
        }
        Ok(())
    }

    /// `?` repeats nothing, so what is inside may be quantified; it counts as a quantifier for what is around it.
    fn optional(&mut self) -> Result<(), String> {
        if matches!(self.last, Last::Nothing) {
            return Err("a quantifier stands behind nothing".to_owned());
        }
        self.last = Last::Quantifier;
        Ok(())
    }

    fn quantifier(&mut self) -> Result<(), String> {
        match self.last {
            Last::Nothing => return Err("a quantifier stands behind nothing".to_owned()),
            Last::Quantifier | Last::Group(true) => {
                return Err("a quantifier over a quantifier can take exponential time".to_owned());
            }
            Last::Atom | Last::Group(false) => {}
        }
        if let Some(group) = self.groups.last_mut() {
            *group = true;
        }
        self.last = Last::Quantifier;
        Ok(())
    }

    fn bounds(&mut self) -> Result<(), String> {
        let wrong = || format!("bounds are {{m}}, {{m,}} or {{m,n}} up to {BOUND_MAX}");
        let mut inner = String::new();
        loop {
            match self.rest.next() {
                Some('}') => break,
                Some(c) if inner.len() < 8 && (c.is_ascii_digit() || c == ',') => inner.push(c),
                Some(_) | None => return Err(wrong()),
            }
        }
        let (low, high) = inner.split_once(',').unwrap_or((inner.as_str(), ""));
        let fits = |n: &str| n.parse::<u32>().is_ok_and(|n| n <= BOUND_MAX);
        if fits(low) && (high.is_empty() || fits(high)) { Ok(()) } else { Err(wrong()) }
    }

    /// `(`, `(?:`, `(?=`, `(?!`, `(?<=`, `(?<!`.
    fn open(&mut self) -> Result<(), String> {
        if self.rest.next_if_eq(&'?').is_some() {
            let behind = self.rest.next_if_eq(&'<').is_some();
            match self.rest.next() {
                Some(':') if !behind => {}
                Some('=' | '!') => self.constraints += 1,
                Some(_) | None => return Err("embedded options are not for masks".to_owned()),
            }
            if self.constraints > CONSTRAINTS_MAX {
                return Err(format!("a pattern looks around at most {CONSTRAINTS_MAX} times"));
            }
        } else if self.rest.peek() == Some(&'*') {
            return Err("embedded options are not for masks".to_owned());
        }
        self.groups.push(false);
        self.last = Last::Nothing;
        Ok(())
    }

    /// `[…]`, a `]` in front being itself, with `[:class:]`, `[.x.]` and `[=x=]` inside.
    fn bracket(&mut self) -> Result<(), String> {
        let open = || "a bracket is not closed".to_owned();
        self.rest.next_if_eq(&'^');
        let mut first = true;
        loop {
            match self.rest.next() {
                None => return Err(open()),
                Some(']') if !first => break,
                Some('\\') => {
                    self.rest.next().ok_or_else(open)?;
                }
                Some('[') => {
                    if let Some(kind) = self.rest.next_if(|c| matches!(c, ':' | '.' | '=')) {
                        let mut last = ' ';
                        loop {
                            let c = self.rest.next().ok_or_else(open)?;
                            if last == kind && c == ']' {
                                break;
                            }
                            last = c;
                        }
                    }
                }
                Some(_) => {}
            }
            first = false;
        }
        self.last = Last::Atom;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn usual_patterns_pass() {
        for pattern in [
            "",
            "[0-9](?=[0-9]{4})",
            "^(.).*(.)$",
            "(?:ab|c)+d*?",
            "[]+*]{2,3}x|y",
            "[[:alpha:]]+\\.[^\\]]+",
            "(?<![0-9])[0-9]{3}-[0-9]{4}",
            "\\(a+\\)+",
            "(a+b)?c",
        ] {
            assert_eq!(check(pattern, "g"), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_can_blow_up_is_refused() {
        let long = "a".repeat(1_001);
        for pattern in [
            "(a)\\1",
            "(a+)+",
            "(a*)*",
            "(a|b+)*",
            "((a+)b)+",
            "(?:(?:x{2,3}))+",
            "(a+)?{2}",
            "a++",
            "a**",
            "a{2}{3}",
            "(a{1,200}){1,200}",
            "a{256}",
            "a{1,1000}",
            "a{,3}",
            "a{x}",
            "*a",
            "(*a)",
            "|+",
            "(?i)a",
            "(?<n>a)",
            "***=a",
            "(a",
            "a)",
            "[a",
            "[[:alpha:",
            "a\\",
            "(?=a)(?=a)(?=a)(?=a)(?=a)(?=a)(?=a)(?=a)(?=a)",
            long.as_str(),
        ] {
            assert!(check(pattern, "g").is_err(), "{pattern}");
        }
        for flags in ["x", "q", "e", "gb"] {
            assert!(check("a", flags).is_err(), "{flags}");
        }
    }
}
