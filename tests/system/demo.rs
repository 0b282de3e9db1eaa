//! `lanyard demo`, as somebody runs it who has just found Lanyard: it tells its story, and leaves nothing behind.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use lanyard::demo::lanyard_process::Lanyard;
use lanyard_adapters::cluster::scratch_folder;
use lanyard_adapters::process::{Process, Signal};
use lanyard_tests::wait::until_within;
use lanyard_tests::{Outcome, program_folder};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio_postgres::NoTls;

/// How long the whole demo may take in a test, in seconds: it is half a dozen, and the machine may be busy.
const PATIENCE_SECONDS: u64 = 240;

/// The demo as a child process, with its folder and what it prints in a folder of ours.
struct Played {
    process: Process,
    /// Removed here, the demo's own folder within.
    scratch: PathBuf,
}

impl Drop for Played {
    fn drop(&mut self) {
        // After a failed test it may still run. Not killed: it would leave its server.
        drop(self.process.end(Signal::Terminate));
        std::fs::remove_dir_all(&self.scratch).ok();
    }
}

impl Played {
    fn start(flags: &[&str]) -> Outcome<Self> {
        let scratch = scratch_folder("lanyard-played")?;
        let (out, err) = (File::create(scratch.join("out"))?, File::create(scratch.join("err"))?);
        let lanyard = Lanyard::find(program_folder()?.join("lanyard"))?;
        let mut command = Command::new(lanyard.binary());
        command.args(["demo", "--scale", "0.001", "--folder"]).arg(scratch.join("demo")).args(flags);
        command.stdout(out).stderr(err);
        Ok(Self { process: Process::spawn(&mut command, Signal::Terminate)?, scratch })
    }

    fn folder(&self) -> PathBuf {
        self.scratch.join("demo")
    }

    fn out(&self) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.scratch.join("out"))?).into_owned())
    }

    fn err(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.scratch.join("err"))?)
    }

    /// Waits until it has printed something; an end before that is a failure.
    async fn printed(&mut self, what: &str) -> Outcome {
        until_within(PATIENCE_SECONDS, what, async || {
            if self.out()?.contains(what) {
                return Ok(Some(()));
            }
            match self.process.status() {
                Some(status) => Err(format!("ended ({status}): {}\n{}", self.out()?, self.err()?).into()),
                None => Ok(None),
            }
        })
        .await
    }

    /// Waits for its end, and for everything of it to be gone.
    async fn ended(&mut self) -> Outcome<ExitStatus> {
        let status =
            until_within(PATIENCE_SECONDS, "the demo has ended", async || Ok(self.process.status())).await?;
        assert!(!self.folder().exists(), "the folder is left: {}", self.out()?);
        let left = processes_of(&self.folder())?;
        assert!(left.is_empty(), "left running: {left:?}");
        Ok(status)
    }
}

/// Command lines that name the folder: PostgreSQL's own, and its children's titles do not matter while that one runs.
fn processes_of(folder: &Path) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let folder = folder.to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc")? {
        // Processes come and go while we look.
        let Ok(text) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        if text.contains(&folder) {
            found.push(text);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_and_leaves_nothing() -> Outcome {
    let mut played = Played::start(&[])?;
    let status = played.ended().await?;
    let (out, err) = (played.out()?, played.err()?);
    assert!(status.success(), "{status}: {err}\n{out}");
    // What is wrong with an old server is said, and stays true.
    let complaints: Vec<&str> =
        err.lines().filter(|line| !line.contains("without UPDATE until the server is updated")).collect();
    assert!(complaints.is_empty(), "nothing to complain about: {complaints:?}");
    for line in [
        "REDACTED │ US-WEST    │      225.00 │              245.73",
        "Castellanos │ US-WEST    │      225.00 │              245.73",
        "role     LANYARD_VENDED_5_1_",
        "LANYARD_VENDED_5_0_",
        "@shop: /*lanyard_agent='marketing-agent',lanyard_session='",
        "audit    masked SELECT public.customer_orders, masks: lastname: constant (hide_pii), filters: own_region; ok, 3 rows",
        "ERROR: relation \"customer_orders\" does not exist (SQLSTATE 42P01)",
        "FATAL: user \"nobody\" is not known (SQLSTATE 28000)",
        "FATAL: authentication failed for \"marketing-agent\" (SQLSTATE 28P01)",
        "ERROR: relation \"public.payroll\" does not exist (SQLSTATE 42P01)",
        "setting \"role\" may not be changed here (SQLSTATE 42501)",
        "EXPLAIN (analyze) is not allowed (SQLSTATE 42501)",
        "FATAL: the lease of this session has expired (SQLSTATE 57P01)",
        "c_phone: partial (hide_phones), filters: own_segment",
        "roles that were vended for this story none is left",
        "done: every act came out as told, and nothing is left behind",
    ] {
        assert!(out.contains(line), "no {line:?} in:\n{out}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_it_hands_out_connections_that_work_and_ends_with_a_signal() -> Outcome {
    let mut played = Played::start(&["--keep"])?;
    played.printed("Ctrl-C ends it and removes everything").await?;
    let file = played.folder().join("connections.json");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let read: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let connections = read["connections"].as_array().ok_or("no connections")?;
    assert!(connections.len() >= 4, "{connections:?}");

    let out = played.out()?;
    let (story, offered) = out.split_once("Lanyard stays up").ok_or("nothing is offered")?;
    assert!(offered.contains(&file.to_string_lossy().into_owned()));
    for connection in connections {
        let text = |field: &str| connection[field].as_str().unwrap_or_default();
        assert!(!text("key").is_empty() && !story.contains(text("key")), "a key in the story");
        assert!(offered.contains(text("psql")) && offered.contains(text("sqlalchemy")), "{connection}");
        assert!(!text("libpq").contains('~'), "{connection}");
        let (client, session) = tokio_postgres::connect(text("libpq"), NoTls).await?;
        let session = tokio::spawn(session);
        let expected = match text("login") {
            "marketing-agent" => ("SELECT count(*) FROM campaign_tools", 3),
            login if login.contains("riley") => ("SELECT count(*) FROM customer_orders", 3),
            _ => ("SELECT count(*) FROM customer_orders", 5),
        };
        assert_eq!(client.query_one(expected.0, &[]).await?.get::<_, i64>(0), expected.1, "{connection}");
        drop(client);
        session.await??;
    }
    let superuser = read["warehouse"]["url"].as_str().ok_or("no warehouse")?;
    let password = superuser.split([':', '@']).nth(2).ok_or("no password")?;
    assert!(password.len() > 16 && !story.contains(password), "the superuser's password in the story");

    // A session that does nothing must not keep it up.
    let first = connections[0]["libpq"].as_str().ok_or("no url")?;
    let (idle, session) = tokio_postgres::connect(first, NoTls).await?;
    let session = tokio::spawn(session);
    played.process.signal(Signal::Interrupt);
    let status = played.ended().await?;
    assert!(status.success(), "{status}: {}", played.err()?);
    let words = session.await?.err().ok_or("the session ended without a word")?;
    assert_eq!(words.code().map(|code| code.code()), Some("57P01"), "{words}");
    drop(idle);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_the_middle_leaves_nothing() -> Outcome {
    // While the server is being made; while the data is loaded; in the middle of the story.
    let moments = [
        ("programs are in", Signal::Interrupt),
        ("a PostgreSQL of our own runs", Signal::Terminate),
        ("── 2. ", Signal::HangUp),
    ];
    for (moment, signal) in moments {
        let mut played = Played::start(&[])?;
        played.printed(moment).await?;
        played.process.signal(signal);
        let status = played.ended().await?;
        let (out, err) = (played.out()?, played.err()?);
        assert_eq!(status.code(), Some(1), "{moment}: {out}\n{err}");
        assert!(
            out.contains("nothing is left behind") && err.contains("interrupted"),
            "{moment}: {out}\n{err}"
        );
        assert!(!out.contains("came out as told"), "{out}");
    }
    Ok(())
}

/// Runs a program on a terminal of its own, presses Ctrl-C once it has printed something, and prints all it printed.
const TERMINAL: &str = r#"
import os, pty, sys
when, command = sys.argv[1].encode(), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
out, pressed = b"", False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    out += some
    if not pressed and when in out:
        pressed = os.write(terminal, b"\x03") == 1
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(out)
sys.exit(status if status >= 0 else 99)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_control_c_ends_it_in_order() -> Outcome {
    let scratch = scratch_folder("lanyard-terminal")?;
    let folder = scratch.join("demo");
    let lanyard = Lanyard::find(program_folder()?.join("lanyard"))?;
    for (moment, expected) in [("a PostgreSQL of our own runs", 1), ("── 2. ", 1), ("Ctrl-C ends it", 0)]
    {
        let mut command = tokio::process::Command::new("python3");
        command.args(["-c", TERMINAL, moment]).arg(lanyard.binary());
        command.args(["demo", "--keep", "--scale", "0.001", "--folder"]).arg(&folder).kill_on_drop(true);
        let patience = std::time::Duration::from_secs(PATIENCE_SECONDS);
        let ran = tokio::time::timeout(patience, command.output()).await??;
        let out = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(
            ran.status.code(),
            Some(expected),
            "{moment}: {out}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(out.contains("nothing is left behind"), "{moment}: {out}");
        assert!(!folder.exists(), "{moment}");
        let left = processes_of(&folder)?;
        assert!(left.is_empty(), "{moment}: left running: {left:?}");
    }
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_played_is_refused_before_anything_is_made() -> Outcome {
    let scratch = scratch_folder("lanyard-refused")?;
    let lanyard = Lanyard::find(program_folder()?.join("lanyard"))?;
    for (flags, code, says) in [
        (["--pg-bin", "/nonexistent"], 1, "does not hold both"),
        (["--scale", "0.0001"], 1, "scale 0.0001 is not between"),
        (["--scale", "NaN"], 1, "scale NaN is not between"),
        (["--scale", "much"], 2, "invalid value"),
    ] {
        let folder = scratch.join("demo");
        let mut command = Command::new(lanyard.binary());
        let ran =
            command.arg("demo").args(flags).arg("--folder").arg(&folder).stdin(Stdio::null()).output()?;
        let err = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(code) && err.contains(says), "{flags:?}: {err}");
        assert!(!folder.exists(), "{flags:?}");
    }
    // Somebody else's folder is not touched.
    let theirs = scratch.join("theirs");
    std::fs::create_dir(&theirs)?;
    std::fs::write(theirs.join("file"), "theirs")?;
    let ran = Command::new(lanyard.binary()).arg("demo").arg("--folder").arg(&theirs).output()?;
    assert!(String::from_utf8_lossy(&ran.stderr).contains("is not empty"));
    assert_eq!(std::fs::read_to_string(theirs.join("file"))?, "theirs");
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_ends_it_in_order() -> Outcome {
    let scratch = scratch_folder("lanyard-reader")?;
    let folder = scratch.join("demo");
    let lanyard = Lanyard::find(program_folder()?.join("lanyard"))?;
    let mut command = tokio::process::Command::new(lanyard.binary());
    command
        .args(["demo", "--scale", "0.001", "--folder"])
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut out = child.stdout.take().ok_or("no output")?;
    let mut seen = String::new();
    while !seen.contains("a PostgreSQL of our own runs") {
        let mut some = [0; 64];
        let read = out.read(&mut some).await?;
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    drop(out);
    let status = child.wait().await?;
    assert!(status.success(), "as with any program in front of head: {status}");
    assert!(!folder.exists());
    let left = processes_of(&folder)?;
    assert!(left.is_empty(), "left running: {left:?}");
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}
