//! Versions of mask keys: listing, rotating, retiring.
//!
//! Must never see a key: they are made and moved by functions inside the warehouse. Called by `Warehouse`.

use std::time::SystemTime;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use lanyard_engine::names;

use super::error::WarehouseError;

const DOING: &str = "looking after mask keys";

/// One version of a mask key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// What uses it: `table:public.orders`, `reversible:customers`, …
    pub id: String,
    /// Counts up from 1.
    pub version: i32,
    /// When it was made.
    pub created: SystemTime,
    /// When a newer one took its place; absent for the one in force.
    pub replaced: Option<SystemTime>,
}

pub(super) async fn list(client: &Client) -> Result<Vec<KeyVersion>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let rows = client.query_typed("SELECT * FROM lanyard.list_keys()", &[]).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(KeyVersion {
                id: row.try_get(0)?,
                version: row.try_get(1)?,
                created: row.try_get(2)?,
                replaced: row.try_get(3)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

pub(super) async fn rotate(client: &Client, id: &str) -> Result<Option<i32>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    client
        .query_typed_one("SELECT lanyard.rotate_key($1)", &[(&id, Type::TEXT)])
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)
}

pub(super) async fn retire(client: &Client, id: &str, version: i32) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    client
        .query_typed_one("SELECT lanyard.retire_key($1, $2)", &[(&id, Type::TEXT), (&version, Type::INT4)])
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)
}

/// Bootstrap leaves functions that answer NULL where there is no AES.
pub(super) async fn has_aes(client: &mut Client) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let tx = client.transaction().await.map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}", names::OWNER_ROLE)).await.map_err(failed)?;
    let sql = "SELECT lanyard.mask_aes_ecb(sha256(''), sha256('')) IS NOT NULL";
    let row = tx.query_typed_one(sql, &[]).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}
