//! Every bound in one place, unit last in its name.

/// Longest user or agent id, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Largest short id: seven digits twice and a UUID fit PostgreSQL's 63-byte names.
pub const SHORT_ID_MAX: u32 = 9_999_999;
/// Longest name PostgreSQL keeps, in bytes: NAMEDATALEN - 1.
pub const NAME_BYTES_MAX: usize = 63;

/// Longest statement text we judge, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Deepest tree we judge, in nodes from the root.
pub const TREE_DEPTH_MAX: usize = 400;
/// Most nodes in one message's tree.
pub const TREE_NODES_MAX: usize = 200_000;
/// Most relations in one message.
pub const OBJECTS_MAX: usize = 5_000;
/// Most rounds in which names of output columns are followed through a statement.
pub const NAME_ROUNDS_MAX: usize = 32;
/// Most prepared statements of one session, and most portals.
pub const PREPARED_MAX: usize = 10_000;
/// Longest text of all prepared statements of one session together, in bytes.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;
/// Most notices of how policy shapes results that one session remembers to have seen.
pub const NOTICES_MAX: usize = 1_000;
/// Most CTEs in one message.
pub const CTES_MAX: usize = 1_000;
/// Most statements in one simple Query.
pub const STATEMENTS_MAX: usize = 1_000;
/// Deepest comment nesting; PostgreSQL's own scanner takes seconds at 10,000.
pub const COMMENT_DEPTH_MAX: usize = 32;
/// Most comments with nothing between them: libpg_query's scanner calls itself for each.
pub const COMMENTS_RUN_MAX: usize = 10_000;
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
/// Longest regular expression over names, in bytes.
pub const POLICY_REGEX_BYTES_MAX: usize = 500;
/// Largest program a regular expression over names may become, in bytes.
pub const POLICY_REGEX_PROGRAM_BYTES_MAX: usize = 64 << 10;
/// Most regular expressions over names in one policy file.
pub const POLICY_REGEXES_MAX: usize = 1_000;
/// Deepest nesting of a regular expression over names.
pub const POLICY_REGEX_DEPTH_MAX: u32 = 32;
/// Most foreign keys a row policy goes through.
pub const POLICY_HOPS_MAX: usize = 3;
/// Most units in a time window.
pub const POLICY_SPAN_MAX: u32 = 10_000;
/// Longest statement of a purpose, in bytes.
pub const POLICY_STATEMENT_BYTES_MAX: usize = 4_000;
/// Most characters in the alphabet of an `fpe` mask.
pub const MASK_ALPHABET_CHARS_MAX: usize = 256;
/// Most columns in a `k_anonymous` mask.
pub const MASK_QUASI_COLUMNS_MAX: usize = 16;
/// Largest `k` of a `k_anonymous` mask.
pub const MASK_K_MAX: u32 = 1_000_000;
/// Most rulings on tables that are made ahead of the logins that need them.
pub const WARM_RULINGS_MAX: usize = 20_000;
/// Most policies looked at to tell kinds of users apart, ahead of their logins.
pub const WARM_POLICIES_MAX: usize = 5_000_000;
/// Most kinds of principals that `lanyard diff` compares.
pub const DIFF_PRINCIPALS_MAX: usize = 200_000;
