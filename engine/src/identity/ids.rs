//! Names of principals, roles and sessions, each with one fallible door.
//!
//! Must never be built from unchecked text. Used by everything that speaks of a principal.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Empty, or longer than [`limits::ID_BYTES_MAX`] bytes.
    #[error("an id has 1 to {max} bytes, this one has {0}", max = limits::ID_BYTES_MAX)]
    Length(usize),
    /// A character outside the allowed set.
    #[error("character {0:?} cannot be in an id (letters, digits, '.', '_', '-', '@')")]
    Character(char),
    /// Ids with this prefix name vended roles.
    #[error("ids starting with LANYARD_VENDED_ are reserved for vended roles")]
    Reserved,
    /// A short id outside `1..=limits::SHORT_ID_MAX`.
    #[error("a short id is 1 to {max}, this one is {0}", max = limits::SHORT_ID_MAX)]
    Short(u32),
    /// Not a vended role's name.
    #[error("not the name of a vended role")]
    Role,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > limits::ID_BYTES_MAX {
        return Err(IdError::Length(text.len()));
    }
    if let Some(bad) =
        text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@')))
    {
        return Err(IdError::Character(bad));
    }
    if text.get(..RoleName::PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(RoleName::PREFIX)) {
        return Err(IdError::Reserved);
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes a text: 1 to [`limits::ID_BYTES_MAX`] bytes of letters, digits, `.`, `_`, `-`, `@`.
            ///
            /// # Errors
            /// [`IdError`] names what is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }
    };
}

id!(
    /// A person.
    UserId
);
id!(
    /// A program that acts, with an owner.
    AgentId
);

/// The numeric id given at registration; it appears in role names. 0 stands for "none" there and is not a `ShortId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ShortId(u32);

impl ShortId {
    /// Checks that the number fits a role name.
    ///
    /// # Errors
    /// [`IdError::Short`] for 0 and for more than [`limits::SHORT_ID_MAX`].
    pub fn new(number: u32) -> Result<Self, IdError> {
        if (1..=limits::SHORT_ID_MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(IdError::Short(number))
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ShortId {
    type Error = IdError;
    fn try_from(number: u32) -> Result<Self, IdError> {
        Self::new(number)
    }
}

impl From<ShortId> for u32 {
    fn from(id: ShortId) -> Self {
        id.0
    }
}

/// The name of an ephemeral role: `LANYARD_VENDED_<agent>_<user>_<uuid>`, numeric ids (0 = none), uuid without hyphens.
///
/// At most 63 bytes, because PostgreSQL silently cuts longer names (NAMEDATALEN).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleName(Box<str>);

impl RoleName {
    /// What every vended role's name starts with.
    pub const PREFIX: &'static str = "LANYARD_VENDED_";

    /// The role of one lease.
    #[must_use]
    pub fn of(agent: Option<ShortId>, user: Option<ShortId>, session: SessionId) -> Self {
        let number = |id: Option<ShortId>| id.map_or(0, ShortId::get);
        Self(format!("{}{}_{}_{}", Self::PREFIX, number(agent), number(user), session).into())
    }

    /// Reads a role name as a database log shows it.
    ///
    /// # Errors
    /// [`IdError::Role`] when the text is not of the form above.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let rest = text.strip_prefix(Self::PREFIX).ok_or(IdError::Role)?;
        let parts: Vec<&str> = rest.split('_').collect();
        let number =
            |s: &str| s.parse::<u32>().is_ok_and(|n| n <= limits::SHORT_ID_MAX && n.to_string() == s);
        match parts.as_slice() {
            [agent, user, uuid] if number(agent) && number(user) && SessionId::parse(uuid).is_ok() => {
                Ok(Self(text.into()))
            }
            _ => Err(IdError::Role),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One session: a UUID (RFC 9562), printed as 32 hexadecimal digits without hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// Takes the 128 bits of a UUID; the caller makes it.
    #[must_use]
    pub fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`IdError::Role`] for anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(hex) {
            return Err(IdError::Role);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| IdError::Role)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_could_break_a_login_or_a_stamp() {
        for bad in ["", "a~b", "a b", "a'b", "a*/b", "ä", "LANYARD_VENDED_1", "lanyard_vended_x", "a\0"] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
            assert!(AgentId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(UserId::parse(&"x".repeat(limits::ID_BYTES_MAX + 1)).is_err());
        for good in ["taylor", "marketing-agent", "t.swift@example.com", "a_1"] {
            assert_eq!(UserId::parse(good).map(|id| id.to_string()), Ok(good.into()));
        }
    }

    #[test]
    fn the_longest_role_name_fits_namedatalen() -> Result<(), IdError> {
        let most = ShortId::new(limits::SHORT_ID_MAX)?;
        let role = RoleName::of(Some(most), Some(most), SessionId::from_u128(u128::MAX));
        assert_eq!(role.as_str().len(), 63);
        assert_eq!(RoleName::parse(role.as_str())?, role);
        assert!(ShortId::new(0).is_err());
        assert!(ShortId::new(limits::SHORT_ID_MAX + 1).is_err());
        Ok(())
    }

    #[test]
    fn role_names_are_read_strictly() {
        for bad in [
            "LANYARD_VENDED_1_2_",
            "LANYARD_VENDED_01_2_00000000000000000000000000000000",
            "LANYARD_VENDED_1_2_0000000000000000000000000000000G",
            "lanyard_vended_1_2_00000000000000000000000000000000",
            "LANYARD_VENDED_1_2_00000000000000000000000000000000_x",
        ] {
            assert!(RoleName::parse(bad).is_err(), "{bad}");
        }
    }
}
