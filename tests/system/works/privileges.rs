//! `has_table_privilege` and its family against what a statement does: every relation, column and privilege.

use lanyard_tests::Outcome;
use tokio_postgres::Client;

use super::compare::{Answer, answer};
use super::tools::environment;

/// Visible and hidden, masked, filtered, with a denied column, a view.
const RELATIONS: [&str; 8] = [
    "public.customer_orders",
    "public.order_regions",
    "retail.customer",
    "retail.lineitem",
    "retail.nation",
    "retail.orders",
    "retail.partsupp",
    "retail.region",
];
const PRIVILEGES: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

async fn texts(client: &Client, sql: &str) -> Outcome<Vec<Option<String>>> {
    match answer(client, sql).await {
        Answer::Rows { rows, .. } => Ok(rows.into_iter().map(|mut row| row.remove(0)).collect()),
        failed @ Answer::Failed { .. } => Err(format!("{sql}: {failed:?}").into()),
    }
}

async fn says(client: &Client, sql: &str) -> Outcome<bool> {
    Ok(texts(client, sql).await? == [Some("t".to_owned())])
}

/// A statement that needs the privilege on these columns, and touches no row.
fn statement(privilege: &str, relation: &str, columns: &[String]) -> Option<String> {
    let list = columns.join(", ");
    let sets: Vec<String> = columns.iter().map(|column| format!("{column} = {column}")).collect();
    match privilege {
        "SELECT" => Some(format!("SELECT {list} FROM {relation} LIMIT 0")),
        "INSERT" => {
            Some(format!("INSERT INTO {relation} ({list}) SELECT {list} FROM {relation} WHERE false"))
        }
        "UPDATE" => Some(format!("UPDATE {relation} SET {} WHERE false", sets.join(", "))),
        "DELETE" => Some(format!("DELETE FROM {relation} WHERE false")),
        "TRUNCATE" => Some(format!("TRUNCATE {relation}")),
        // Nobody makes keys or triggers through the proxy.
        _ => None,
    }
}

async fn works(client: &Client, sql: Option<String>) -> bool {
    let Some(sql) = sql else { return false };
    answer(client, &format!("BEGIN; {sql}; ROLLBACK")).await.is_rows() || {
        answer(client, "ROLLBACK").await;
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_say_what_statements_do() -> Outcome {
    let governed = environment().await?;
    let client = governed.connect("tester").await?;
    let (mut wrong, mut held, mut asked) = (Vec::new(), 0, 0);
    let mut compare = |what: String, claimed: bool, does: bool| {
        asked += 1;
        held += usize::from(does);
        if claimed != does {
            wrong.push(format!("{what}: says {claimed}, does {does}"));
        }
    };
    for relation in RELATIONS {
        let sql = format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = '{relation}'::regclass AND attnum > 0 ORDER BY attnum"
        );
        let columns: Vec<String> = texts(&client, &sql).await?.into_iter().flatten().collect();
        assert!(!columns.is_empty(), "{relation} has no columns");
        for privilege in PRIVILEGES {
            let whole = works(&client, statement(privilege, relation, &columns)).await;
            let claimed =
                says(&client, &format!("SELECT has_table_privilege('{relation}', '{privilege}')")).await?;
            compare(format!("{privilege} on {relation}"), claimed, whole);
            if matches!(privilege, "DELETE" | "TRUNCATE" | "TRIGGER") {
                continue;
            }
            let mut any = false;
            for column in &columns {
                let one = std::slice::from_ref(column);
                let does = works(&client, statement(privilege, relation, one)).await;
                any |= does;
                let ask = format!("SELECT has_column_privilege('{relation}', '{column}', '{privilege}')");
                compare(format!("{privilege} on {relation}.{column}"), says(&client, &ask).await?, does);
            }
            let ask = format!("SELECT has_any_column_privilege('{relation}', '{privilege}')");
            compare(format!("{privilege} on any column of {relation}"), says(&client, &ask).await?, any);
        }
        // What information_schema lists is the same once more.
        let (schema, name) = relation.split_once('.').ok_or("a relation without a schema")?;
        let listed = texts(
            &client,
            &format!(
                "SELECT DISTINCT privilege_type FROM information_schema.table_privileges
                 WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY 1"
            ),
        )
        .await?;
        for privilege in PRIVILEGES {
            let claimed =
                says(&client, &format!("SELECT has_table_privilege('{relation}', '{privilege}')")).await?;
            compare(
                format!("listed {privilege} on {relation}"),
                listed.contains(&Some(privilege.to_owned())),
                claimed,
            );
        }
    }
    // What is hidden is as if it were not there, by name, and unknown by OID.
    for hidden in ["public.payroll", "hidden_schema.hidden_table", "public.hidden_sequence", "public.absent"]
    {
        let said = answer(&client, &format!("SELECT has_table_privilege('{hidden}', 'SELECT')")).await;
        assert!(matches!(&said, Answer::Failed { state, .. } if state == "42P01"), "{hidden}: {said:?}");
    }
    let dba = governed.dba().await?;
    let oid: u32 = dba.query_one("SELECT 'public.payroll'::regclass::oid", &[]).await?.get(0);
    let said = texts(&client, &format!("SELECT has_table_privilege({oid}, 'SELECT')")).await?;
    assert_eq!(said, [None]);
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(held * 10 > asked * 2 && held * 10 < asked * 8, "{held} of {asked} say little");
    Ok(())
}
