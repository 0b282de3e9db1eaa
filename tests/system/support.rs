//! The support itself, against a bare PostgreSQL: a tool that reads frames wrongly would make every other test lie.

use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};
use lanyard_tests::Outcome;
use lanyard_tests::raw::{PROTOCOL_3_0, Raw, SSL_REQUEST, frame_of_length};

async fn bare() -> Outcome<Cluster> {
    Ok(Cluster::start(ClusterOptions {
        data: scratch_folder("lanyard-bare")?,
        settings: vec![("fsync".into(), "off".into())],
        ..ClusterOptions::default()
    })
    .await?)
}

#[tokio::test]
async fn raw_frames_say_what_postgresql_says() -> Outcome {
    let cluster = bare().await?;
    let mut raw = Raw::connect(cluster.port()).await?;
    raw.log_in(cluster.superuser(), cluster.password(), "postgres").await?;
    assert!(raw.cancel_key.is_some());
    assert_eq!(raw.parameters.get("client_encoding").map(String::as_str), Some("UTF8"));

    let frames = raw.query("SELECT 'a', NULL, ''").await?;
    let tags: Vec<char> = frames.iter().map(|f| char::from(f.tag)).collect();
    assert_eq!(tags, ['T', 'D', 'C', 'Z']);
    assert_eq!(frames[1].row()?, [Some("a".to_owned()), None, Some(String::new())]);
    assert!(frames[0].row().is_err());

    let refused = raw.query("SELECT * FROM absent").await?;
    assert_eq!(refused[0].sqlstate().as_deref(), Some("42P01"));
    assert!(refused[0].fields().get(&'M').is_some_and(|m| m.contains("absent")));
    raw.send(b'X', &[]).await?;
    assert!(raw.closed().await?);
    Ok(())
}

#[tokio::test]
async fn refusals_arrive_as_errors() -> Outcome {
    let cluster = bare().await?;
    let mut raw = Raw::connect(cluster.port()).await?;
    let wrong = raw.log_in(cluster.superuser(), "wrong", "postgres").await;
    assert!(wrong.is_err_and(|e| e.to_string().starts_with("28P01")));
    assert!(raw.closed().await?);

    let mut raw = Raw::connect(cluster.port()).await?;
    assert_eq!(raw.ask_encryption(SSL_REQUEST).await?, b'N');
    raw.startup(PROTOCOL_3_0, &[("user", "postgres"), ("nonsense", "1")]).await?;
    raw.authenticate(cluster.password()).await?;
    assert_eq!(raw.read().await?.sqlstate().as_deref(), Some("42704"));

    let mut raw = Raw::connect(cluster.port()).await?;
    raw.log_in(cluster.superuser(), cluster.password(), "postgres").await?;
    raw.send_bytes(&frame_of_length(b'Q', 3, b"")).await?;
    assert!(raw.closed().await?);
    Ok(())
}
