//! Room for open files: the limit that a process starts with (often 1,024) is below what `clients_max` needs.
//!
//! Called once, before anything listens.

use crate::config::Config;

/// A session's client and its backend, and a connection that has not proven itself yet, for each client there may be.
const FILES_PER_CLIENT: u64 = 3;
/// For everything else: the listeners, the records, the governor's own connections.
const FILES_BESIDE: u64 = 256;

/// Raises the soft limit as far as `clients_max` needs and the hard limit lets it; warns where that is not enough
/// (getrlimit(2), `RLIMIT_NOFILE`).
pub fn make_room(config: &Config) {
    let clients = config.listen.clients_max;
    let wanted = u64::try_from(clients).unwrap_or(u64::MAX).saturating_mul(FILES_PER_CLIENT) + FILES_BESIDE;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(now) if now >= wanted => {}
        Ok(now) => tracing::warn!(
            "{now} open files are allowed, and {clients} clients may need {wanted}: raise the limit (ulimit -Hn, LimitNOFILE=) or \
             lower clients_max in [listen]"
        ),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
