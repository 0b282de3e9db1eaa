//! Tests of the folder: what it refuses to read, what an edit may never leave behind.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lanyard_engine::catalog::{Origin, RelationName, TagPath};
use lanyard_engine::identify::{Evidence, Proposal};
use lanyard_engine::identity::Combination;

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lanyard-store-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.0.join(name), text)?;
        let mode = if name == CREDENTIALS { 0o600 } else { 0o644 };
        std::fs::set_permissions(self.0.join(name), Permissions::from_mode(mode))
    }

    fn text(&self, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.0.join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn user(id: &str) -> Result<NewUser, Box<dyn std::error::Error>> {
    Ok(NewUser {
        id: UserId::parse(id)?,
        name: id.to_uppercase(),
        groups: ["marketing".to_owned()].into(),
        attributes: [("region".to_owned(), ["US-EAST".to_owned()].into())].into(),
    })
}

fn agent(id: &str, owner: &str) -> Result<NewAgent, Box<dyn std::error::Error>> {
    Ok(NewAgent {
        id: AgentId::parse(id)?,
        name: id.to_uppercase(),
        owner: UserId::parse(owner)?,
        groups: BTreeSet::new(),
        attributes: lanyard_engine::identity::Attributes::new(),
        combination: Combination::Guarded,
    })
}

#[test]
fn what_is_added_is_loaded_and_short_ids_are_never_given_twice() -> TestResult {
    let folder = Folder::new()?;
    let dir = folder.0.join("made/by/us");
    let morgan = add_user(&dir, user("morgan")?)?;
    let taylor = add_user(&dir, user("taylor")?)?;
    let helper = add_agent(&dir, agent("helper", "morgan")?)?;
    let shorts = [morgan.short, taylor.short, helper.short].map(|s| s.get());
    assert_eq!(shorts, [1, 2, 3]);
    let key = generate_key()?;
    set_key(&dir, Who::Agent(&helper.id), &key)?;
    set_key(&dir, Who::User(&taylor.id), "correct horse")?;
    let governance = load(&dir)?;
    assert_eq!(governance.identities.users[&taylor.id], taylor);
    assert_eq!(governance.identities.agents[&helper.id], helper);
    let verifier = governance.credentials.of(Who::Agent(&helper.id)).ok_or("none")?;
    assert_eq!(*verifier, ScramVerifier::derive(&key, ITERATIONS, &verifier.salt));
    assert!(governance.credentials.of(Who::User(&morgan.id)).is_none());

    remove_agent(&dir, &helper.id)?;
    remove_user(&dir, &taylor.id)?;
    assert_eq!(add_user(&dir, user("taylor")?)?.short.get(), 4);
    assert!(load(&dir)?.credentials.users.is_empty(), "an old password does not come back");
    Ok(())
}

#[test]
fn keys_are_long_and_differ_and_are_stored_nowhere() -> TestResult {
    let folder = Folder::new()?;
    let (key, other) = (generate_key()?, generate_key()?);
    assert_ne!(key, other);
    assert_eq!((key.len(), &key[..4]), (47, "lyk_"));
    let added = add_user(&folder.0, user("taylor")?)?;
    set_key(&folder.0, Who::User(&added.id), &key)?;
    for entry in std::fs::read_dir(&folder.0)? {
        let bytes = std::fs::read(entry?.path())?;
        assert!(!String::from_utf8_lossy(&bytes).contains(&key[4..]));
    }
    let mode = std::fs::metadata(folder.0.join(CREDENTIALS))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}

#[test]
fn edits_that_make_no_sense_change_nothing() -> TestResult {
    let folder = Folder::new()?;
    let dir = &folder.0;
    let morgan = add_user(dir, user("morgan")?)?.id;
    add_agent(dir, agent("helper", "morgan")?)?;
    let before = (stamp(dir)?, folder.text(IDENTITIES)?);
    assert!(matches!(add_user(dir, user("morgan")?), Err(StoreError::Exists(_))));
    assert!(matches!(add_user(dir, user("helper")?), Err(StoreError::Exists(_))));
    assert!(matches!(add_agent(dir, agent("morgan", "morgan")?), Err(StoreError::Exists(_))));
    assert!(matches!(add_agent(dir, agent("x", "nobody")?), Err(StoreError::Missing(_))));
    assert!(matches!(remove_user(dir, &morgan), Err(StoreError::Owner { .. })));
    let nobody = UserId::parse("nobody")?;
    assert!(matches!(remove_user(dir, &nobody), Err(StoreError::Missing(_))));
    let helper_as_user = UserId::parse("helper")?;
    assert!(matches!(set_key(dir, Who::User(&helper_as_user), "secret"), Err(StoreError::Missing(_))));
    for bad in ["", "tab\there", "new\nline", "pässword", "nul\0", &"x".repeat(1025)] {
        assert!(matches!(set_key(dir, Who::User(&morgan), bad), Err(StoreError::Password(_))), "{bad:?}");
    }
    assert_eq!(before, (stamp(dir)?, folder.text(IDENTITIES)?));
    Ok(())
}

#[test]
fn short_ids_run_out_with_a_message() -> TestResult {
    let folder = Folder::new()?;
    folder.put(IDENTITIES, r#"{"next_short": 9999999}"#)?;
    assert_eq!(add_user(&folder.0, user("last")?)?.short.get(), 9_999_999);
    assert!(matches!(add_user(&folder.0, user("late")?), Err(StoreError::ShortIds)));
    load(&folder.0)?;
    // Without next_short: above everybody in the file, and kept from then on.
    let other = Folder::new()?;
    let by_hand = r#"{"users":[{"id":"a","name":"A","short":3}],"agents":[{"id":"b","name":"B","owner":"a","short":3}]}"#;
    other.put(IDENTITIES, by_hand)?;
    load(&other.0)?;
    remove_agent(&other.0, &AgentId::parse("b")?)?;
    remove_user(&other.0, &UserId::parse("a")?)?;
    assert_eq!(add_user(&other.0, user("c")?)?.short.get(), 4);
    Ok(())
}

#[test]
fn files_that_cannot_be_true_are_refused_by_name_and_place() -> TestResult {
    let taylor = r#"{"id":"taylor","name":"T","short":1}"#;
    let two = |a: &str, b: &str| format!("{{\"next_short\":5,\"users\":[{a}],\"agents\":[{b}]}}");
    let bot = |id: &str, owner: &str, short: u32| {
        format!("{{\"id\":\"{id}\",\"name\":\"B\",\"owner\":\"{owner}\",\"short\":{short}}}")
    };
    let cases = [
        (IDENTITIES, "{".to_owned(), "identities.json:1:1: EOF"),
        (IDENTITIES, "{\"next_short\":1,\n \"user\":[]}".into(), "identities.json:2:7: unknown field `user`"),
        (IDENTITIES, two(&taylor.replace("\"name\"", "\"nmae\""), ""), "unknown field `nmae`"),
        (IDENTITIES, two(&taylor.replace("taylor", "tay~lor"), ""), "cannot be in an id"),
        (IDENTITIES, two(&taylor.replace(":1}", ":0}"), ""), "a short id is 1 to"),
        (IDENTITIES, two(&format!("{taylor},{taylor}"), ""), "\"taylor\" stands here twice"),
        (IDENTITIES, two(taylor, &bot("taylor", "taylor", 2)), "\"taylor\" stands here twice"),
        (
            IDENTITIES,
            two(&format!("{taylor},{}", taylor.replace("taylor", "riley")), ""),
            "the same short id 1",
        ),
        (IDENTITIES, two(taylor, &bot("bot", "taylor", 5)), "next_short 5 is not above"),
        (IDENTITIES, two(taylor, &bot("bot", "gone", 2)), "owner \"gone\" of agent \"bot\""),
        (CREDENTIALS, "{\"users\":{\"taylor\":\"md5abc\"}}".into(), "not a verifier"),
        (CREDENTIALS, "{\"user\":{}}".into(), "unknown field `user`"),
        (TAGS, "{\"definitions\":[],\"table\":{}}".into(), "unknown field `table`"),
        (TAGS, "[]".into(), "tags.json:1:"),
    ];
    for (name, text, expected) in cases {
        let folder = Folder::new()?;
        folder.put(IDENTITIES, &two(taylor, ""))?;
        load(&folder.0)?;
        folder.put(name, &text)?;
        let error = load(&folder.0).err().ok_or_else(|| text.clone())?;
        assert!(error.to_string().contains(expected), "{error}\n{text}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    Ok(())
}

#[test]
fn credentials_are_private_unique_and_of_somebody() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("taylor")?)?;
    let verifier = ScramVerifier::generate("x")?.to_text();
    let line = format!("\"taylor\":\"{verifier}\"");
    folder.put(CREDENTIALS, &format!("{{\"users\":{{{line}}}}}"))?;
    load(&folder.0)?;
    for mode in [0o640, 0o604, 0o620, 0o610, 0o660] {
        std::fs::set_permissions(folder.0.join(CREDENTIALS), Permissions::from_mode(mode))?;
        let error = load(&folder.0).err().ok_or("loaded")?;
        assert!(matches!(error, StoreError::Permissions { mode: m, .. } if m == mode), "{error}");
        assert!(error.hint().is_some_and(|h| h.contains("chmod 600")));
        assert!(set_key(&folder.0, Who::User(&UserId::parse("taylor")?), "y").is_err());
    }
    folder.put(CREDENTIALS, &format!("{{\"users\":{{{line},{line}}}}}"))?;
    assert!(load(&folder.0).is_err_and(|e| e.to_string().contains("twice")));
    folder.put(CREDENTIALS, &format!("{{\"agents\":{{{line}}}}}"))?;
    assert!(
        load(&folder.0).is_err_and(|e| { e.to_string().contains("agent \"taylor\", who does not exist") })
    );
    Ok(())
}

#[test]
fn policies_come_in_order_of_name_and_hidden_files_do_not() -> TestResult {
    let folder = Folder::new()?;
    assert!(load(&folder.0).is_err_and(|e| e.hint().is_some_and(|h| h.contains("user add"))));
    assert!(load(&folder.0.join("missing")).is_err_and(|e| e.hint().is_some()));
    add_user(&folder.0, user("taylor")?)?;
    for name in [
        "b.policy",
        "a.policy",
        "c.policy.json",
        ".#a.policy",
        ".x.policy.json",
        "c.policy~",
        "d.txt",
        "d.json",
    ] {
        folder.put(name, name)?;
    }
    let names: Vec<_> = load(&folder.0)?.policies.into_iter().map(|(_, text)| text).collect();
    assert_eq!(names, ["a.policy", "b.policy", "c.policy.json"]);
    std::fs::write(folder.0.join("e.policy"), b"one\ntwo \xff")?;
    let error = load(&folder.0).err().ok_or("loaded")?;
    assert!(error.to_string().ends_with("e.policy:2:5: not UTF-8"), "{error}");
    std::fs::write(folder.0.join("e.policy"), vec![b'x'; (1 << 20) + 1])?;
    assert!(load(&folder.0).is_err_and(|e| e.to_string().contains("longer than")));
    Ok(())
}

#[test]
fn approvals_are_read_strictly() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("taylor")?)?;
    let before = stamp(&folder.0)?;
    assert!(load(&folder.0)?.approvals.is_empty());
    let access = "\"what\":{\"access\":{\"relation\":{\"schema\":\"public\",\"name\":\"t\"},\"operations\":[\"read\"]}}";
    let one = format!("{{\"id\":\"r1\",\"for\":{{\"user\":\"taylor\"}},{access},\"expires\":7}}");
    folder.put(APPROVALS, &format!("[{one}]"))?;
    assert_ne!(stamp(&folder.0)?, before);
    let read = load(&folder.0)?.approvals;
    assert_eq!((read.len(), read[0].id.as_str(), read[0].expires), (1, "r1", Some(7)));
    for bad in [
        format!("[{one},{one}]"),
        one.clone(),
        format!("[{}]", one.replace("r1", "")),
        format!("[{}]", one.replace("\"expires\":7", "\"expires\":-7")),
        format!("[{}]", one.replace("\"expires\"", "\"expire\"")),
        format!("[{}]", one.replace("\"user\":\"taylor\"", "\"user\":\"tay'lor\"")),
        format!("[{}]", one.replace("read", "all")),
        format!("[{}]", one.replace("access", "everything")),
    ] {
        folder.put(APPROVALS, &bad)?;
        assert!(load(&folder.0).is_err(), "{bad}");
    }
    Ok(())
}

#[test]
fn the_stamp_moves_with_every_change() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("taylor")?)?;
    let mut last = stamp(&folder.0)?;
    assert_eq!(last, stamp(&folder.0)?);
    let mut moved = || -> Result<bool, StoreError> {
        let now = stamp(&folder.0)?;
        Ok(std::mem::replace(&mut last, now.clone()) != now)
    };
    set_tags(&folder.0, &Tags::default())?;
    assert!(moved()?);
    set_tags(&folder.0, &Tags::default())?;
    assert!(moved()?, "same bytes, another file");
    folder.put("x.policy", "a")?;
    assert!(moved()?);
    folder.put("notes.txt", "a")?;
    assert!(!moved()?);
    std::fs::remove_file(folder.0.join("x.policy"))?;
    assert!(moved()?);
    assert!(stamp(&folder.0.join("missing")).is_err());
    Ok(())
}

#[test]
fn what_is_known_of_a_database_stays_beside_that_of_others() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("taylor")?)?;
    assert!(load(&folder.0)?.known.is_empty(), "nobody looked");
    let before = stamp(&folder.0)?;
    change_known(&folder.0, "shop", |known| known.unwrap_or_default())?;
    assert_ne!(before, stamp(&folder.0)?, "the proxy reads it again");
    change_known(&folder.0, "other", |known| {
        assert_eq!(known, None);
        Known([("public.t".to_owned(), [("a".to_owned(), "text".to_owned())].into())].into())
    })?;
    let known = load(&folder.0)?.known;
    assert_eq!(known["shop"], Known::default());
    assert_eq!(known["other"].0["public.t"]["a"], "text");
    folder.put("known.json", "{\"shop\": [")?;
    assert!(load(&folder.0).is_err(), "half a file hides nothing by being left out");
    assert!(change_known(&folder.0, "shop", |known| known.unwrap_or_default()).is_err());
    Ok(())
}

#[test]
fn proposals_become_tags_with_their_origin_and_leave_a_persons_tags_alone() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("taylor")?)?;
    let proposal = |column: &str, score| Proposal {
        relation: RelationName::new("public", "t"),
        column: column.to_owned(),
        tag: TagPath("PII.Email".into()),
        identifier: "email".into(),
        evidence: Evidence::Values,
        score,
        sampled: 100,
    };
    let mut tags = Tags::default();
    tags.columns.insert("public.t.mine".into(), [TagPath("PII.Email".into())].into());
    set_tags(&folder.0, &tags)?;
    let proposals = [proposal("mine", 1.0), proposal("found", 0.956)];
    assert_eq!(apply_proposals(&folder.0, proposals.iter())?, 1);
    assert_eq!(apply_proposals(&folder.0, proposals.iter())?, 0, "the second time nothing is new");
    let tags = load(&folder.0)?.tags;
    assert!(tags.definitions.contains(&TagPath("PII.Email".into())));
    assert!(!tags.origins.contains_key("public.t.mine"));
    assert_eq!(
        tags.origins["public.t.found"][&TagPath("PII.Email".into())],
        Origin::Identified { identifier: "email".into(), percent: 95 }
    );
    let path = write_proposals(&folder.0, &proposals)?;
    let read: Vec<Proposal> = serde_json::from_slice(&std::fs::read(path)?)?;
    assert_eq!(read, proposals);
    Ok(())
}

#[test]
fn editors_wait_for_each_other_and_readers_see_whole_states() -> TestResult {
    let folder = Folder::new()?;
    add_user(&folder.0, user("morgan")?)?;
    std::thread::scope(|scope| -> TestResult {
        let editors: Vec<_> = (0..3)
            .map(|n| {
                let dir = &folder.0;
                scope.spawn(move || -> Result<(), String> {
                    for i in 0..5 {
                        let new = user(&format!("u{n}-{i}")).map_err(|e| e.to_string())?;
                        let added = add_user(dir, new).map_err(|e| e.to_string())?;
                        set_key(dir, Who::User(&added.id), "some secret").map_err(|e| e.to_string())?;
                        remove_user(dir, &added.id).map_err(|e| e.to_string())?;
                    }
                    Ok(())
                })
            })
            .collect();
        while editors.iter().any(|editor| !editor.is_finished()) {
            match load(&folder.0) {
                Ok(_) | Err(StoreError::Unsettled(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        for editor in editors {
            editor.join().map_err(|_| "panic")??;
        }
        Ok(())
    })?;
    assert_eq!(add_user(&folder.0, user("last")?)?.short.get(), 17);
    Ok(())
}

#[test]
fn files_without_measure_are_refused_unread_and_large_ones_are_read() -> TestResult {
    let folder = Folder::new()?;
    let path = folder.0.join(IDENTITIES);
    // A hole: a gigabyte that no disk holds.
    std::fs::File::create(&path)?.set_len(1 << 30)?;
    let refused = load(&folder.0).err().ok_or("a gigabyte was read")?.to_string();
    assert!(refused.contains("longer than") && refused.contains(IDENTITIES), "{refused}");
    // As many agents as users: what is looked up for each must not be a walk over all.
    let users: Vec<String> =
        (1..=20_000).map(|n| format!(r#"{{"id":"u{n}","name":"u","short":{n}}}"#)).collect();
    let agents: Vec<String> =
        (1..=20_000).map(|n| format!(r#"{{"id":"a{n}","name":"a","owner":"u{n}","short":{n}}}"#)).collect();
    std::fs::write(&path, format!(r#"{{"users":[{}],"agents":[{}]}}"#, users.join(","), agents.join(",")))?;
    assert_eq!(load(&folder.0)?.identities.agents.len(), 20_000);
    Ok(())
}
