//! `k_anonymous` on generated tables: every combination in sight is shared by at least k rows.

use lanyard_engine::policy::generalisations;

use super::*;

/// Skewed on purpose: few rows in some places, NULLs, and one row like no other.
const PEOPLE: &str = "
    CREATE TYPE public.size AS ENUM ('small', 'large');
    CREATE TABLE public.people (id int PRIMARY KEY, zip varchar(5), birth date, sex char(1), income int, rate numeric(6,2), seen timestamptz,
      size public.size, member bool, x real, note text);
    INSERT INTO public.people
      SELECT i, lpad(((i::bigint * i * 7919) % 90000 + 10000)::text, 5, '0'), DATE '1940-01-01' + (i * 37) % 25000,
             CASE WHEN i % 100 = 0 THEN 'x' WHEN i % 2 = 0 THEN 'f' ELSE 'm' END, (i * 131) % 100000 - 500, ((i * 17) % 100000)::numeric / 100,
             TIMESTAMPTZ '2020-01-01 00:00+00' + i * INTERVAL '7 hours', CASE WHEN i % 7 = 0 THEN 'small' ELSE 'large' END::public.size,
             CASE WHEN i % 5 > 0 THEN i % 3 = 0 END, i * 1.5, 'n' || i
      FROM generate_series(1, 3000) i;
    UPDATE public.people SET zip = NULL, birth = NULL WHERE id % 50 = 1;
    INSERT INTO public.people VALUES (9999, '00000', 'infinity', '?', 2147483647, -9999.99, '-infinity', NULL, NULL, 'NaN', 'alone');
    CREATE TABLE public.few (zip text); INSERT INTO public.few VALUES ('1'), ('1'), ('1');";

async fn generalise(stage: &Stage, policy: &str) -> Result<Vec<Generalised>, Box<dyn Error>> {
    let mut made = Vec::new();
    for plan in generalisations(&stage.snapshot(policy).await?) {
        made.push(stage.shop.warehouse.generalise(&plan).await?);
    }
    Ok(made)
}

#[tokio::test]
async fn every_visible_combination_has_at_least_k_rows() -> Outcome {
    let stage = Stage::open("mask_anonymous", PEOPLE).await?;
    for (columns, k) in [
        ("zip, birth, sex", 5),
        ("birth", 2),
        ("income, rate, seen", 10),
        ("size, member, sex", 50),
        ("x, zip", 7),
        ("zip, birth, sex, income, rate, seen, size, member, x", 3),
        ("note", 4),
        ("sex", 3000),
        ("sex", 100_000),
    ] {
        let policy =
            format!("policy m mask columns named {} with k_anonymous({columns}, {k})", named(columns));
        let list = columns.to_owned();
        let sql = format!(
            "SELECT count(*), min(n), count(*) FILTER (WHERE s) FROM (SELECT count(*) AS n, num_nonnulls({list}) > 0 AS s FROM {{view}} GROUP BY {list}) AS g"
        );
        let before = stage.rows("taylor", &policy, "people", &sql).await?;
        let all_hidden = [Some("1".to_owned()), Some("3001".to_owned()), Some("0".to_owned())];
        assert_eq!(before, [all_hidden], "{columns}: nothing is known yet");
        let made = generalise(&stage, &policy).await?;
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].version, made[0].visible + made[0].hidden), (1, 3001));
        let after = stage.rows("riley", &policy, "people", &sql).await?;
        let number = |n: usize| after[0][n].as_deref().unwrap_or_default().parse::<i64>();
        assert!(number(1)? >= k.min(3001), "{columns} {k}: {after:?}");
        let sees = k < 3000;
        assert_eq!(number(2)? > 0, sees, "{columns} {k}: {after:?} {made:?}");
        if sees {
            assert!(made[0].hidden <= 150 + 2 * k, "{made:?}");
        }
        // Dates and numbers read the same under every setting.
        let settings =
            "SET DateStyle = 'German, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -5; ";
        assert_eq!(stage.rows("riley", &policy, "people", &format!("{settings}{sql}")).await?, after);
    }
    Ok(())
}

fn named(columns: &str) -> String {
    columns.split(", ").map(|c| format!("public.people.{c}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn what_is_shown_is_coarser_and_true() -> Outcome {
    let stage = Stage::open("mask_coarser", PEOPLE).await?;
    let policy = "policy m mask columns named public.people.zip, birth, income, rate with k_anonymous(birth, income, rate, zip, 5)";
    generalise(&stage, policy).await?;
    let shown = stage
        .rows("taylor", policy, "people", "SELECT id, zip, birth::text, income, rate FROM {view} ORDER BY id")
        .await?;
    let dba = stage.shop.dba().await?;
    let raw = dba
        .query("SELECT id, zip, birth::text, income, rate::float8 FROM public.people ORDER BY id", &[])
        .await?;
    let (mut seen, mut same) = (0, 0);
    for (shown, raw) in shown.iter().zip(raw) {
        let zip: Option<&str> = raw.get(1);
        let birth: Option<&str> = raw.get(2);
        let (income, rate): (i32, f64) = (raw.get(3), raw.get(4));
        let is_prefix = |shown: &Option<String>, raw: Option<&str>| {
            shown.as_deref().is_none_or(|s| raw.is_some_and(|r| r.starts_with(s)))
        };
        assert!(is_prefix(&shown[1], zip), "{shown:?}");
        // ISO dates order as text; the start of a unit is never after the day.
        assert!(
            shown[2]
                .as_deref()
                .is_none_or(|s| birth.is_some_and(|b| s <= b && s.ends_with("-01") | (s == b))),
            "{shown:?} {birth:?}"
        );
        assert!(shown[3].as_deref().is_none_or(|s| s.parse::<i32>().is_ok_and(|s| s <= income)), "{shown:?}");
        assert!(shown[4].as_deref().is_none_or(|s| s.parse::<f64>().is_ok_and(|s| s <= rate)), "{shown:?}");
        seen += usize::from(shown[1..].iter().any(Option::is_some));
        same += usize::from(shown[2].as_deref() == birth && birth.is_some());
    }
    assert!(seen > 2800 && same < 300, "{seen} {same}");
    assert_eq!(shown[3000][1..], [None, None, None, None], "the one like no other");
    Ok(())
}

#[tokio::test]
async fn a_map_is_replaced_whole_and_knows_only_its_own() -> Outcome {
    let stage = Stage::open("mask_map", PEOPLE).await?;
    let dba = stage.shop.dba().await?;
    let policy =
        "policy m mask columns named public.people.sex, public.people.size with k_anonymous(size, sex, 5)
                  policy f mask columns named public.few.zip with k_anonymous(zip, 3)
                  policy d (draft) mask columns named public.people.note with k_anonymous(note, 2)
                  policy o mask columns named public.people.id with k_anonymous(size, 5)
                  policy u mask columns named public.people.rate with k_anonymous(rate, nowhere, 5)";
    let made = generalise(&stage, policy).await?;
    assert_eq!(made.len(), 3, "a draft needs no map, and none can be made for a column that is not there");
    let sql = "SELECT sex, size, id, rate FROM {view} ORDER BY base LIMIT 1".replace("ORDER BY base ", "");
    let row = &stage.rows("taylor", policy, "people", &sql).await?[0];
    assert!(row[0].is_some() && row[1].is_some() && row[2].is_none() && row[3].is_none(), "{row:?}");
    assert_eq!(
        stage.column("taylor", policy, "few", "SELECT zip FROM {view}").await?,
        vec![Some("1".to_owned()); 3]
    );

    // One row more of a combination that was never seen is hidden; two rows less and the next map hides all of them.
    dba.batch_execute("INSERT INTO public.few VALUES ('2'); DELETE FROM public.few WHERE ctid IN (SELECT ctid FROM public.few WHERE zip = '1' LIMIT 1)")
        .await?;
    let mut sight = stage.sight("taylor", policy).await?;
    let mut seen = sight.ask("few", "SELECT zip FROM {view} ORDER BY 1 NULLS FIRST").await?.concat();
    assert_eq!(seen, [None, Some("1".to_owned()), Some("1".to_owned())]);
    let again = generalise(&stage, policy).await?;
    assert!(again.iter().all(|g| g.version == 2));
    seen = sight.ask("few", "SELECT zip FROM {view}").await?.concat();
    assert_eq!(seen, [None, None, None]);
    stage.shop.warehouse.end(&sight.role).await?;
    let stale = dba.query_one("SELECT count(*) FROM lanyard.generalised WHERE version <> 2", &[]).await?;
    assert_eq!(stale.get::<_, i64>(0), 0);

    // Another type is another map: nothing made for the old one is read as the new one.
    stage.shop.warehouse.collect(&HashSet::new()).await?;
    dba.batch_execute("ALTER TABLE public.few ALTER COLUMN zip TYPE varchar(3)").await?;
    assert_eq!(stage.column("taylor", policy, "few", "SELECT zip FROM {view}").await?, [None, None, None]);
    Ok(())
}
