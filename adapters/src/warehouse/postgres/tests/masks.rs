//! Masks on a real PostgreSQL. What they should answer is worked out here, by code that shares nothing with the SQL.

mod anonymous;
mod ciphers;
mod keys;
mod types;
mod values;

use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::Tags;
use lanyard_engine::entitlement::ColumnRule;
use lanyard_engine::identity::{Attributes, Identities, Principal, User, UserId};
use lanyard_engine::policy::{PolicySet, Source, entitle};
use lanyard_engine::snapshot::{Parts, Snapshot};

use super::*;

/// A shop whose tables everyone may read.
struct Stage {
    shop: Shop,
}

/// What somebody sees: an entitlement, prepared, and a session with nothing but it.
struct Sight {
    entitlement: Entitlement,
    session: Upstream,
    role: RoleName,
}

impl Stage {
    async fn open(database: &str, tables: &str) -> Result<Self, Box<dyn Error>> {
        let shop = Shop::open(database).await?;
        shop.dba().await?.batch_execute(tables).await?;
        super::super::bootstrap(&shop.endpoint(), &shop.server.dba(), &options()).await?;
        Ok(Self { shop })
    }

    async fn snapshot(&self, policies: &str) -> Result<Snapshot, Box<dyn Error>> {
        let text = format!("policy read allow read on tables like 'public.%' to everyone\n{policies}");
        let policies = PolicySet::parse(&[Source { file: "test", text: &text }])
            .map_err(|found| found.iter().map(ToString::to_string).collect::<String>())?;
        let mut identities = Identities::default();
        for (short, name) in [(1, "taylor"), (2, "riley")] {
            let id = UserId::parse(name)?;
            let user = User {
                id: id.clone(),
                name: name.to_owned(),
                short: ShortId::new(short)?,
                groups: BTreeSet::new(),
                attributes: Attributes::default(),
            };
            identities.users.insert(id, user);
        }
        Ok(Snapshot::new(Parts {
            version: 1,
            identities,
            tags: Tags::default(),
            policies,
            catalog: self.shop.warehouse.catalog().await?,
            approvals: Approvals::default(),
        }))
    }

    async fn entitlement(&self, who: &str, policies: &str) -> Result<Entitlement, Box<dyn Error>> {
        let snapshot = self.snapshot(policies).await?;
        Ok(entitle(&snapshot, &Principal::direct(UserId::parse(who)?)).map_err(|r| r.message.clone())?)
    }

    async fn sight(&self, who: &str, policies: &str) -> Result<Sight, Box<dyn Error>> {
        let entitlement = self.entitlement(who, policies).await?;
        let prepared = self.shop.warehouse.prepare(&entitlement).await?;
        let lease = Lease { attributes: entitlement.session_attributes.clone(), ..lease(&prepared.bundle)? };
        let login = self.shop.warehouse.vend(&lease).await?;
        let session = self.shop.warehouse.open(&login, &[]).await?;
        Ok(Sight { entitlement, session, role: lease.role })
    }

    /// What a query over `{view}` answers, the view being that of a table of `public`.
    async fn rows(
        &self,
        who: &str,
        policies: &str,
        table: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, Box<dyn Error>> {
        let mut sight = self.sight(who, policies).await?;
        let rows = sight.ask(table, sql).await?;
        self.shop.warehouse.end(&sight.role).await?;
        Ok(rows)
    }

    /// The first column of [`Self::rows`].
    async fn column(
        &self,
        who: &str,
        policies: &str,
        table: &str,
        sql: &str,
    ) -> Result<Vec<Option<String>>, Box<dyn Error>> {
        let rows = self.rows(who, policies, table, sql).await?;
        Ok(rows.into_iter().map(|mut row| row.swap_remove(0)).collect())
    }

    async fn pads(&self, id: &str) -> Result<[u8; 32], Box<dyn Error>> {
        let sql = "SELECT inner_pad FROM lanyard.mask_key WHERE id = $1";
        let row = self.shop.dba().await?.query_one(sql, &[&id]).await?;
        let inner: Vec<u8> = row.try_get(0)?;
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(inner) {
            *to = from ^ 0x36;
        }
        Ok(key)
    }
}

impl Sight {
    async fn ask(&mut self, table: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let access = self.entitlement.access("public", table).ok_or("no access")?;
        let view = format!("lanyard_secured.{}", access.view.name);
        ask(&mut self.session, &sql.replace("{view}", &view)).await
    }

    fn masks(&self, table: &str) -> BTreeMap<String, &'static str> {
        let access = self.entitlement.access("public", table).expect("readable");
        let masked = |(name, rule): (&String, &ColumnRule)| match rule {
            ColumnRule::Masked { mask, .. } => Some((name.clone(), *mask)),
            ColumnRule::Clear | ColumnRule::Denied { .. } => None,
        };
        access.columns.iter().filter_map(masked).collect()
    }
}
