//! The private PostgreSQL of the virtual catalog's tests, and sessions on it as clients of Lanyard have them.

use std::error::Error;

use tokio_postgres::{Client, Config, NoTls};

use crate::cluster::tests::binaries;
use crate::cluster::{Cluster, ClusterOptions, scratch_folder};

pub(super) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A running server, gone with its value.
pub(super) struct Server(Cluster);

impl Server {
    pub(super) async fn start() -> Outcome<Self> {
        let settings = [("listen_addresses", ""), ("fsync", "off"), ("autovacuum", "off")];
        let started = Cluster::start(ClusterOptions {
            bin: binaries(),
            data: scratch_folder("lanyard-catalog")?,
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            keep: false,
        });
        Ok(Self(started.await?))
    }

    /// Lets a role log in here: the server asks everybody for a password, and this is the cluster's.
    pub(super) async fn admit(&self, dba: &Client, role: &str) -> Outcome {
        // 32 hexadecimal digits: nothing to quote.
        let password = self.0.password();
        Ok(dba.batch_execute(&format!("ALTER ROLE \"{role}\" PASSWORD '{password}'")).await?)
    }

    /// A client; its connection runs on the test's runtime.
    pub(super) async fn connect(&self, user: &str, database: &str) -> Outcome<Client> {
        let (client, connection) = Config::new()
            .host_path(self.0.socket_dir())
            .port(self.0.port())
            .user(user)
            .password(self.0.password())
            .dbname(database)
            .application_name("lanyard:0123")
            .options(r#"-c search_path=public,pg_temp"#)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }
}
