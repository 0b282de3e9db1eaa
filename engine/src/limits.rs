//! Every bound in one place, unit last in its name.

/// Longest user or agent id, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Largest short id: seven digits twice and a UUID fit PostgreSQL's 63-byte names.
pub const SHORT_ID_MAX: u32 = 9_999_999;

/// Longest statement text we judge, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Deepest tree we judge, in nodes from the root.
pub const TREE_DEPTH_MAX: usize = 400;
/// Most nodes in one message's tree.
pub const TREE_NODES_MAX: usize = 200_000;
/// Most statements in one simple Query.
pub const STATEMENTS_MAX: usize = 1_000;
/// Deepest comment nesting; PostgreSQL's own scanner takes seconds at 10,000.
pub const COMMENT_DEPTH_MAX: usize = 32;
/// Longest run of operator characters; PostgreSQL's own scanner takes seconds over 100 kB.
pub const OPERATOR_RUN_BYTES_MAX: usize = 256;

/// Largest policy file, in bytes.
pub const POLICY_FILE_BYTES_MAX: usize = 1 << 20;
/// Deepest parentheses in a policy.
pub const POLICY_DEPTH_MAX: usize = 64;
/// Longest name, tag, attribute or quoted word in a policy, in bytes.
pub const POLICY_NAME_BYTES_MAX: usize = 256;
/// Most tokens in one predicate.
pub const POLICY_PREDICATE_TOKENS_MAX: usize = 8_192;
/// Most tokens in one predicate that are not literals or commas: these make a tree deep, a long IN list does not.
pub const POLICY_PREDICATE_WORDS_MAX: usize = 768;
/// Most findings reported at once.
pub const POLICY_DIAGNOSTICS_MAX: usize = 200;
/// Longest pattern of a `regex` mask, in bytes.
pub const MASK_PATTERN_BYTES_MAX: usize = 1_000;
/// Most characters a `partial` mask keeps at one end.
pub const MASK_ENDS_CHARS_MAX: u32 = 1_000;
