//! The commands of people who govern, as they run them: diff, explain, identify, generalise, key.

use std::path::{Path, PathBuf};
use std::process::Command;

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_adapters::cluster::scratch_folder;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use serde_json::Value;

/// What a command printed, and its exit code.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn lines(&self) -> Outcome<Vec<Value>> {
        self.out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn run(governed: &Governed, command: &[&str], arguments: &[&str]) -> Outcome<Ran> {
    let mut lanyard = Command::new(governed.lanyard().binary());
    let ran =
        lanyard.args(command).arg("--config").arg(&governed.setting().config).args(arguments).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: ran.status.code(), out: text(&ran.stdout), err: text(&ran.stderr) })
}

/// A governance folder like the story's with one more policy; it ends with the value.
struct Folder(PathBuf);

impl Folder {
    fn with(more: &str) -> Outcome<Self> {
        let folder = Self(scratch_folder("lanyard-governance")?);
        governance::write(&folder.0)?;
        std::fs::write(folder.0.join("more.policy"), more)?;
        Ok(folder)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_widens_access_is_told_and_stopped() -> Outcome {
    let governed = Governed::shared().await?;
    let same = Folder::with("")?;
    let wider = Folder::with("policy more allow read on tables named public.payroll to users in group hr")?;
    let unmasked = Folder::with("policy r reveal columns tagged PII to users named riley")?;
    let narrower = Folder::with("policy less mask columns tagged Region with null")?;
    let broken = Folder::with("policy broken allow raed on tables tagged Sales to everyone")?;
    let diff = |old: &Folder, new: &Folder, flags: &[&str]| {
        let arguments: Vec<&str> =
            [old.path(), new.path()].into_iter().chain(flags.iter().copied()).collect();
        run(&governed, &["diff"], &arguments)
    };
    let none = diff(&same, &same, &["--deny-widening"])?;
    assert_eq!((none.code, none.out.trim()), (Some(0), "nobody gains or loses anything"));

    for (new, what) in [(&wider, "public.payroll"), (&unmasked, "public.customer_orders")] {
        let told = diff(&same, new, &[])?;
        assert!(told.code == Some(0) && told.out.contains(what), "{}{}", told.out, told.err);
        let denied = diff(&same, new, &["--deny-widening"])?;
        assert_eq!((denied.code, &denied.out), (Some(1), &told.out));
        let back = diff(new, &same, &["--deny-widening"])?;
        assert_eq!(back.code, Some(0), "{}", back.out);
    }
    let less = diff(&same, &narrower, &["--deny-widening"])?;
    assert!(less.code == Some(0) && less.out.contains("region"), "{}", less.out);

    let json = diff(&same, &wider, &["--json", "--deny-widening"])?;
    assert_eq!(json.code, Some(1));
    let groups = json.lines()?;
    assert!(!groups.is_empty());
    for group in &groups {
        assert!(
            group["who"]
                .as_array()
                .is_some_and(|who| who.iter().all(|w| w.as_str().is_some_and(|w| w.contains("harper"))))
        );
        assert_eq!(group["changes"][0]["what"], "public.payroll");
        assert_eq!(group["changes"][0]["widens"], true);
    }

    let wrong = diff(&same, &broken, &["--deny-widening"])?;
    assert!(
        wrong.code.is_some_and(|code| code > 1) || wrong.code == Some(1) && wrong.out.is_empty(),
        "{:?}",
        wrong.code
    );
    assert!(wrong.err.contains("raed") && wrong.err.contains("read"), "{}", wrong.err);
    let nowhere = run(&governed, &["diff"], &[same.path(), "/nowhere"])?;
    assert!(nowhere.code != Some(0) && nowhere.out.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_who_sees_what_and_why() -> Outcome {
    let governed = Governed::shared().await?;
    let explain = |arguments: &[&str]| run(&governed, &["explain"], arguments);
    let orders = ["--as", "riley", "--table", "public.customer_orders"];
    let told = explain(&orders)?;
    assert_eq!(told.code, Some(0), "{}", told.err);
    for part in [
        "allowed (read)",
        "granted by sales_readers",
        "lastname: constant (hide_pii)",
        "own_region",
        "US-EAST",
        "SELECT ",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    let json: Value = serde_json::from_str(&explain(&[&orders[..], &["--json"]].concat())?.out)?;
    assert_eq!(
        (&json["verdict"], &json["rows"]["rule"]),
        (&Value::from("allowed"), &Value::from("filtered"))
    );

    let refused = explain(&["--as", "morgan", "--via", "marketing-agent", "--table", "customer_orders"])?;
    assert!(refused.code == Some(0) && refused.out.contains("privacy_training"), "{}", refused.out);
    let hidden = explain(&["--as", "taylor", "--table", "public.payroll"])?;
    assert!(hidden.out.contains("no grant matches the user"), "{}", hidden.out);
    for wrong in [
        &["--as", "nobody", "--table", "public.payroll"][..],
        &["--table", "public.payroll"],
        &["--as", "taylor"],
    ] {
        let ran = explain(wrong)?;
        assert!(ran.code != Some(0) && ran.out.is_empty() && !ran.err.is_empty(), "{wrong:?}");
    }
    Ok(())
}

const SQL: &str = "
CREATE TABLE public.visitors (id int PRIMARY KEY, mail text, age int, zip text, account text);
INSERT INTO public.visitors
  SELECT n, 'person' || n || '@example.com', 20 + n % 3, '1000' || n % 2, 'ACC-' || n FROM generate_series(1, 600) AS n;
INSERT INTO public.visitors VALUES (601, 'odd@example.com', 99, '99999', 'ACC-601');
";

const POLICIES: &str = "
policy visitors allow read on tables named public.visitors to users in group analysts
policy alike mask columns named public.visitors.age, public.visitors.zip with k_anonymous(age, zip, 5)
policy accounts mask columns named public.visitors.account with reversible(accounts)
policy undo allow unmask on columns named public.visitors.account to users named riley
";

async fn governed() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(("visitors.policy", POLICIES));
    let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, sql: SQL, ..GovernedOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn generalise_makes_the_maps_that_masks_read() -> Outcome {
    let governed = governed().await?;
    let riley = governed.connect("riley").await?;
    let number = async |sql: &str| -> Outcome<i64> { Ok(riley.query_one(sql, &[]).await?.get(0)) };
    let shown = "SELECT count(*) FROM visitors WHERE age IS NOT NULL OR zip IS NOT NULL";
    assert_eq!(number(shown).await?, 0, "before the first map nothing is known");
    let made = run(&governed, &["generalise"], &["--json"])?;
    assert_eq!(made.code, Some(0), "{}", made.err);
    let map = &made.lines()?[0];
    let rows = |which: &str| map[which].as_i64().unwrap_or_default();
    assert!(
        map["version"] == 1 && rows("visible") + rows("hidden") == 601 && rows("visible") >= 500,
        "{map}"
    );
    assert!(map["map"].as_str().is_some_and(|id| id.starts_with("public.visitors(")));
    assert_eq!(number(shown).await?, rows("visible"));
    let smallest =
        "SELECT min(n) FROM (SELECT count(*) AS n FROM visitors WHERE age IS NOT NULL OR zip IS NOT NULL
                                        GROUP BY age, zip) AS g";
    assert!(number(smallest).await? >= 5);
    let again = run(&governed, &["generalise"], &[])?;
    assert!(again.out.contains("version 2, ") && again.out.contains(" rows shown, "), "{}", again.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn identify_proposes_and_tags_when_told_to() -> Outcome {
    let governed = governed().await?;
    let folder = &governed.setting().governance;
    let tags = || -> Outcome<String> { Ok(std::fs::read_to_string(folder.join("tags.json"))?) };
    let before = tags()?;
    let table = ["--table", "public.visitors"];
    let told = run(&governed, &["identify"], &[&table[..], &["--json"]].concat())?;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let found = told.lines()?;
    let mail = found.iter().find(|proposal| proposal["column"] == "mail").ok_or("no proposal for mail")?;
    assert!(mail["tag"].as_str().is_some_and(|tag| tag.contains("Email")), "{mail}");
    assert!(!told.out.contains("@example.com"), "no value leaves the warehouse");
    assert!(tags()? == before && !folder.join("proposals.json").exists());

    let written = run(&governed, &["identify"], &[&table[..], &["--write"]].concat())?;
    assert_eq!(written.code, Some(0));
    assert!(is_json(&folder.join("proposals.json")) && tags()? == before);
    let applied = run(&governed, &["identify"], &[&table[..], &["--apply"]].concat())?;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    assert!(tags()?.contains("public.visitors.mail"));
    let wrong = run(&governed, &["identify"], &["--table", "public.nowhere"])?;
    assert!(wrong.code != Some(0) || wrong.out.lines().count() <= 1, "{}", wrong.out);
    Ok(())
}

fn is_json(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| serde_json::from_slice::<Value>(&bytes).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_rotated_and_retired() -> Outcome {
    let governed = governed().await?;
    let riley = governed.connect("riley").await?;
    let text = async |sql: &str| -> Outcome<Option<String>> { Ok(riley.query_one(sql, &[]).await?.get(0)) };
    let key = |command: &str, arguments: &[&str]| run(&governed, &["key", command], arguments);
    let versions = || -> Outcome<Vec<(i64, bool)>> {
        let all = key("list", &["--json"])?.lines()?;
        let mine = all.iter().filter(|one| one["id"] == "reversible:accounts");
        Ok(mine.map(|one| (one["version"].as_i64().unwrap_or_default(), one["replaced"].is_null())).collect())
    };
    assert_eq!(versions()?, [(1, true)]);
    let account = "SELECT account FROM visitors WHERE id = 1";
    let old = text(account).await?.ok_or("masked")?;
    let rotated = key("rotate", &["reversible:accounts"])?;
    assert!(rotated.code == Some(0) && rotated.out.contains("version 2 is in force"), "{}", rotated.err);
    assert_eq!(versions()?, [(2, true), (1, false)]);
    let new = text(account).await?.ok_or("masked")?;
    assert!(old.starts_with("accounts.1.") && new.starts_with("accounts.2."), "{old} {new}");
    for masked in [&old, &new] {
        assert_eq!(text(&format!("SELECT unmask('{masked}')")).await?.as_deref(), Some("ACC-1"));
    }
    for (command, arguments) in [
        ("retire", &["reversible:accounts", "2"][..]),
        ("retire", &["reversible:accounts", "7"]),
        ("retire", &["reversible:nothing", "1"]),
        ("rotate", &["reversible:nothing"]),
        ("rotate", &[]),
    ] {
        let ran = key(command, arguments)?;
        assert!(ran.code != Some(0) && ran.out.is_empty() && !ran.err.is_empty(), "{command} {arguments:?}");
    }
    assert_eq!(key("retire", &["reversible:accounts", "1"])?.code, Some(0));
    assert_eq!(versions()?, [(2, true)]);
    assert_eq!(text(&format!("SELECT unmask('{old}')")).await?, None, "what was forgotten stays masked");
    assert_eq!(text(&format!("SELECT unmask('{new}')")).await?.as_deref(), Some("ACC-1"));
    let told = key("list", &[])?.out;
    assert!(told.contains("reversible:accounts") && told.contains("in force"), "{told}");
    Ok(())
}
