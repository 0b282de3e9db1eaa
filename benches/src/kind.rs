//! What is compared, and with what.

/// One way to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// pgbench to PostgreSQL over TCP.
    Direct,
    /// A bare byte forwarder in between.
    Forwarder,
    /// PgBouncer in between.
    PgBouncer,
    /// Lanyard in between, the table granted as it is.
    LanyardOpen,
    /// The enforced statement (the secured view) sent directly.
    DirectGoverned,
    /// The same through the forwarder.
    ForwarderGoverned,
    /// The same through PgBouncer.
    PgBouncerGoverned,
    /// Lanyard in between, the table masked and filtered.
    LanyardGoverned,
}

impl Kind {
    /// Neighbours in a round are compared, so each stands close to its baseline.
    pub(crate) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Forwarder,
        Self::PgBouncer,
        Self::LanyardOpen,
        Self::DirectGoverned,
        Self::ForwarderGoverned,
        Self::PgBouncerGoverned,
        Self::LanyardGoverned,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Forwarder => "forwarder",
            Self::PgBouncer => "pgbouncer",
            Self::LanyardOpen => "lanyard-open",
            Self::DirectGoverned => "direct-governed",
            Self::ForwarderGoverned => "forwarder-governed",
            Self::PgBouncerGoverned => "pgbouncer-governed",
            Self::LanyardGoverned => "lanyard-governed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What it is measured against; a baseline is its own.
    pub(crate) fn baseline(self) -> Self {
        match self {
            Self::Direct | Self::Forwarder | Self::PgBouncer | Self::LanyardOpen => Self::Direct,
            Self::DirectGoverned
            | Self::ForwarderGoverned
            | Self::PgBouncerGoverned
            | Self::LanyardGoverned => Self::DirectGoverned,
        }
    }
}
