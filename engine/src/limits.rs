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
