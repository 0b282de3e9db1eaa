//! Every kind of row policy, from its text to the rows a vended role reads through its view.

use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::{TagPath, Tags};
use lanyard_engine::identity::{Identities, Principal, PurposeName, User, UserId};
use lanyard_engine::policy::{self, PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};

use super::*;

/// Customers of two regions, their orders over time, the orders' items, and who manages which region.
const TRADE: &str = "
    CREATE TABLE public.customers (id bigint PRIMARY KEY, region text, email text UNIQUE);
    INSERT INTO public.customers VALUES (1, 'EU', 'a@x'), (2, 'US', 'b@x'), (3, 'EU', 'c@x'), (4, NULL, 'd@x');
    CREATE TABLE public.orders (id int PRIMARY KEY, customer_id bigint REFERENCES public.customers,
      by_mail text, created_at timestamptz, day date, seen timestamp);
    INSERT INTO public.orders
      SELECT n, CASE WHEN n = 8 THEN NULL ELSE n % 4 + 1 END, chr(97 + n % 4) || '@x',
             now() - n * interval '1 day', current_date - n, now() AT TIME ZONE 'UTC' - n * interval '1 day'
      FROM generate_series(0, 9) n;
    CREATE TABLE public.items (id int PRIMARY KEY, order_id int REFERENCES public.orders, note text);
    INSERT INTO public.items SELECT n, n % 10, 'n' || n FROM generate_series(0, 19) n;
    CREATE TABLE public.territories (region text, manager text);
    INSERT INTO public.territories VALUES ('EU', 'taylor'), ('US', 'riley'), (NULL, 'riley');
    CREATE TABLE public.many (id int PRIMARY KEY, code text);
    INSERT INTO public.many SELECT n, 'c' || n FROM generate_series(1, 20000) n;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO lanyard_owner;";

const GRANTS: &str = "policy everything allow read on tables like 'public.%' to everyone\n";

struct Trade {
    shop: Shop,
    snapshot: Snapshot,
}

impl Trade {
    async fn open(database: &str) -> Result<Self, Box<dyn Error>> {
        let shop = Shop::open(database).await?;
        shop.dba().await?.batch_execute(TRADE).await?;
        let tag = |tag: &str| BTreeSet::from([TagPath(tag.to_owned())]);
        let tags = Tags {
            definitions: ["Region", "Event"].iter().map(|t| TagPath((*t).to_owned())).collect(),
            columns: BTreeMap::from([
                ("public.customers.region".to_owned(), tag("Region")),
                ("public.orders.created_at".to_owned(), tag("Event")),
            ]),
            ..Tags::default()
        };
        let mut identities = Identities::default();
        for (short, id, regions) in
            [(1, "taylor", vec!["EU"]), (2, "riley", vec!["US"]), (3, "nobody", vec![])]
        {
            let id = UserId::parse(id)?;
            let user = User {
                id: id.clone(),
                name: id.to_string(),
                short: ShortId::new(short)?,
                groups: BTreeSet::from(["EU".to_owned()]),
                attributes: BTreeMap::from([(
                    "region".to_owned(),
                    regions.into_iter().map(str::to_owned).collect(),
                )]),
            };
            identities.users.insert(id, user);
        }
        let mut catalog = shop.warehouse.catalog().await?;
        tags.apply(&mut catalog);
        let policies = PolicySet::default();
        let snapshot = Snapshot::new(Parts {
            version: 1,
            identities,
            tags,
            policies,
            catalog,
            approvals: Approvals::default(),
        });
        Ok(Self { shop, snapshot })
    }

    /// The first column of a table as that user reads it under a policy; `None` when the table is not there.
    async fn seen(&self, policy: &str, who: &str, table: &str) -> Result<Option<Vec<i32>>, Box<dyn Error>> {
        let text = format!("{GRANTS}purpose Audit.Yearly 'I audit' to users named taylor\npolicy p {policy}");
        let policies = PolicySet::parse(&[Source { file: "t.policy", text: &text }])
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let mut snapshot = self.snapshot.clone();
        snapshot.policies = policies;
        let (who, purpose) = who.split_once('/').unwrap_or((who, ""));
        let mut principal = Principal::direct(UserId::parse(who)?);
        if !purpose.is_empty() {
            principal = principal.under(PurposeName::parse(purpose)?);
        }
        let entitlement = policy::entitle(&snapshot, &principal)?;
        let Some(access) = entitlement.access("public", table) else {
            return Ok(None);
        };
        let prepared = self.shop.warehouse.prepare(&entitlement).await?;
        let lease = Lease { attributes: entitlement.session_attributes.clone(), ..lease(&prepared.bundle)? };
        let login = self.shop.warehouse.vend(&lease).await?;
        let mut session = self.shop.warehouse.open(&login, &[("TimeZone", "Asia/Tokyo")]).await?;
        let sql = format!("SELECT id FROM lanyard_secured.{} ORDER BY id", access.view.name);
        let rows = ask(&mut session, &sql).await?;
        self.shop.warehouse.end(&lease.role).await?;
        let ids = rows.into_iter().map(|row| row.into_iter().flatten().next().unwrap_or_default().parse());
        Ok(Some(ids.collect::<Result<_, _>>()?))
    }
}

#[tokio::test]
async fn keys_are_read_as_the_warehouse_enforces_them() -> Outcome {
    let trade = Trade::open("rows_keys").await?;
    trade
        .shop
        .dba()
        .await?
        .batch_execute(
            "CREATE TABLE public.parent (id int PRIMARY KEY); CREATE TABLE public.child () INHERITS (public.parent);
             CREATE TABLE public.partial (a int, b int); CREATE UNIQUE INDEX ON public.partial (a) WHERE b > 0;
             CREATE UNIQUE INDEX ON public.partial ((a + b)); CREATE UNIQUE INDEX ON public.partial (b) INCLUDE (a);
             ALTER TABLE public.partial ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;
             CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE public.part PARTITION OF public.parts FOR VALUES FROM (0) TO (9);
             CREATE TABLE public.refers (id int REFERENCES public.parts, a int, b int);
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO lanyard_owner",
        )
        .await?;
    let catalog = trade.shop.warehouse.catalog().await?;
    let keys = |name: &str| &catalog.relations[&RelationName::new("public", name)].keys;
    assert_eq!(keys("customers").unique, [["id"], ["email"]]);
    assert!(keys("parent").unique.is_empty());
    assert_eq!(keys("partial").unique, [["b"]]);
    assert_eq!(keys("parts").unique, [["id"]]);
    let foreign = &keys("refers").foreign;
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert_eq!(foreign[0].parent, RelationName::new("public", "parts"));
    assert_eq!((&foreign[0].columns[0], &foreign[0].parent_columns[0]), (&"id".to_owned(), &"id".to_owned()));
    Ok(())
}

#[tokio::test]
async fn every_kind_of_row_policy_shows_what_it_says() -> Outcome {
    let trade = Trade::open("rows_kinds").await?;
    let eu = "show rows of tables named public.customers whose Region matches region";
    for (policy, who, table, expected) in [
        (eu, "taylor", "customers", vec![1, 3]),
        (eu, "riley", "customers", vec![2]),
        (eu, "nobody", "customers", vec![]),
        (
            "show rows of tables named public.customers whose Region matches groups",
            "riley",
            "customers",
            vec![1, 3],
        ),
        ("show rows of tables named public.customers whose Region matches id", "riley", "customers", vec![]),
        // Today and the days before; the youngest of each column is now.
        (
            "show rows of tables named public.orders newer than 72 hours by created_at",
            "taylor",
            "orders",
            vec![0, 1, 2],
        ),
        (
            "show rows of tables named public.orders newer than 2 days by @tagged(Event)",
            "taylor",
            "orders",
            vec![0, 1],
        ),
        (
            "show rows of tables named public.orders newer than 1 week by seen",
            "taylor",
            "orders",
            vec![0, 1, 2, 3, 4, 5, 6],
        ),
        (
            "show rows of tables named public.orders older than 7 days by created_at",
            "taylor",
            "orders",
            vec![7, 8, 9],
        ),
        (
            "show rows of tables named public.orders newer than 10 years by day",
            "taylor",
            "orders",
            (0..10).collect(),
        ),
        ("show rows of tables named public.orders older than 1 year by day", "taylor", "orders", vec![]),
        // Through one foreign key, two, and one that is not declared.
        (
            "show rows of tables named public.orders through orders.customer_id whose Region matches region",
            "taylor",
            "orders",
            vec![0, 2, 4, 6],
        ),
        (
            "show rows of tables named public.items through items.order_id then orders.customer_id where region = @user.region",
            "riley",
            "items",
            vec![1, 5, 9, 11, 15, 19],
        ),
        (
            "show rows of tables named public.orders through orders.by_mail to public.customers.email where region = 'US'",
            "taylor",
            "orders",
            vec![1, 5, 9],
        ),
        (
            "show rows of tables named public.customers using lookup public.territories \
             where region in (select region from public.territories where manager = @user.id)",
            "taylor",
            "customers",
            vec![1, 3],
        ),
        // NOT IN over a NULL is never TRUE.
        (
            "show rows of tables named public.customers using lookup public.territories \
             where region not in (select region from public.territories where manager = 'riley')",
            "taylor",
            "customers",
            vec![],
        ),
        (
            "show rows of tables named public.customers only for purpose Audit",
            "taylor/Audit.Yearly",
            "customers",
            vec![1, 2, 3, 4],
        ),
        ("show rows of tables named public.customers only for purpose Audit", "taylor", "customers", vec![]),
        (
            "show rows of tables named public.customers where 'Audit' in (@purpose)",
            "taylor/Audit.Yearly",
            "customers",
            vec![1, 2, 3, 4],
        ),
        (
            "show rows of tables named public.customers where 'Audit' in (@purpose)",
            "taylor",
            "customers",
            vec![],
        ),
        (
            "show rows of tables like 'public.%' whose Region matches region on missing skip",
            "taylor",
            "orders",
            (0..10).collect(),
        ),
    ] {
        let seen = trade.seen(policy, who, table).await.map_err(|e| format!("{policy}: {e}"))?;
        assert_eq!(seen, Some(expected), "{policy} as {who}");
    }
    for (policy, table) in [
        ("show rows of tables like 'public.%' whose Region matches region", "orders"),
        ("show rows of tables named public.orders through orders.by_mail where region = 'US'", "orders"),
        ("show rows of tables named public.orders through customers.id where region = 'US'", "orders"),
        (
            "show rows of tables named public.orders through orders.id to public.items.order_id where note = 'x'",
            "orders",
        ),
        (
            "show rows of tables named public.orders through orders.by_mail to public.customers.id where region = 'x'",
            "orders",
        ),
        ("show rows of tables named public.orders newer than 1 day by id", "orders"),
        ("show rows of tables named public.orders only 10 % by day", "orders"),
        ("show rows of tables named public.territories only 10 %", "territories"),
    ] {
        assert_eq!(trade.seen(policy, "taylor", table).await?, None, "{policy}");
    }
    Ok(())
}

#[tokio::test]
async fn a_share_is_within_a_hundredth_and_the_same_again() -> Outcome {
    let trade = Trade::open("rows_share").await?;
    let mut smaller: BTreeSet<i32> = BTreeSet::new();
    for percent in [1.0, 10.0, 50.5, 99.0] {
        let policy = format!("show rows of tables named public.many only {percent} % by id");
        let seen = trade.seen(&policy, "taylor", "many").await?.expect("granted");
        let share = seen.len() as f64 / 200.0;
        assert!((share - percent).abs() < 1.0, "{percent} %: {share} %");
        assert_eq!(trade.seen(&policy, "riley", "many").await?.as_ref(), Some(&seen));
        // The greater share holds the smaller one, so that asking for several tells nothing more.
        let now: BTreeSet<i32> = seen.into_iter().collect();
        assert!(smaller.is_subset(&now));
        smaller = now;
    }
    let by_key = trade.seen("show rows of tables named public.many only 10 %", "taylor", "many").await?;
    let by_code =
        trade.seen("show rows of tables named public.many only 10 % by code", "taylor", "many").await?;
    assert_ne!(by_key, by_code);
    Ok(())
}
