//! What the identifiers' tests take and leave, on a server; and that a look at a table needs no value to leave it.

use lanyard_engine::identify::{built_in, propose};

use super::*;

/// Identifier, what it must take, what it must leave. Numbers are those that registries and standards publish as examples.
const SAMPLES: [(&str, &[&str], &[&str]); 17] = [
    (
        "iban",
        &["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"],
        &["DE89370400440532013001", "DE8937", "x"],
    ),
    (
        "card",
        &["4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444"],
        &["4111111111111112", "1234", "0000000000000000"],
    ),
    (
        "email",
        &["a@b.co", "first.last+tag@mail.example.org"],
        &["a@b", "a b@c.de", "@b.co", "a@@b.co", "a@b.co."],
    ),
    ("es_dni", &["12345678Z", "00000000-T"], &["12345678A", "1234567Z"]),
    ("it_codice_fiscale", &["RSSMRA85T10A562S"], &["RSSMRA85Z10A562S", "RSSMRA85T10A562"]),
    ("uk_nino", &["AB 12 34 56 C", "JG103759A"], &["DA123456C", "AB123456E", "AB12345C"]),
    ("fr_nir", &["2 55 08 14 168 025 38"], &["255081416802539", "355081416802538"]),
    ("br_cpf", &["529.982.247-25", "11144477735"], &["529.982.247-26", "11111111111"]),
    ("pl_pesel", &["44051401359"], &["44051401358", "44991401359"]),
    (
        "us_ssn",
        &["219-09-9999", "078-05-1120"],
        &["000-12-3456", "666-12-3456", "900-12-3456", "219099999", "219-00-9999"],
    ),
    ("se_personnummer", &["811218-9876"], &["811218-9875", "8112189876", "811318-9876"]),
    ("nl_bsn", &["111222333", "123456782"], &["111222334", "000000000", "12345678"]),
    (
        "ip",
        &["192.168.0.1", "10.0.0.0/8", "2001:db8::1", "::1"],
        &["256.1.1.1", "1.2.3", "12:30", "1.2.3.4.5"],
    ),
    (
        "birth_date",
        &["1985-12-10", "2001-01-31 00:00:00"],
        &["1885-12-10", "1985-13-10", "2999-01-01", "85-12-10"],
    ),
    (
        "phone",
        &["+49 30 901820", "(212) 555-0123", "030/901820", "25-989-741-2988"],
        &["2024-01-31", "12345", "192.168.10.12", "abc"],
    ),
    (
        "address",
        &["221b Baker Street", "10 Downing St, London", "Unter den Linden Platz 1", "rue de Rivoli 5"],
        &["Baker", "221", "way out"],
    ),
    (
        "person_name",
        &["Maria", "John Doe", "Dr. Schmidt", "García"],
        &["maria", "North", "John 3", "john@b.co", "Region"],
    ),
];

#[tokio::test]
async fn tests_take_what_they_are_for_and_leave_the_rest() -> Outcome {
    let server = Server::shared().await?;
    let dba = client_of(&server.endpoint("postgres"), &server.dba()).await?;
    assert_eq!(SAMPLES.len(), built_in().len(), "every identifier is tried");
    let every: Vec<&str> =
        SAMPLES.iter().flat_map(|(_, takes, leaves)| takes.iter().chain(*leaves)).copied().collect();
    for (id, takes, leaves) in SAMPLES {
        let identifier = built_in().iter().find(|identifier| identifier.id == id).ok_or(id)?;
        let sql = format!("SELECT v, {} FROM unnest($1::text[]) AS v", identifier.test);
        let rows = dba.query(&sql, &[&every]).await?;
        for row in rows {
            let (value, taken): (String, Option<bool>) = (row.try_get(0)?, row.try_get(1)?);
            assert!(!(takes.contains(&&*value) && taken != Some(true)), "{id} must take {value}");
            assert!(!(leaves.contains(&&*value) && taken == Some(true)), "{id} must leave {value}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_look_at_a_table_proposes_tags_and_shows_no_value() -> Outcome {
    let shop = Shop::open("identify").await?;
    let dba = shop.dba().await?;
    dba.batch_execute(
        "CREATE TABLE public.people (
           id int, surname text, \"E Mail\" text, note text, born date, card numeric, host inet, code varchar(11), tag text);
         INSERT INTO public.people
         SELECT n, (ARRAY['Smith','Garcia','Müller','Rossi','Novak'])[n % 5 + 1], 'user' || n || '@secret.example',
                CASE WHEN n % 2 = 0 THEN 'a@b.co' ELSE 'nothing' END, date '1970-01-01' + n, 4111111111111111,
                ('10.0.0.' || n % 250)::inet, '219-09-9' || lpad((n % 1000)::text, 3, '0'), NULL
         FROM generate_series(1, 300) AS n;
         ANALYZE public.people; GRANT SELECT ON public.people TO lanyard_owner",
    )
    .await?;
    let catalog = shop.warehouse.catalog().await?;
    let relation = &catalog.relations[&RelationName::new("public", "people")];
    let counted = shop.warehouse.count(relation, 200).await?;
    let proposed: BTreeMap<&str, String> = relation
        .columns
        .iter()
        .filter_map(|column| {
            let proposal = propose(&relation.name, column, counted.get(&column.name)?)?;
            Some((column.name.as_str(), format!("{} {:?}", proposal.tag, proposal.evidence)))
        })
        .collect();
    let expected = [
        ("E Mail", "PII.Email ValuesAndName"),
        ("born", "PII.BirthDate ValuesAndName"),
        ("card", "PII.Financial.Card ValuesAndName"),
        ("code", "PII.NationalId Values"),
        ("host", "PII.IPAddress Values"),
        ("surname", "PII.Name ValuesAndName"),
    ];
    assert_eq!(proposed, expected.map(|(column, tag)| (column, tag.to_owned())).into());
    assert!(counted.values().all(|counts| counts.sampled <= 200));
    Ok(())
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_an_error_and_the_next_one_can() -> Outcome {
    let shop = Shop::open("identify_error").await?;
    let catalog = shop.warehouse.catalog().await?;
    let orders = &catalog.relations[&RelationName::new("public", "customer_orders")];
    let mut gone = orders.clone();
    gone.name.name = "gone".into();
    assert!(shop.warehouse.count(&gone, 100).await.is_err());
    assert!(shop.warehouse.count(orders, 100).await?.contains_key("lastname"));
    // Read as the owner, and never written.
    shop.dba().await?.batch_execute("REVOKE ALL ON public.customer_orders FROM lanyard_owner").await?;
    assert!(shop.warehouse.count(orders, 100).await.is_err());
    Ok(())
}
