//! One ephemeral role, from its creation to its end. It is dropped even when the session is.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use lanyard_adapters::warehouse::postgres::{self, Login, Warehouse, WarehouseError};
use lanyard_engine::identity::RoleName;
use lanyard_engine::workspace::Workspace;
use tokio::sync::mpsc;

/// So many failed ends are reported, and a stop waits no longer.
const END_TRIES: u32 = 5;
/// Longest pause between tries.
const END_PAUSE_MAX: Duration = Duration::from_secs(10);

/// A vended role. Dropping the value ends it, in a task of its own.
#[derive(Debug)]
pub struct Lease {
    warehouse: Warehouse,
    /// Absent once it is known that there is no such role.
    role: Option<RoleName>,
    /// Held until the role is gone, so that a shutdown can wait for it.
    alive: Option<mpsc::Sender<()>>,
}

/// Creates the role in one round trip.
///
/// # Errors
/// What the warehouse said.
pub async fn vend(
    warehouse: &Warehouse,
    role: RoleName,
    bundle: &str,
    attributes: &BTreeMap<String, BTreeSet<String>>,
    workspace: Option<Workspace>,
    expires: SystemTime,
    alive: mpsc::Sender<()>,
) -> Result<(Lease, Login), WarehouseError> {
    // The guard exists before the role does: a login that is cancelled here leaves nothing behind.
    let mut lease = Lease { warehouse: warehouse.clone(), role: Some(role.clone()), alive: Some(alive) };
    let vended = warehouse
        .vend(&postgres::Lease {
            role,
            bundle: bundle.to_owned(),
            expires,
            connections: 1,
            attributes: attributes.clone(),
            workspace,
        })
        .await;
    if let Err(error) = &vended
        && error.sqlstate().is_some()
    {
        // The warehouse said no: one statement, so nothing was made.
        lease.role = None;
    }
    Ok((lease, vended?))
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(role) = self.role.take() else { return };
        let (warehouse, mut alive) = (self.warehouse.clone(), self.alive.take());
        // Outside a runtime (a test's end) the reaper of the next start does it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // A warehouse that is down for long, or has a thousand roles to drop, is asked until it has done it.
            for attempt in 1_u32.. {
                let Err(error) = warehouse.end(&role).await else { break };
                if attempt == END_TRIES {
                    tracing::error!(%role, error = %super::governor::chain(&error), "a vended role is still there; it is tried again");
                    // A stop waits no longer for it: then it is left for the reaper of the next start.
                    alive = None;
                }
                tokio::time::sleep(Duration::from_millis(200 * u64::from(attempt)).min(END_PAUSE_MAX)).await;
            }
            drop(alive);
        });
    }
}
