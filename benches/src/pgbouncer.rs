//! PgBouncer in session mode, as the peer that everybody knows.
//!
//! Must be configured as its documentation recommends and not to lose: same logins, same socket to the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use lanyard_adapters::cluster::Cluster;
use lanyard_adapters::process::{Process, Signal};

use crate::pgbench::Door;
use crate::{Failure, ready};

/// PATH, and Debian's sbin, which is not in everybody's.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

/// First line of `pgbouncer --version`.
pub(crate) fn version(program: &Path) -> String {
    let printed = Command::new(program).arg("--version").output();
    let text = printed.map_or_else(|_| Vec::new(), |p| p.stdout);
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// Starts it in front of the cluster's unix socket, and waits until it accepts.
pub(crate) async fn start(
    program: &Path,
    cluster: &Cluster,
    port: u16,
    door: &Door,
) -> Result<Process, Failure> {
    let folder = cluster.folder().join("pgbouncer");
    std::fs::create_dir(&folder)?;
    let users = folder.join("userlist.txt");
    // The plain password serves both sides of SCRAM; it lives as long as this run.
    std::fs::write(&users, format!("\"{}\" \"{}\"\n", door.user, door.password))?;
    let ini = folder.join("pgbouncer.ini");
    std::fs::write(
        &ini,
        format!(
            "[databases]\n{database} = host={socket} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n\
             pool_mode = session\nmax_client_conn = 2000\ndefault_pool_size = 2000\nserver_reset_query = DISCARD ALL\n\
             log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n",
            database = door.database,
            socket = cluster.socket_dir().display(),
            server = cluster.port(),
            users = users.display(),
        ),
    )?;
    for path in [&folder, &users, &ini] {
        cluster.give(path)?;
    }
    let log = std::fs::File::create(cluster.folder().join("pgbouncer.log"))?;
    let mut command = Command::new(program);
    command.arg("-q").arg(&ini).stdout(log.try_clone()?).stderr(log);
    cluster.as_server_account(&mut command);
    let mut process = Process::spawn(&mut command, Signal::Interrupt)?;
    ready::tcp(port, &mut process).await?;
    Ok(process)
}
