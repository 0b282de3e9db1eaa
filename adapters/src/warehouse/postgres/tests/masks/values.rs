//! What the masks make of values, against code that shares nothing with the SQL.

use std::collections::HashMap;

use ring::hmac;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hmac_of(key: &[u8; 32], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// A key that the test knows, so that what is drawn is the same every time.
async fn fix_key(stage: &Stage, id: &str, key: [u8; 32]) -> Outcome {
    let mut padded = [0_u8; 64];
    padded[..32].copy_from_slice(&key);
    let pad = |with: u8| padded.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let sql = "INSERT INTO lanyard.mask_key (id, inner_pad, outer_pad) VALUES ($1, $2, $3)";
    stage.shop.dba().await?.execute(sql, &[&id, &pad(0x36), &pad(0x5c)]).await?;
    Ok(())
}

#[tokio::test]
async fn hash_is_plain_hmac() -> Outcome {
    let tables = "CREATE TABLE public.people (id int PRIMARY KEY, name text, short varchar(40), wide char(100));
                  INSERT INTO public.people VALUES (1, 'Smith', 'Smith', 'Smith'), (2, '', '', ''), (3, 'Łódź 日本', 'é', 'x'), (4, NULL, NULL, NULL);
                  CREATE TABLE public.\"odd.one\" (name text); INSERT INTO public.\"odd.one\" VALUES ('Smith');
                  CREATE TABLE public.joined (name text); INSERT INTO public.joined VALUES ('Smith');";
    let stage = Stage::open("mask_hash", tables).await?;
    let policy = "policy m mask columns named people.name, short, wide, public.\"odd.one\".name with hash
                  policy j mask columns named public.joined.name with hash joinable in people"
        .replace("people.name", "public.people.name");
    let sql = "SELECT name, short, wide FROM {view} ORDER BY id";
    let rows = stage.rows("taylor", &policy, "people", sql).await?;
    let key = stage.pads("table:public.people").await?;
    let expected =
        |text: &str, length: usize| Some(hex(&hmac_of(&key, text.as_bytes()))[..length].to_owned());
    let padded = |text: &str| expected(text, 64).map(|h| format!("{h:<100}"));
    assert_eq!(rows[0], [expected("Smith", 64), expected("Smith", 40), padded("Smith")]);
    assert_eq!(rows[1], [expected("", 64), expected("", 40), padded("")]);
    assert_eq!(rows[2], [expected("Łódź 日本", 64), expected("é", 40), padded("x")]);
    assert_eq!(rows[3], [None, None, None]);
    let odd = stage.column("taylor", &policy, "odd.one", "SELECT name FROM {view}").await?;
    let odd_key = stage.pads("table:public.\"odd.one\"").await?;
    assert_eq!(odd, [Some(hex(&hmac_of(&odd_key, b"Smith")))]);
    assert_ne!(odd[0], rows[0][0]);
    let joined = stage.column("taylor", &policy, "joined", "SELECT name FROM {view}").await?;
    assert_eq!(joined, [Some(hex(&hmac_of(&stage.pads("group:people").await?, b"Smith")))]);
    for key in [key, odd_key] {
        assert!(!stage.shop.server.log()?.contains(&hex(&key)), "a key is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn round_never_rounds_up() -> Outcome {
    let tables = "CREATE TABLE public.n (id int PRIMARY KEY, b bigint, n numeric, d double precision);
                  INSERT INTO public.n VALUES (1, 9223372036854775807, 999999999999999999999999999.99, 0.1), (2, -9223372036854775808, -0.01, -0.1),
                    (3, 19, 'NaN', 'NaN'), (4, -11, 'Infinity', '-Infinity'), (5, 0, 0, 1.7e308), (6, NULL, NULL, 4.9e-324);";
    let stage = Stage::open("mask_round", tables).await?;
    let policy = "policy m mask columns named b, n, d with round(10)";
    let rows = stage.rows("taylor", policy, "n", "SELECT b, n, d FROM {view} ORDER BY id").await?;
    let text = |row: [&str; 3]| row.map(|v| (v != "-").then(|| v.to_owned()));
    assert_eq!(
        rows,
        [
            text(["9223372036854775800", "999999999999999999999999990", "0"]),
            text(["-9223372036854775808", "-10", "-10"]),
            text(["10", "NaN", "NaN"]),
            text(["-20", "Infinity", "-Infinity"]),
            text(["0", "0", "1.7e+308"]),
            [None, None, Some("0".to_owned())],
        ]
    );
    Ok(())
}

#[tokio::test]
async fn redact_finds_entities_and_leaves_the_rest() -> Outcome {
    let cases = [
        ("write to bob.o'neil+x@mail.example.org, please", "write to bob.o'[email], please"),
        ("jürgen@münchen.de", "[email]"),
        ("a@b and @home", "a@b and @home"),
        ("pay 4111 1111 1111 1111 today", "pay [card] today"),
        ("4111-1111-1111-1111", "[card]"),
        ("5500005555555559", "[card]"),
        ("378282246310005!", "[card]!"),
        ("12 4111 1111 1111 1111 3", "[card]"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("call +49 (170) 123-4567", "call [phone]"),
        ("call 0170/1234567 or 212-555-0187", "call [phone] or [phone]"),
        ("x(212) 555-0187y", "x[phone]y"),
        ("ssn 078-05-1120", "ssn [national id]"),
        ("nino QQ 12 34 56 C", "nino [national id]"),
        ("dni 12345678Z", "dni [national id]"),
        ("cf RSSMRA85T10A562S", "cf [national id]"),
        ("cpf 123.456.789-09", "cpf [national id]"),
        ("aadhaar 2345 6789 0123", "aadhaar [national id]"),
        ("version 1.2.3, 2024-02-29, room 1234567", "version 1.2.3, 2024-02-29, room 1234567"),
        ("", ""),
    ];
    let values: Vec<String> = (1..)
        .zip(cases)
        .map(|(n, (text, _))| format!("({n}, $q${text}$q$, json_build_object('k', $q${text}$q$))"))
        .collect();
    let tables = format!(
        "CREATE TABLE public.notes (id int PRIMARY KEY, note text, doc json, b jsonb);
         INSERT INTO public.notes SELECT id, note, doc, doc::jsonb FROM (VALUES {}) AS v(id, note, doc);
         INSERT INTO public.notes VALUES (100, NULL, NULL, NULL),
           (101, repeat('1 ', 100000), '{{\"a@b.de\": [4111111111111111, -12, 1.5e3, \"x\\u0040y.de\", \"\\u001f5\"], \"t\": \"+49 170 1234567\\n\"}}', NULL);
         UPDATE public.notes SET b = doc::jsonb WHERE id = 101;",
        values.join(", ")
    );
    let stage = Stage::open("mask_redact", &tables).await?;
    let policy = "policy m mask columns named note, doc, b with redact";
    let sql = "SELECT note, doc ->> 'k', b ->> 'k' FROM {view} WHERE id < 100 ORDER BY id";
    let rows = stage.rows("taylor", policy, "notes", sql).await?;
    for ((text, expected), row) in cases.iter().zip(rows) {
        let expected = Some((*expected).to_owned());
        assert_eq!(row, [expected.clone(), expected.clone(), expected], "{text}");
    }
    let sql = "SELECT note, doc::text, b::text FROM {view} WHERE id >= 100 ORDER BY id";
    let rows = stage.rows("taylor", policy, "notes", sql).await?;
    assert_eq!(rows[0], [None, None, None]);
    let document = "{\"t\": \"[phone]\\n\", \"[email]\": [\"[card]\", -12, 1500, \"[email]\", \"\\u001f5\"]}";
    assert_eq!(rows[1][1..], [Some(document.to_owned()), Some(document.to_owned())]);
    assert_eq!(rows[1][0].as_deref().map(str::trim_end), Some("[card]"));
    // Only what was asked for.
    let policy = "policy m mask columns named note with redact(email)";
    let sql = "SELECT note FROM {view} WHERE id IN (2, 4) ORDER BY id";
    let rows = stage.column("taylor", policy, "notes", sql).await?;
    assert_eq!(rows, [Some("[email]".to_owned()), Some(cases[3].0.to_owned())]);
    Ok(())
}

#[tokio::test]
async fn fpe_keeps_the_form_and_hides_what_it_cannot_encrypt() -> Outcome {
    let tables = "CREATE TABLE public.p (id int PRIMARY KEY, phone text, other text);
                  INSERT INTO public.p VALUES (1, '+49 (170) 123-4567', '+49 (170) 123-4567'), (2, '12345', 'x'), (3, '123456', NULL), (4, '12a34567', NULL),
                    (5, NULL, NULL), (6, '٤٩١٧٠١٢٣٤', NULL), (7, repeat('7', 513), NULL), (8, repeat('7', 512), NULL);
                  INSERT INTO public.p SELECT n, lpad(n::text, 6, '0') FROM generate_series(1000, 1999) n;";
    let stage = Stage::open("mask_fpe", tables).await?;
    let policy = "policy m mask columns named phone, other with fpe(digits)";
    let rows = stage
        .rows("taylor", policy, "p", "SELECT phone, other FROM {view} WHERE id < 1000 ORDER BY id")
        .await?;
    let (phone, other) = (rows[0][0].clone().expect("fits"), rows[0][1].clone().expect("fits"));
    assert_ne!(phone, other, "columns have tweaks of their own");
    for masked in [&phone, &other] {
        assert_ne!(masked, "+49 (170) 123-4567");
        let form: String = masked.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(form, "+99 (999) 999-9999");
    }
    let length = |n: usize| rows[n][0].as_ref().map(String::len);
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(length), [None, Some(6), None, None, None, None, Some(512)]);
    let many = stage.column("taylor", policy, "p", "SELECT phone FROM {view} WHERE id >= 1000").await?;
    let distinct: BTreeSet<_> = many.iter().flatten().collect();
    assert_eq!(distinct.len(), 1000);
    assert!(distinct.iter().all(|v| v.len() == 6));
    Ok(())
}

/// Pearson's statistic of counts against equal expectations.
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum()
}

#[tokio::test]
async fn randomized_is_repeatable_and_unbiased() -> Outcome {
    let tables = "CREATE TABLE public.r (id int, part text, flag boolean, n integer, day date, mood public.mood5, x double precision, PRIMARY KEY (id, part));
                  INSERT INTO public.r SELECT i, 'p' || i % 3, true, 1000, '2024-06-15', 'c', 1000 FROM generate_series(1, 8000) i;
                  CREATE TABLE public.keyless (flag boolean); INSERT INTO public.keyless VALUES (true);"
        .to_owned();
    let tables = format!("CREATE TYPE public.mood5 AS ENUM ('a', 'b', 'c', 'd', 'e'); {tables}");
    let stage = Stage::open("mask_randomized", &tables).await?;
    let key = *b"a key that the test knows, 32 by";
    fix_key(&stage, "seed:public.r", key).await?;
    let policy = "policy m mask columns named flag, n, day, mood, x with randomized(0.75)";
    let sql = "SELECT flag, n, day - DATE '2024-06-15', mood, x, id, part FROM {view} ORDER BY id";
    let rows = stage.rows("taylor", policy, "r", sql).await?;
    assert_eq!(rows, stage.rows("riley", policy, "r", sql).await?, "the same for everyone, every time");
    let value = |row: &[Option<String>], n: usize| row[n].clone().expect("not null");
    let mut kept = [0; 5];
    let mut shifts: Vec<i64> = Vec::new();
    let mut moods: HashMap<String, usize> = HashMap::new();
    let mut drift = 0.0;
    for row in &rows {
        let seed = |column: &str| {
            let id: i32 = value(row, 5).parse().expect("a number");
            let mut message = format!("{column}.").into_bytes();
            message.extend([0, 0, 0, 4]);
            message.extend(id.to_be_bytes());
            message.extend([0, 0, 0, 2]);
            message.extend(value(row, 6).as_bytes());
            let mut first = [0; 8];
            first[1..].copy_from_slice(&hmac_of(&key, &message)[..7]);
            (u64::from_be_bytes(first) >> 4) as f64 / (1_u64 << 52) as f64
        };
        // The decision, worked out here.
        assert_eq!(value(row, 0) == "t", seed("flag") < 0.75);
        assert_eq!(value(row, 1) == "1000", seed("n") < 0.75);
        kept[0] += usize::from(value(row, 0) == "t");
        kept[1] += usize::from(value(row, 1) == "1000");
        kept[2] += usize::from(value(row, 2) == "0");
        kept[3] += usize::from(value(row, 3) == "c");
        kept[4] += usize::from(value(row, 4) == "1000");
        let days: i64 = value(row, 2).parse()?;
        if days != 0 {
            shifts.push(days);
        }
        *moods.entry(value(row, 3)).or_default() += 1;
        let n: f64 = value(row, 1).parse()?;
        assert!((750.0..=1250.0).contains(&n), "{n}");
        drift += n - 1000.0;
    }
    // 8000 draws of 0.75: the deviation is 38.7; four of them to either side.
    for kept in kept {
        assert!((5845..=6155).contains(&kept), "{kept}");
    }
    // About 2000 draws each; the limits are those of 1 in 1000.
    moods.remove("c");
    assert_eq!(moods.len(), 4);
    assert!(chi_square(&moods.values().copied().collect::<Vec<_>>()) < 16.27, "{moods:?}");
    let mut bins = [0; 60];
    for days in shifts {
        assert!((-30..=30).contains(&days));
        bins[usize::try_from(if days < 0 { days + 30 } else { days + 29 })?] += 1;
    }
    assert!(chi_square(&bins) < 98.4, "{bins:?}");
    // Uniform over -250..250 for 2000 of 8000: the mean's deviation is about 0.8.
    assert!((drift / 8000.0).abs() < 3.3, "{drift}");
    // Nothing to draw by: NULL.
    let policy = "policy m mask columns named public.keyless.flag with randomized(0.75)";
    assert_eq!(stage.column("taylor", policy, "keyless", "SELECT flag FROM {view}").await?, [None]);
    Ok(())
}

#[tokio::test]
async fn a_share_of_rows_is_that_share_and_stays_the_same() -> Outcome {
    let tables = "CREATE TABLE public.m (id bigint PRIMARY KEY, owner text);
                  INSERT INTO public.m SELECT i, 'w' || i % 5000 FROM generate_series(1, 40000) i;";
    let stage = Stage::open("mask_share", tables).await?;
    fix_key(&stage, "rows:public.m", *b"a key that the test knows, 32 by").await?;
    for (percent, by, low, high) in
        [("10", "", 3_600, 4_400), ("50", "", 19_600, 20_400), ("12.5", " by owner", 4_600, 5_400)]
    {
        let policy = format!("policy m show rows of tables named public.m only {percent} %{by}");
        let sql =
            "SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)), count(DISTINCT owner) FROM {view}";
        let rows = stage.rows("taylor", &policy, "m", sql).await?;
        let count: u32 = rows[0][0].as_deref().unwrap_or_default().parse()?;
        assert!((low..=high).contains(&count), "{percent}: {count}");
        assert_eq!(rows, stage.rows("riley", &policy, "m", sql).await?);
        if !by.is_empty() {
            // Rows of one person are shown or hidden together.
            let people: u32 = rows[0][2].as_deref().unwrap_or_default().parse()?;
            assert_eq!(count, people * 8);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_mask_never_tells_its_cells_apart_by_null() -> Outcome {
    let tables = "CREATE TABLE public.c (id int PRIMARY KEY, name text, open bool);
                  INSERT INTO public.c VALUES (1, 'Smith', true), (2, 'Jones', false), (3, 'Brown', NULL);";
    let stage = Stage::open("mask_cells", tables).await?;
    let policy = "policy m mask columns named public.c.name with constant('x') where not open";
    let rows = stage.column("taylor", policy, "c", "SELECT name FROM {view} ORDER BY id").await?;
    // Masked unless the predicate is FALSE: what is not known is masked.
    assert_eq!(rows, [Some("Smith".to_owned()), Some("x".to_owned()), Some("x".to_owned())]);
    Ok(())
}
