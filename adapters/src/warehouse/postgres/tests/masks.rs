//! Masks on a real PostgreSQL. What they should answer is worked out here, by code that shares nothing with the SQL.

mod ciphers;

use super::*;
