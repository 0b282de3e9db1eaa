//! Every mask on a column of every type PostgreSQL comes with: type and typmod stay, reading works, NULL stays NULL.

use super::*;

/// A value of each type. Names say the type.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("smallint", "smallint", "7"),
    ("integer", "integer", "-2147483648"),
    ("bigint", "bigint", "9223372036854775807"),
    ("numeric", "numeric", "1234567.891"),
    ("numeric_12_2", "numeric(12,2)", "-9999999999.99"),
    ("numeric_2_2", "numeric(2,2)", "0.99"),
    ("numeric_3_minus_2", "numeric(3,-2)", "12300"),
    ("real", "real", "3.4028234e38"),
    ("double", "double precision", "5e-324"),
    ("money", "money", "12.5"),
    ("text", "text", "bob@example.org"),
    ("varchar", "character varying", "+49 170 1234567"),
    ("varchar_7", "character varying(7)", "1234567"),
    ("varchar_40", "character varying(40)", "4111 1111 1111 1111"),
    ("varchar_200", "character varying(200)", "123456"),
    ("char", "character", "x"),
    ("char_3", "character(3)", "abc"),
    ("char_100", "character(100)", "1234567"),
    ("bpchar", "bpchar", "1234567"),
    ("internal_char", "\"char\"", "x"),
    ("name", "name", "a name"),
    ("bytea", "bytea", "\\xdeadbeef"),
    ("date", "date", "2024-02-29"),
    ("date_last", "date", "5874897-12-31"),
    ("date_infinite", "date", "infinity"),
    ("time", "time", "12:34:56"),
    ("time_3", "time(3)", "12:34:56.789"),
    ("timetz", "timetz", "12:34:56+02"),
    ("timestamp", "timestamp", "2024-02-29 12:34:56.789"),
    ("timestamp_0", "timestamp(0)", "4713-01-01 00:00:00 BC"),
    ("timestamptz", "timestamptz", "2024-02-29 12:34:56.789+00"),
    ("timestamptz_3", "timestamptz(3)", "-infinity"),
    ("interval", "interval", "1 day 02:03:04"),
    ("interval_2", "interval(2)", "1 day 02:03:04.05"),
    ("interval_days", "interval day to second(3)", "1 day"),
    ("boolean", "boolean", "true"),
    ("uuid", "uuid", "00112233-4455-6677-8899-aabbccddeeff"),
    ("inet", "inet", "192.0.2.1/24"),
    ("cidr", "cidr", "192.0.2.0/24"),
    ("macaddr", "macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "macaddr8", "08:00:2b:01:02:03:04:05"),
    ("bit_8", "bit(8)", "10101010"),
    ("varbit_9", "bit varying(9)", "1010"),
    ("json", "json", "{\"a\": \"bob@example.org\", \"b\": \"\\ud800\"}"),
    ("json_good", "json", "{\"a\": \"bob@example.org\", \"b\": 4111111111111111}"),
    ("jsonb", "jsonb", "[\"bob@example.org\", 1.5e300, null]"),
    ("jsonpath", "jsonpath", "$.a"),
    ("tsvector", "tsvector", "a b"),
    ("tsquery", "tsquery", "a & b"),
    ("point", "point", "(1,2)"),
    ("box", "box", "(1,2),(0,0)"),
    ("path", "path", "((0,0),(1,1))"),
    ("circle", "circle", "<(0,0),1>"),
    ("oid", "oid", "1"),
    ("regclass", "regclass", "pg_catalog.pg_class"),
    ("pg_lsn", "pg_lsn", "0/1"),
    ("xid8", "xid8", "1"),
    ("int4range", "int4range", "[1,5)"),
    ("numrange", "numrange", "[1.5,2]"),
    ("tstzrange", "tstzrange", "[2024-01-01 00:00+00,)"),
    ("int4multirange", "int4multirange", "{[1,2),[5,6)}"),
    ("integers", "integer[]", "{1,2}"),
    ("varchars_5", "character varying(5)[]", "{ab,cd}"),
    ("numerics_5_1", "numeric(5,1)[][]", "{{1.5}}"),
    ("mood", "public.mood", "calm"),
    ("moods", "public.mood[]", "{calm,angry}"),
    ("positive", "public.positive", "5"),
    ("code", "public.code", "123456"),
    ("needed", "public.needed", "there"),
    ("pair", "public.pair", "(1,x)"),
    ("span", "public.span", "[1,2]"),
    ("odd", "public.\"odd.type (x)\"", "a"),
];

const TYPES: &str = "
    CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
    CREATE DOMAIN public.code AS character varying(20) CHECK (VALUE ~ '^[0-9]+$');
    CREATE DOMAIN public.needed AS text NOT NULL;
    CREATE TYPE public.pair AS (a integer, b text);
    CREATE TYPE public.span AS RANGE (subtype = float8);
    CREATE TYPE public.\"odd.type (x)\" AS ENUM ('a', 'b');";

/// Each mask, and the columns on which it must not become `null`.
const MASKS: &[(&str, &[&str])] = &[
    ("null", &[]),
    (
        "constant('x')",
        &[
            "text",
            "varchar",
            "varchar_7",
            "varchar_40",
            "varchar_200",
            "char",
            "char_3",
            "char_100",
            "bpchar",
        ],
    ),
    (
        "constant(0) with nulls",
        &[
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "numeric_12_2",
            "numeric_2_2",
            "real",
            "double",
            "text",
            "char",
        ],
    ),
    ("constant('2024-01-01')", &["date", "date_infinite", "timestamp", "timestamp_0", "text"]),
    ("constant(true)", &["boolean"]),
    ("constant('{}')", &["json", "jsonb", "text"]),
    ("hash", &["text", "varchar", "varchar_40", "varchar_200", "char_100", "bpchar"]),
    ("hash joinable in people", &["text", "varchar", "varchar_40", "varchar_200", "char_100", "bpchar"]),
    (
        "partial(first 1, last 2, '#')",
        &["text", "varchar", "varchar_7", "varchar_40", "char", "char_3", "char_100", "bpchar"],
    ),
    ("regex('[0-9]', '', 'g')", &["text", "varchar", "varchar_7", "char_3", "bpchar"]),
    (
        "round(10)",
        &["smallint", "integer", "bigint", "numeric", "numeric_12_2", "numeric_2_2", "real", "double"],
    ),
    (
        "round('month')",
        &["date", "date_last", "date_infinite", "timestamp", "timestamp_0", "timestamptz", "timestamptz_3"],
    ),
    ("round('hour')", &["timestamp", "timestamp_0", "timestamptz", "timestamptz_3"]),
    ("reversible(people)", &["text", "varchar", "varchar_200", "char_100", "bpchar"]),
    ("fpe(digits)", &["text", "varchar", "varchar_7", "varchar_40", "varchar_200", "char_100", "bpchar"]),
    ("fpe(alphanumeric)", &["text", "varchar", "varchar_7", "bpchar"]),
    (
        "randomized(0.5)",
        &[
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "numeric_12_2",
            "numeric_2_2",
            "real",
            "double",
            "date",
            "date_last",
            "date_infinite",
            "timestamp",
            "timestamp_0",
            "timestamptz",
            "timestamptz_3",
            "mood",
            "odd",
        ],
    ),
    (
        "randomized(0)",
        &[
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "numeric_12_2",
            "numeric_2_2",
            "real",
            "double",
            "date",
            "date_last",
            "date_infinite",
            "timestamp",
            "timestamp_0",
            "timestamptz",
            "timestamptz_3",
            "mood",
            "odd",
        ],
    ),
    ("token", &["text", "varchar", "varchar_40", "varchar_200", "char_100", "bpchar", "uuid"]),
    (
        "redact",
        &[
            "text",
            "varchar",
            "varchar_7",
            "varchar_40",
            "char",
            "char_3",
            "char_100",
            "bpchar",
            "json",
            "json_good",
            "jsonb",
        ],
    ),
    ("custom(upper(@column))", &["text", "varchar", "varchar_7", "char_3"]),
    (
        "custom(@column)",
        &["smallint", "integer", "bigint", "numeric", "boolean", "date", "timestamptz", "uuid"],
    ),
    ("hash where row_id > 100", &["text"]),
    ("round(10) where row_id < 100", &["integer", "numeric_12_2"]),
];

async fn stage(database: &str) -> Result<Stage, Box<dyn Error>> {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, sql, _)| format!("\"{name}\" {sql}")).collect();
    let values: Vec<String> =
        COLUMNS.iter().map(|(_, sql, value)| format!("CAST('{value}' AS {sql})")).collect();
    let nulls: Vec<&str> =
        COLUMNS.iter().map(|(name, ..)| if *name == "needed" { "'there'" } else { "NULL" }).collect();
    let tables = format!(
        "{TYPES} CREATE TABLE public.every (row_id int PRIMARY KEY, {});
         INSERT INTO public.every VALUES (1, {}), (2, {});",
        columns.join(", "),
        values.join(", "),
        nulls.join(", "),
    );
    Stage::open(database, &tables).await
}

fn all_columns() -> String {
    COLUMNS.iter().map(|(name, ..)| format!("public.every.\"{name}\"")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn every_mask_keeps_every_type() -> Outcome {
    let stage = stage("mask_types").await?;
    let dba = stage.shop.dba().await?;
    let mut all: Vec<(String, &[&str])> =
        MASKS.iter().map(|(mask, fits)| ((*mask).to_owned(), *fits)).collect();
    for (name, ..) in COLUMNS {
        // Of one column each, so that the map fits wherever it can.
        all.push((format!("k_anonymous(\"{name}\", 2)"), &[]));
    }
    for (mask, fits) in all {
        let policy = format!("policy m mask columns named {} with {mask}", all_columns());
        let mut sight = stage.sight("taylor", &policy).await.map_err(|e| format!("{mask}: {e}"))?;
        let word = mask.split(['(', ' ']).next().unwrap_or_default();
        let masks = sight.masks("every");
        assert_eq!(masks.len(), COLUMNS.len(), "{mask}");
        for name in fits {
            assert_eq!(masks.get(*name), Some(&word), "{mask} on {name}");
        }
        let view = sight.entitlement.access("public", "every").expect("readable").view.name.clone();
        let changed = dba
            .query(
                "SELECT b.attname, format_type(b.atttypid, b.atttypmod), format_type(v.atttypid, v.atttypmod)
                 FROM pg_attribute b LEFT JOIN pg_attribute v ON v.attname = b.attname
                   AND v.attrelid = to_regclass('lanyard_secured.' || $1)
                 WHERE b.attrelid = 'public.every'::regclass AND b.attnum > 0
                   AND (b.atttypid, b.atttypmod) IS DISTINCT FROM (v.atttypid, v.atttypmod)",
                &[&view],
            )
            .await?;
        let changed: Vec<(&str, &str, Option<&str>)> =
            changed.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
        assert_eq!(changed, [], "{mask}");
        // By the role that reads it, under settings of its own choice.
        for settings in [
            "",
            "SET DateStyle = 'German, DMY'; SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -5; SET IntervalStyle = 'sql_standard'; ",
        ] {
            let rows = match sight.ask("every", &format!("{settings}TABLE {{view}}")).await {
                Ok(rows) => rows,
                Err(state) => {
                    for (name, ..) in COLUMNS {
                        let sql = format!("{settings}SELECT \"{name}\" FROM {{view}}");
                        if let Err(state) = sight.ask("every", &sql).await {
                            return Err(format!("{mask} on {name} {settings}: {state}").into());
                        }
                    }
                    return Err(format!("{mask} {settings}: {state}").into());
                }
            };
            assert_eq!(rows.len(), 2, "{mask}");
            let hides_null = mask.contains("with nulls");
            for ((name, ..), value) in COLUMNS.iter().zip(&rows[1][1..]) {
                let shows = value.is_some();
                let may = hides_null && masks.get(*name) != Some(&"null")
                    || mask.contains("where") && *name == "needed";
                assert!(
                    !shows || may || (*name == "needed" && masks.get("needed") != Some(&"null")),
                    "{mask} on {name}: {value:?}"
                );
            }
        }
        stage.shop.warehouse.end(&sight.role).await?;
    }
    Ok(())
}
