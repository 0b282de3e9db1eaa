//! The product's own story: who sees what, and what is refused.

use lanyard_tests::{Governed, Outcome};

async fn rows(governed: &Governed, login: &str, sql: &str) -> Outcome<Vec<Vec<String>>> {
    let client = governed.connect(login).await?;
    let messages = client.simple_query(sql).await?;
    Ok(messages
        .iter()
        .filter_map(|m| match m {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        })
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_principal_sees_what_policy_says() -> Outcome {
    let governed = Governed::shared().await?;
    let sql = "SELECT lastname, region, order_total FROM customer_orders ORDER BY order_id";
    let taylor = rows(&governed, "marketing-agent~taylor", sql).await?;
    assert_eq!(taylor.len(), 5, "{taylor:?}");
    assert!(taylor.iter().all(|row| row[0] == "REDACTED"), "{taylor:?}");
    let riley = rows(&governed, "marketing-agent~riley", sql).await?;
    assert!(riley.iter().all(|row| row[1] == "US-EAST" && row[0] == "REDACTED"), "{riley:?}");
    assert_eq!(riley.len(), 3);
    let harper = rows(&governed, "harper", sql).await?;
    assert_eq!(harper.len(), 5);
    assert!(harper.iter().all(|row| row[0] != "REDACTED"), "{harper:?}");
    Ok(())
}
