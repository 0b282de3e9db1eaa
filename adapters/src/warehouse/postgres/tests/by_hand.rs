//! Secured views against a row-by-row evaluation here: the same rows, the same values, nothing else.
//!
//! Must never ask the engine what a mask means: every value is computed again, by hand.

use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::Tags;
use lanyard_engine::identity::{Identities, Principal, User, UserId};
use lanyard_engine::policy::{self, PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};
use ring::hmac;

use super::*;

const POLICIES: &str = "
policy readers allow read on tables named public.people to users
policy own_region show rows of tables named public.people where region in (@user.region)
  for everyone except users in group everywhere
policy no_low_levels show rows of tables named public.people where level >= 3 or level is null
  for everyone who is in group limited
policy names mask columns named public.people.name with partial(first 2, last 1, '#')
  for everyone except users in group hr
policy mails mask columns named public.people.mail with hash
policy pay mask columns named public.people.paid
  who is in group hr clear
  otherwise with round(100)
policy levels mask columns named public.people.level with constant(7) for users in group limited
policy births mask columns named public.people.born with round('month')
policy notes mask columns named public.people.note with null for everyone except users in group hr
policy gone mask columns named public.people.secret with deny
";

/// A row as it is. Numbers and dates in parts, so that no code of a database is needed to round them.
struct Person {
    id: i32,
    name: Option<String>,
    mail: Option<String>,
    region: Option<&'static str>,
    /// In cents.
    paid: Option<i64>,
    level: Option<i32>,
    /// Year, month, day.
    born: Option<(i32, u32, u32)>,
}

/// Sixty people, with what makes masks stumble: NULL, empty and short texts, other alphabets, quotes, negative numbers.
fn people() -> Vec<Person> {
    const NAMES: [&str; 8] = ["Smith", "Müller-Lüdenscheidt", "", "Ng", "O'Neil", "李小龍", "abcd", "\\%_"];
    const REGIONS: [Option<&str>; 4] = [Some("EU"), Some("US"), None, Some("eu")];
    let row = |n: usize| {
        let number = i32::try_from(n).expect("few");
        Person {
            id: number,
            name: (n % 7 != 3).then(|| NAMES[n % NAMES.len()].to_owned()),
            mail: (n % 5 != 4)
                .then(|| format!("{}{}@example.org", NAMES[(n * 3) % NAMES.len()].len(), n % 9)),
            region: REGIONS[(n * 5 + n / 4) % REGIONS.len()],
            paid: (n % 6 != 5).then(|| i64::from(number - 30) * 3_333),
            level: (n % 4 != 1).then_some(number % 7),
            born: (n % 8 != 6).then(|| (1950 + number, u32::try_from(n).expect("few") % 12 + 1, 28)),
        }
    };
    (0..60).map(row).collect()
}

fn cents(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100)
}

fn day((year, month, day): (i32, u32, u32)) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

fn insert(person: &Person) -> String {
    let text =
        |t: &Option<String>| t.as_ref().map_or("NULL".to_owned(), |t| format!("'{}'", t.replace('\'', "''")));
    format!(
        "INSERT INTO public.people VALUES ({}, {}, {}, {}, {}, {}, {}, 'a note', 'a secret');",
        person.id,
        text(&person.name),
        text(&person.mail),
        text(&person.region.map(str::to_owned)),
        person.paid.map_or("NULL".to_owned(), cents),
        person.level.map_or("NULL".to_owned(), |l| l.to_string()),
        text(&person.born.map(day)),
    )
}

struct Reader {
    id: &'static str,
    groups: &'static [&'static str],
    regions: &'static [&'static str],
}

const READERS: [Reader; 5] = [
    Reader { id: "plain", groups: &[], regions: &["EU"] },
    Reader { id: "two", groups: &["limited"], regions: &["EU", "US"] },
    Reader { id: "nowhere", groups: &["everyone"], regions: &[] },
    Reader { id: "hr", groups: &["hr", "everywhere"], regions: &[] },
    Reader { id: "both", groups: &["hr", "limited"], regions: &["US"] },
];

/// What one reader sees of one row; `None` when it is hidden.
fn by_hand(person: &Person, reader: &Reader, key: &hmac::Key) -> Option<Vec<Option<String>>> {
    let is_in = |group: &str| reader.groups.contains(&group);
    let own = person.region.is_some_and(|region| reader.regions.contains(&region));
    if !is_in("everywhere") && !own {
        return None;
    }
    if is_in("limited") && person.level.is_some_and(|level| level < 3) {
        return None;
    }
    let name = person.name.as_ref().map(|name| {
        let letters: Vec<char> = name.chars().collect();
        let covered = |from: usize, to: usize| -> String {
            letters.iter().enumerate().map(|(n, c)| if n >= from && n < to { '#' } else { *c }).collect()
        };
        match (is_in("hr"), letters.len()) {
            (true, _) => name.clone(),
            (false, length) if length > 3 => covered(2, length - 1),
            (false, length) => covered(0, length),
        }
    });
    let mail = person.mail.as_ref().map(|mail| {
        let digest = hmac::sign(key, mail.as_bytes());
        let hexadecimal: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hexadecimal[..40].to_owned()
    });
    let paid = person.paid.map(|paid| if is_in("hr") { paid } else { paid.div_euclid(10_000) * 10_000 });
    let level = person.level.map(|level| if is_in("limited") { 7 } else { level });
    let born = person.born.map(|(year, month, _)| day((year, month, 1)));
    Some(vec![
        Some(person.id.to_string()),
        name,
        mail,
        person.region.map(str::to_owned),
        paid.map(cents),
        level.map(|l| l.to_string()),
        born,
        is_in("hr").then(|| "a note".to_owned()),
    ])
}

async fn snapshot(shop: &Shop) -> Result<Snapshot, Box<dyn Error>> {
    let mut identities = Identities::default();
    for (short, reader) in (1..).zip(&READERS) {
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<BTreeSet<String>>();
        let user = User {
            id: UserId::parse(reader.id)?,
            name: reader.id.to_owned(),
            short: ShortId::new(short)?,
            groups: texts(reader.groups),
            attributes: BTreeMap::from([("region".to_owned(), texts(reader.regions))]),
        };
        identities.users.insert(user.id.clone(), user);
    }
    let policies = PolicySet::parse(&[Source { file: "by_hand.policy", text: POLICIES }])
        .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let catalog = shop.warehouse.catalog().await?;
    let (tags, approvals) = (Tags::default(), Approvals::default());
    Ok(Snapshot::new(Parts { version: 1, identities, tags, policies, catalog, approvals }))
}

/// The key behind the view's hash, from the pads that the view's owner reads.
async fn key(shop: &Shop) -> Result<hmac::Key, Box<dyn Error>> {
    let row = shop
        .dba()
        .await?
        .query_one("SELECT inner_pad FROM lanyard.mask_key WHERE id = 'table:public.people'", &[])
        .await?;
    let pad: Vec<u8> = row.try_get(0)?;
    let key: Vec<u8> = pad.iter().map(|byte| byte ^ 0x36).collect();
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

#[tokio::test]
async fn views_show_what_a_row_by_row_evaluation_shows() -> Outcome {
    let shop = Shop::open("by_hand").await?;
    let people = people();
    let rows: String = people.iter().map(insert).collect();
    shop.dba()
        .await?
        .batch_execute(&format!(
            "CREATE TABLE public.people (id int PRIMARY KEY, name text, mail varchar(40), region text,
               paid numeric(10,2), level int, born date, note text, secret text);
             GRANT SELECT ON public.people TO lanyard_owner; {rows}"
        ))
        .await?;
    let snapshot = snapshot(&shop).await?;
    for reader in &READERS {
        let entitlement = policy::entitle(&snapshot, &Principal::direct(UserId::parse(reader.id)?))?;
        let access = entitlement.access("public", "people").ok_or("nobody reads the table")?;
        let prepared = shop.warehouse.prepare(&entitlement).await?;
        let lease = Lease { attributes: entitlement.session_attributes.clone(), ..lease(&prepared.bundle)? };
        let login = shop.warehouse.vend(&lease).await?;
        let mut session = shop.warehouse.open(&login, &[("TimeZone", "Pacific/Auckland")]).await?;
        let sql = format!("SELECT * FROM lanyard_secured.{} ORDER BY id", access.view.name);
        let seen = ask(&mut session, &sql).await?;
        shop.warehouse.end(&lease.role).await?;
        let key = key(&shop).await?;
        let meant: Vec<_> = people.iter().filter_map(|person| by_hand(person, reader, &key)).collect();
        assert_eq!(seen, meant, "{}", reader.id);
        // Readers who see nothing, or everything alike, would prove little.
        assert_eq!(seen.is_empty(), reader.id == "nowhere", "{}", reader.id);
    }
    Ok(())
}
