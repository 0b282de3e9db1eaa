//! The relations the judge saw in a statement against those PostgreSQL records for it: each enforced text is made into a view
//! as the superuser, and its dependencies are read.
//!
//! What the judge missed would be a dependency on something that is neither a secured view nor of the virtual catalog, or a
//! secured view that is not on record.

use std::collections::BTreeSet;
use std::io::Write as _;

use lanyard_engine::released::RawSql;
use lanyard_engine::sql::{Context, judge};
use lanyard_tests::{Outcome, trees};

use crate::attacks::{attacked, catalogue};
use crate::differential::generate::Generator;
use crate::floor;

/// More texts than the attacks: what drivers ask of the catalog, and shapes of queries over the attacked tables.
fn corpus() -> Outcome<Vec<String>> {
    let mut texts: Vec<String> = catalogue()?.into_iter().map(|attack| attack.sql).collect();
    for file in [
        include_str!("../../adapters/src/warehouse/postgres/fixtures/psql.sql"),
        include_str!("../../adapters/src/warehouse/postgres/fixtures/pgjdbc.sql"),
        include_str!("../../adapters/src/warehouse/postgres/fixtures/sqlalchemy.sql"),
    ] {
        texts.extend(file.split(";\n").map(str::to_owned));
    }
    // The laboratory's tables by the names of attacked ones; most columns differ, so most fail in PostgreSQL, not here.
    for seed in 1..400 {
        let sql = Generator::new(seed).statement();
        texts.push(
            sql.replace("people", "app.customers")
                .replace("sales", "app.orders")
                .replace(".person_id", ".customer_id"),
        );
    }
    let tables = ["app.customers", "app.orders", "app.employees", "app.events", "app.notes"];
    for (first, second) in tables.iter().flat_map(|a| tables.map(|b| (*a, b))) {
        for shape in [
            "SELECT a.id FROM {1} a JOIN {2} b ON a.id = b.id WHERE EXISTS (SELECT 1 FROM {2} c WHERE c.id = a.id)",
            "WITH w AS (SELECT * FROM {1}), {3} AS (SELECT 1 AS id) SELECT * FROM w, {3} WHERE w.id IN (SELECT id FROM {2})",
            "SELECT id FROM {1} UNION (SELECT id FROM {2} EXCEPT SELECT b.id FROM {1} b, LATERAL (SELECT * FROM {2} c WHERE c.id = b.id) d)",
            "SELECT (SELECT count(*) FROM {2} x WHERE x.id < a.id), row_to_json(a) FROM {1} a ORDER BY (SELECT max(id) FROM {2})",
            "SELECT count(*) FILTER (WHERE id IN (TABLE w)) FROM {1}, (VALUES (1)) v(n) GROUP BY n HAVING count(*) > (SELECT count(*) FROM {2})",
            "SELECT (NULL::{1}).id, ARRAY(SELECT id FROM {2})",
            "WITH RECURSIVE r(n) AS (SELECT id FROM {1} UNION SELECT r.n + 1 FROM r JOIN {2} b ON b.id = r.n WHERE n < 3) SELECT * FROM r",
        ] {
            let bare = second.trim_start_matches("app.");
            texts.push(shape.replace("{1}", first).replace("{2}", second).replace("{3}", bare));
        }
    }
    Ok(texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_saw_every_relation_that_postgresql_records() -> Outcome {
    let governed = attacked().await?;
    let vended = floor::vend(&governed, "eu_analyst", 301).await?;
    let path = ["public".to_owned()];
    let context = Context {
        entitlement: &vended.entitlement,
        search_path: &path,
        paths: None,
        workspace: None,
        database: "shop",
    };
    let dba = governed.dba().await?;
    let (mut judged_count, mut compared, mut wrong) = (0, 0, Vec::new());
    for text in corpus()? {
        let Ok(judged) = judge(RawSql::new(&text), &context) else { continue };
        judged_count += 1;
        let sent = judged.enforced.for_record();
        // A sequence's name in a literal is judged by the role's rights alone (C66).
        let sequence = ["currval", "nextval"].iter().any(|call| text.contains(call));
        if judged.statements != 1 || &*judged.operation != "SELECT" || sequence {
            continue;
        }
        dba.batch_execute("BEGIN; SET LOCAL search_path = public, pg_temp").await?;
        let made = dba
            .batch_execute(&format!(
                "CREATE TEMP VIEW seen AS SELECT count(*) AS n FROM ({}\n) AS x",
                sent.trim().trim_end_matches(';')
            ))
            .await;
        if made.is_ok() {
            let sql = "SELECT DISTINCT n.nspname::text, c.relname::text FROM pg_rewrite r
                       JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                       LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
                       JOIN pg_class c ON c.oid = CASE d.refclassid WHEN 'pg_class'::regclass THEN d.refobjid ELSE t.typrelid END
                       JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE r.ev_class = 'pg_temp.seen'::regclass AND c.oid <> r.ev_class";
            let rows = dba.query(sql, &[]).await?;
            let recorded: BTreeSet<(String, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
            let foreign = recorded.iter().find(|(schema, _)| {
                !matches!(
                    schema.as_str(),
                    "lanyard_secured" | "lanyard_catalog" | "lanyard_information_schema"
                )
            });
            if let Some(foreign) = foreign {
                wrong.push(format!("{foreign:?} was not seen: {text}"));
            }
            let name = |relation: &str| {
                vended
                    .entitlement
                    .iter()
                    .find(|a| a.relation.to_string() == relation)
                    .map(|a| a.view.name.clone())
            };
            let seen: BTreeSet<String> = judged.objects.iter().filter_map(|o| name(&o.relation)).collect();
            let views: BTreeSet<String> = recorded
                .iter()
                .filter(|(schema, _)| schema == "lanyard_secured")
                .map(|(_, view)| view.clone())
                .collect();
            if seen != views {
                wrong.push(format!("seen {seen:?}, recorded {views:?}: {text}"));
            }
            // And what the printed tree names, with code of its own.
            let tree = trees::named(sent)?;
            let rows = tree.types.into_iter().filter(|(schema, _)| schema == "lanyard_secured");
            let relations =
                tree.relations.into_iter().filter_map(|(schema, relation)| Some((schema?, relation)));
            let named: BTreeSet<(String, String)> = relations.chain(rows).collect();
            if named != recorded {
                wrong.push(format!("named {named:?}, recorded {recorded:?}: {text}"));
            }
            compared += 1;
        }
        dba.batch_execute("ROLLBACK").await?;
    }
    vended.warehouse.end(&vended.role).await?;
    writeln!(
        std::io::stderr(),
        "relations: {judged_count} statements judged, {compared} made into views, {} differ",
        wrong.len()
    )?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 200, "only {compared} were compared");
    Ok(())
}
