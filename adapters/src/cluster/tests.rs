//! A real server, started, used, restarted, stopped and dropped.

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// `LANYARD_TEST_PG_BIN`: the folder of another major's binaries, for every test of this crate that starts a server.
pub(crate) fn binaries() -> Option<PathBuf> {
    std::env::var_os("LANYARD_TEST_PG_BIN").map(PathBuf::from)
}

fn options(label: &str) -> Result<ClusterOptions, ClusterError> {
    Ok(ClusterOptions {
        bin: binaries(),
        data: scratch_folder(label)?,
        settings: vec![("fsync".into(), "off".into()), ("lanyard.quoting".into(), r"it's a \ test".into())],
        ..ClusterOptions::default()
    })
}

async fn tcp(cluster: &Cluster, password: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(cluster.port())
        .user(cluster.superuser())
        .password(password)
        .dbname("postgres")
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    client.query_one("SHOW lanyard.quoting", &[]).await.map(|row| row.get(0))
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn starts_answers_restarts_stops_and_leaves_nothing() -> Outcome {
    let mut cluster = Cluster::start(options("lanyard-cluster")?).await?;
    let folder = cluster.folder().to_owned();
    assert!(PORTS.contains(&cluster.port()));
    assert_eq!(tcp(&cluster, cluster.password()).await?, r"it's a \ test");

    let unix = cluster.connect("postgres").await?;
    let row = unix.query_one("SELECT inet_client_addr() IS NULL", &[]).await?;
    assert!(row.get::<_, bool>(0), "a unix socket has no address");
    assert!(std::fs::read_to_string(cluster.log_file())?.contains("inet_client_addr"));

    unix.batch_execute("CREATE TABLE kept (a int)").await?;
    let port = cluster.port();
    cluster.restart().await?;
    assert_eq!(cluster.port(), port);
    let again = cluster.connect("postgres").await?;
    again.query("SELECT a FROM kept", &[]).await?;

    let pid = cluster.server.as_ref().map(Process::id).ok_or("no server")?;
    cluster.stop().await;
    assert!(!alive(pid));
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_the_password_and_drop_ends_busy_sessions() -> Outcome {
    let cluster = Cluster::start(options("lanyard-cluster")?).await?;
    for wrong in ["", "postgres", "0123456789abcdef0123456789abcdef"] {
        assert!(tcp(&cluster, wrong).await.is_err(), "{wrong:?}");
    }
    let busy = cluster.connect("postgres").await?;
    let row = busy.query_one("SELECT pg_backend_pid()", &[]).await?;
    let backend = row.get::<_, i32>(0).unsigned_abs();
    let asleep = tokio::spawn(async move { busy.batch_execute("SELECT pg_sleep(600)").await });
    let (pid, folder) =
        (cluster.server.as_ref().map(Process::id).ok_or("no server")?, cluster.folder().to_owned());
    drop(cluster);
    assert!(!alive(pid) && !alive(backend), "processes are left");
    assert!(!folder.exists());
    assert!(asleep.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn what_cannot_work_is_refused_and_cleaned_up() -> Outcome {
    let used = scratch_folder("lanyard-used")?;
    std::fs::write(used.join("precious"), "data")?;
    let refused = Cluster::start(ClusterOptions { data: used.clone(), ..ClusterOptions::default() }).await;
    assert!(matches!(refused, Err(ClusterError::NotEmpty(_))));
    assert!(used.join("precious").exists(), "somebody else's folder stays");

    let long = used.join("x".repeat(100));
    let refused = Cluster::start(ClusterOptions { data: long.clone(), ..ClusterOptions::default() }).await;
    assert!(matches!(refused, Err(ClusterError::SocketPath(_))));
    assert!(!long.exists());
    std::fs::remove_dir_all(&used)?;

    let mut bad = options("lanyard-bad")?;
    bad.settings.push(("no_such_setting".into(), "1".into()));
    let folder = bad.data.clone();
    match Cluster::start(bad).await {
        Err(ClusterError::Program { output, .. }) => assert!(output.contains("no_such_setting")),
        other => return Err(format!("{other:?}").into()),
    }
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_start_given_up_half_way_leaves_nothing() -> Outcome {
    for milliseconds in [1, 100, 400, 900] {
        let options = options("lanyard-halfway")?;
        let folder = options.data.clone();
        let given_up =
            tokio::time::timeout(Duration::from_millis(milliseconds), Cluster::start(options)).await;
        drop(given_up);
        assert!(!folder.exists(), "{}", folder.display());
    }
    Ok(())
}
