//! The raw login, TLS and cancel.

use tokio::net::TcpListener;

use super::*;

async fn vended(name: &str) -> Result<(Shop, Lease, Login), Box<dyn Error>> {
    let shop = Shop::open(name).await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let prepared = shop.warehouse.prepare(&entitlement(name, vec![access])).await?;
    let lease = lease(&prepared.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    Ok((shop, lease, login))
}

async fn open_at(endpoint: Endpoint, login: &Login) -> Result<Upstream, WarehouseError> {
    let connector = stream::Connector::new(endpoint)?;
    let settings = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];
    upstream::open(&connector, login, &settings).await
}

#[tokio::test]
async fn logins_over_unix_tcp_and_tls() -> Outcome {
    let (shop, lease, login) = vended("logins").await?;
    let server = &shop.server;
    let verify = |ca_pem: &[u8]| TlsMode::VerifyFull { ca_pem: ca_pem.to_vec() };
    let at = |host: &str, tls: TlsMode| server.tcp(&shop.database, host, tls);
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (endpoint, ssl) in [
        (shop.endpoint(), "f"),
        (at("127.0.0.1", TlsMode::Disable), "f"),
        (at("127.0.0.1", TlsMode::Require), "t"),
        (at("localhost", verify(&server.ca_pem)), "t"),
    ] {
        let mut session = open_at(endpoint.clone(), &login).await?;
        assert!(session.leftover.is_empty() && session.key.secret.len() == 4 && session.key.pid > 0);
        assert!(session.parameters.iter().any(|(name, _)| name == "server_version"));
        assert_eq!(ask(&mut session, encrypted).await?, [[Some(ssl.to_owned())]], "{endpoint}");
        ask(&mut session, "SELECT repeat('x', 100000)").await?;
    }
    // Another authority, another name, no authority at all.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?.cert.pem();
    for endpoint in [
        at("localhost", verify(other.as_bytes())),
        at("127.0.0.1", verify(&server.ca_pem)),
        at("localhost", verify(b"")),
        at("localhost", verify(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
    ] {
        let refused = open_at(endpoint, &login).await;
        assert!(matches!(refused, Err(WarehouseError::Tls { .. })), "{refused:?}");
    }
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn refusals_keep_their_sqlstate() -> Outcome {
    let (shop, lease, login) = vended("refusals").await?;
    let wrong = Login::new(login.user.clone(), Secret::new("wrong"));
    let nobody = Login::new(new_role()?.as_str(), login.password.clone());
    for login in [&wrong, &nobody] {
        let refused = shop.warehouse.open(login, &[]).await.expect_err("refused");
        assert_eq!(refused.sqlstate(), Some("28P01"));
        assert!(!format!("{refused:?} {refused}").contains(login.password.expose()));
    }
    let mut nowhere = shop.endpoint();
    nowhere.database = "nowhere".into();
    let refused = open_at(nowhere, &login).await.expect_err("no such database");
    assert_eq!(refused.sqlstate(), Some("3D000"));
    let refused = shop.warehouse.open(&login, &[("DateStyle", "nonsense")]).await.expect_err("setting");
    assert_eq!(refused.sqlstate(), Some("22023"));
    let refused = shop.warehouse.open(&login, &[("log_statement", "none")]).await.expect_err("setting");
    assert_eq!(refused.sqlstate(), Some("42501"));
    // Settings of ours cannot be overruled, nor replication asked for.
    let tricks = [("CLIENT_ENCODING", "SJIS"), ("replication", "database"), ("options", "-c search_path=x")];
    shop.warehouse.open(&login, &tricks).await?;
    let mut missing = shop.endpoint();
    missing.port = 1;
    let refused = open_at(missing, &login).await;
    assert!(matches!(refused, Err(WarehouseError::Unreachable { .. })), "{refused:?}");
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

/// A server that says `answer` to the first message.
async fn liar(answer: Vec<u8>) -> Result<Endpoint, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        if let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = socket.read(&mut request).await;
            let wrote = socket.write_all(&answer).await;
            // Holds the socket until the other side has had enough.
            let end = socket.read(&mut request).await;
            drop((read, wrote, end));
        }
    });
    Ok(Endpoint { host: "127.0.0.1".into(), port, database: "shop".into(), tls: TlsMode::Disable })
}

#[tokio::test]
async fn servers_that_do_not_prove_themselves_are_refused() -> Outcome {
    let login = Login::new("r", Secret::new("s"));
    let scram = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec();
    assert_eq!(scram.len(), 24);
    let answers: [(&str, Vec<u8>); 10] = [
        ("trust", b"R\0\0\0\x08\0\0\0\0".to_vec()),
        ("cleartext", b"R\0\0\0\x08\0\0\0\x03".to_vec()),
        ("md5", b"R\0\0\0\x0c\0\0\0\x05salt".to_vec()),
        ("another mechanism", b"R\0\0\0\x0f\0\0\0\x0aPLAIN\0\0".to_vec()),
        ("final before first", [scram.clone(), b"R\0\0\0\x0c\0\0\0\x0cv=xx".to_vec()].concat()),
        ("ok before proof", [scram, b"R\0\0\0\x08\0\0\0\0".to_vec()].concat()),
        ("data", b"D\0\0\0\x06\0\0".to_vec()),
        ("a length of three", b"R\0\0\0\x03".to_vec()),
        ("a gigabyte", b"R\x40\0\0\0".to_vec()),
        ("endless notices", b"N\0\0\0\x05\0".repeat(20_000)),
    ];
    for (what, answer) in answers {
        let refused =
            tokio::time::timeout(Duration::from_secs(10), open_at(liar(answer).await?, &login)).await?;
        assert!(matches!(refused, Err(WarehouseError::Protocol(_))), "{what}: {refused:?}");
    }
    // TLS: no falling back, and nothing before the handshake is taken for data.
    for (what, answer) in [("no TLS", b"N".to_vec()), ("smuggled", b"SR\0\0\0\x08\0\0\0\0".to_vec())] {
        let endpoint = Endpoint { tls: TlsMode::Require, ..liar(answer).await? };
        let refused = tokio::time::timeout(Duration::from_secs(10), open_at(endpoint, &login)).await?;
        assert!(matches!(refused, Err(WarehouseError::Tls { .. })), "{what}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn cancel_reaches_the_session_it_names() -> Outcome {
    let (shop, lease, login) = vended("cancel").await?;
    for endpoint in [shop.endpoint(), shop.server.tcp(&shop.database, "127.0.0.1", TlsMode::Require)] {
        let connector = stream::Connector::new(endpoint)?;
        let mut session = shop.warehouse.open(&login, &[]).await?;
        let key = session.key.clone();
        let wrong = CancelKey { secret: vec![0; 4], ..key.clone() };
        upstream::cancel(&connector, &wrong).await?;
        let running = tokio::spawn(async move { ask(&mut session, "SELECT pg_sleep(600)").await });
        let dba = shop.dba().await?;
        eventually("the query runs", async || {
            let sql = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1";
            Ok(dba.query_one(sql, &[&key.pid]).await?.get::<_, Option<bool>>(0) == Some(true))
        })
        .await?;
        upstream::cancel(&connector, &key).await?;
        assert_eq!(running.await?.expect_err("cancelled"), "57014");
    }
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}
