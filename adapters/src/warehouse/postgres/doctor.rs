//! `lanyard doctor`: what in a database lets a session of Lanyard's see or do more than its secured views allow.
//!
//! Must never change anything: it lists, each with the SQL that would mend it. Called by the command line.

use std::fmt;

use tokio_postgres::Client;

use super::bundles::{UpsertHole, probe_upsert_hole};
use super::client::{self, within};
use super::endpoint::{Endpoint, Login};
use super::error::WarehouseError;
use super::exposure::EXPOSED;
use super::stream::Connector;

const DOING: &str = "examining the warehouse";
/// Longest examination, in seconds.
const DOCTOR_SECONDS_MAX: u64 = 120;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Governed data is open.
    Danger,
    /// A session can do, or learn, what it should not.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Danger => "danger",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What, with its name.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// SQL that mends it; a comment where SQL cannot.
    pub fix: String,
}

/// A query that answers `(what, fix)`, and why each of its rows matters. `{governed}` is a condition on `c` (pg_class):
/// the owner role may read it; before a bootstrap, every table is.
struct Check {
    severity: Severity,
    why: &'static str,
    sql: &'static str,
}

const GOVERNED: &str = "(n.nspname !~ '^(pg_|lanyard$|lanyard_)' AND n.nspname <> 'information_schema'
    AND coalesce(has_table_privilege(to_regrole('lanyard_owner')::oid, c.oid, 'SELECT'), true))";

const CHECKS: &[Check] = &[
    Check {
        severity: Severity::Danger,
        why: "every role can read it, vended roles too; Lanyard does not serve such a table",
        sql: "SELECT format('PUBLIC can read %s %I.%I', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                       ELSE 'table' END, n.nspname, c.relname),
                format('REVOKE SELECT%s ON %I.%I FROM PUBLIC;',
                  CASE WHEN has_table_privilege('public', c.oid, 'SELECT') THEN '' ELSE
                    (SELECT format(' (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                       AND has_column_privilege('public', c.oid, a.attnum, 'SELECT')) END, n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {governed}
                AND has_any_column_privilege('public', c.oid, 'SELECT') ORDER BY 1",
    },
    Check {
        severity: Severity::Danger,
        why: "it reads with its owner's rights, so every role can read the table through it",
        sql: "WITH RECURSIVE {exposed}
              SELECT format('PUBLIC can read %I.%I through %s', n.nspname, c.relname, e.root::regclass),
                     format('REVOKE SELECT ON %s FROM PUBLIC;', e.root::regclass)
              FROM exposed e JOIN pg_class c ON c.oid = e.relation JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE e.root <> e.relation AND {governed} ORDER BY 1",
    },
    Check {
        severity: Severity::Danger,
        why: "every role can write it, round the secured views",
        sql: "SELECT format('PUBLIC can write %I.%I', n.nspname, c.relname),
                     format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %I.%I FROM PUBLIC;',
                            n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'f') AND {governed}
                AND (has_table_privilege('public', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
                  OR has_any_column_privilege('public', c.oid, 'INSERT, UPDATE, REFERENCES')) ORDER BY 1",
    },
    Check {
        severity: Severity::Danger,
        why: "it runs with its owner's rights for every role, and what it reads is not policed",
        sql: "SELECT format('PUBLIC may execute SECURITY DEFINER function %s of %I', p.oid::regprocedure, r.rolname),
                     format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC;', p.oid::regprocedure)
              FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
              WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                AND n.nspname !~ '^lanyard(_|$)'
                AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1",
    },
    Check {
        severity: Severity::Danger,
        why: "it opens connections from inside the server, which pg_hba.conf may trust",
        sql: "SELECT format('PUBLIC may execute %s of extension dblink', p.oid::regprocedure),
                     format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC;', p.oid::regprocedure)
              FROM pg_proc p
              JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
              JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
              WHERE x.extname = 'dblink' AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1",
    },
    Check {
        severity: Severity::Warning,
        why: "foreign tables on it, or dblink by its name, reach data elsewhere",
        sql: "SELECT format('foreign server %I is open to PUBLIC', s.srvname),
                     concat_ws(E'\\n',
                       CASE WHEN has_server_privilege('public', s.oid, 'USAGE')
                         THEN format('REVOKE USAGE ON FOREIGN SERVER %I FROM PUBLIC;', s.srvname) END,
                       CASE WHEN u.oid IS NOT NULL THEN format('DROP USER MAPPING FOR PUBLIC SERVER %I;', s.srvname) END)
              FROM pg_foreign_server s
              LEFT JOIN pg_user_mappings m ON m.srvid = s.oid AND m.umuser = 0
              LEFT JOIN LATERAL (SELECT m.umid) AS u(oid) ON m.umid IS NOT NULL
              WHERE has_server_privilege('public', s.oid, 'USAGE') OR m.umid IS NOT NULL ORDER BY 1",
    },
    Check {
        severity: Severity::Warning,
        why: "it counts the statements of every role",
        sql: "SELECT format('PUBLIC can read %I.%I', n.nspname, c.relname),
                     format('REVOKE SELECT ON %I.%I FROM PUBLIC;', n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relname IN ('pg_stat_statements', 'pg_stat_statements_info') AND n.nspname <> 'pg_catalog'
                AND c.relkind = 'v' AND has_table_privilege('public', c.oid, 'SELECT') ORDER BY 1",
    },
    Check {
        severity: Severity::Warning,
        why: "objects made there can capture the names other sessions use",
        sql: "SELECT format('PUBLIC can create in schema %I', n.nspname),
                     format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC;', n.nspname)
              FROM pg_namespace n
              WHERE n.nspname !~ '^pg_(temp|toast)' AND has_schema_privilege('public', n.oid, 'CREATE') ORDER BY 1",
    },
    Check {
        severity: Severity::Note,
        why: "sessions may make temporary tables whether policy allows a workspace or not",
        sql: "SELECT format('PUBLIC can make temporary tables in database %I', current_database()),
                     format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC;', current_database())
              WHERE has_database_privilege('public', current_database(), 'TEMPORARY')",
    },
    Check {
        severity: Severity::Note,
        why: "who logs in as the owner is not policed, and can grant the table to anybody",
        sql: "SELECT format('role %I owns %s governed relation(s) and can log in', r.rolname, count(*)),
                     format('-- CREATE ROLE data_owner NOLOGIN; then for each: ALTER TABLE %s OWNER TO data_owner;',
                            min(c.oid::regclass::text))
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
              WHERE c.relkind IN ('r', 'p', 'm', 'f') AND {governed} AND r.rolcanlogin AND NOT r.rolsuper
              GROUP BY r.rolname ORDER BY 1",
    },
    Check {
        severity: Severity::Note,
        why: "the owner role would silently see part of it; Lanyard refuses it until a policy names the owner",
        sql: "SELECT format('table %I.%I has row security of its own', n.nspname, c.relname),
                     format('CREATE POLICY lanyard_reads ON %I.%I FOR SELECT TO lanyard_owner USING (true);',
                            n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relrowsecurity AND {governed} ORDER BY 1",
    },
    Check {
        severity: Severity::Warning,
        why: "masks that encrypt (reversible, fpe, token) show NULL without its AES",
        sql: "SELECT 'extension pgcrypto is not used by Lanyard''s masks',
                     CASE WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgcrypto')
                       THEN '-- run lanyard bootstrap again' ELSE '-- install PostgreSQL''s contrib package, then run lanyard bootstrap again' END
              FROM pg_proc p
              WHERE p.oid = to_regprocedure('lanyard.mask_aes_ecb(bytea, bytea)')
                AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_depend x ON x.classid = d.refclassid AND x.objid = d.refobjid
                                  AND x.deptype = 'e'
                                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass)",
    },
    Check {
        severity: Severity::Danger,
        why: "only Lanyard's builder may act as the owner, and nobody as the definer",
        sql: "SELECT format('role %I is a member of %I', m.rolname, r.rolname),
                     format('REVOKE %I FROM %I;', r.rolname, m.rolname)
              FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
              WHERE (r.rolname, m.rolname) NOT IN (('lanyard_owner', 'lanyard_builder'))
                AND r.rolname IN ('lanyard_owner', 'lanyard_definer', 'lanyard_builder', 'lanyard_vendor')
                AND NOT m.rolsuper ORDER BY 1",
    },
    Check {
        severity: Severity::Warning,
        why: "large objects then have no owners, and every role reads all of them",
        sql: "SELECT 'lo_compat_privileges is on', 'ALTER SYSTEM SET lo_compat_privileges = off; SELECT pg_reload_conf();'
              WHERE current_setting('lo_compat_privileges')::bool AND EXISTS (SELECT FROM pg_largeobject_metadata)",
    },
];

const TRUSTING_LINES: Check = Check {
    severity: Severity::Warning,
    why: "who reaches the server there is taken for any role by its name alone, or shows its password to the network",
    sql: "SELECT format('line %s of pg_hba.conf lets %s log in with \"%s\"', line_number,
                        array_to_string(user_name, ', '), auth_method),
                 format('-- make line %s say scram-sha-256, then: SELECT pg_reload_conf();', line_number)
          FROM pg_hba_file_rules
          WHERE auth_method IN ('trust', 'password', 'md5', 'ident') AND type <> 'local'
             OR auth_method IN ('trust', 'password') ORDER BY line_number",
};

/// Examines a database, with a superuser's or the builder's login. Worst first.
///
/// # Errors
/// No connection, or the server refuses.
pub async fn doctor(endpoint: &Endpoint, login: &Login) -> Result<Vec<Finding>, WarehouseError> {
    let connector = Connector::new(endpoint.clone())?;
    let mut client = client::connect(&connector, login, "lanyard doctor").await?;
    within(DOCTOR_SECONDS_MAX, DOING, async {
        let mut findings = Vec::new();
        for check in CHECKS {
            findings.extend(run(&client, check).await?);
        }
        findings.extend(trusting_lines(&client).await?);
        findings.extend(upsert_hole(&mut client).await?);
        findings.sort_by_key(|f| f.severity);
        Ok(findings)
    })
    .await
}

/// The statements of the findings that take rights from PUBLIC.
pub(super) async fn revocations(client: &Client) -> Result<Vec<String>, WarehouseError> {
    let mut statements = Vec::new();
    for check in CHECKS.iter().filter(|check| check.severity != Severity::Note) {
        let findings = run(client, check).await?;
        let lines = findings.iter().flat_map(|finding| finding.fix.lines());
        let takes = |line: &&str| line.starts_with("REVOKE ") && line.ends_with(" FROM PUBLIC;");
        statements.extend(lines.filter(takes).map(str::to_owned));
    }
    statements.sort();
    statements.dedup();
    Ok(statements)
}

async fn run(client: &Client, check: &Check) -> Result<Vec<Finding>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let sql = check.sql.replace("{governed}", GOVERNED).replace("{exposed}", EXPOSED);
    client
        .query_typed(&sql, &[])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| {
            Ok(Finding {
                severity: check.severity,
                what: row.try_get(0)?,
                why: check.why.to_owned(),
                fix: row.try_get(1)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

/// Lines of pg_hba.conf that ask for no proof, or for less than SCRAM. Only a superuser may read them.
async fn trusting_lines(client: &Client) -> Result<Vec<Finding>, WarehouseError> {
    let may = "SELECT has_table_privilege('pg_hba_file_rules', 'SELECT')
                  AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE')";
    let failed = |e| WarehouseError::from_client(e, DOING);
    let row = client.query_typed_one(may, &[]).await.map_err(failed)?;
    if !row.try_get::<_, bool>(0).map_err(failed)? {
        return Ok(Vec::new());
    }
    run(client, &TRUSTING_LINES).await
}

/// Only where Lanyard's roles are there to try it with.
async fn upsert_hole(client: &mut Client) -> Result<Option<Finding>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let row = client
        .query_typed_one(
            "SELECT to_regnamespace('lanyard_secured') IS NOT NULL, current_setting('server_version')",
            &[],
        )
        .await
        .map_err(failed)?;
    if !row.try_get::<_, bool>(0).map_err(failed)? {
        return Ok(None);
    }
    let version: String = row.try_get(1).map_err(failed)?;
    Ok(match probe_upsert_hole(client).await? {
        UpsertHole::Closed => None,
        UpsertHole::Open => Some(Finding {
            severity: Severity::Warning,
            what: format!(
                "PostgreSQL {version} lets INSERT ... ON CONFLICT DO UPDATE through a view reach hidden rows"
            ),
            why: "until it is updated, Lanyard vends filtered views without UPDATE".to_owned(),
            fix: "-- update the server to its latest minor version".to_owned(),
        }),
    })
}
