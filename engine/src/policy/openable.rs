//! What a permit may let through: which functions, types and extensions a policy can open to statements, and why not others.
//!
//! The rule behind it: what is let through runs with the rights of the session's own role, and the floor holds under it. So
//! nothing is opened that runs with another's rights, reaches out of the database, or carries statements of its own that
//! nobody would judge or put on record. Must never open anything of PostgreSQL's own schemas: there the built-in lists decide.
//! Called by the judge (through `resolved`) and by `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{Catalog, RelationName, Routine};
use crate::entitlement::Extension;
use crate::names;

/// Extensions that reach other servers, files, pages of storage or other sessions' statements, or run SQL from text.
const CLOSED_EXTENSIONS: [&str; 31] = [
    "adminpack",
    "amcheck",
    "aws_lambda",
    "aws_s3",
    "dblink",
    "file_fdw",
    "http",
    "lo",
    "oracle_fdw",
    "mysql_fdw",
    "tds_fdw",
    "old_snapshot",
    "pageinspect",
    "pg_background",
    "pg_buffercache",
    "pg_cron",
    "pg_freespacemap",
    "pg_net",
    "pg_prewarm",
    "pg_repack",
    "pg_stat_statements",
    "pg_surgery",
    "pg_visibility",
    "pg_walinspect",
    "pgrowlocks",
    "pgstattuple",
    "plpgsql",
    "postgres_fdw",
    "sslinfo",
    "xml2",
    "mongo_fdw",
];

/// Functions of other extensions that run SQL from text, or name relations in it.
const CLOSED_FUNCTIONS: [(&str, &str); 12] = [
    ("tablefunc", "crosstab"),
    ("tablefunc", "crosstab2"),
    ("tablefunc", "crosstab3"),
    ("tablefunc", "crosstab4"),
    ("tablefunc", "crosstab_hash"),
    ("tablefunc", "connectby"),
    ("postgis", "addgeometrycolumn"),
    ("postgis", "dropgeometrycolumn"),
    ("postgis", "dropgeometrytable"),
    ("postgis", "populate_geometry_columns"),
    ("postgis", "updategeometrysrid"),
    ("postgis", "st_estimatedextent"),
];

/// Why nothing of a schema can be opened.
pub(crate) fn closed_schema(schema: &str) -> Option<&'static str> {
    let ours =
        [names::PRIVATE_SCHEMA, names::SECURED_SCHEMA, names::CATALOG_SCHEMA, names::INFORMATION_SCHEMA];
    if schema.starts_with("pg_") || schema == "information_schema" {
        Some("what PostgreSQL itself brings is let through by built-in lists alone")
    } else if ours.contains(&schema) {
        Some("it is Lanyard's own")
    } else {
        None
    }
}

/// Why an extension cannot be opened.
pub(crate) fn closed_extension(name: &str) -> Option<&'static str> {
    let known = CLOSED_EXTENSIONS.contains(&name) || name.starts_with("pl") && name.ends_with('u');
    known.then_some("it reaches outside of the database, into its storage, or runs SQL from text")
}

/// Why a function cannot be opened by its name; `None` for one that the catalog does not know is not said here.
pub(crate) fn closed_function(name: &RelationName, overloads: &[Routine]) -> Option<&'static str> {
    closed_schema(&name.schema).or_else(|| overloads.iter().find_map(|one| closed_routine(&name.name, one)))
}

fn closed_routine(name: &str, routine: &Routine) -> Option<&'static str> {
    if routine.definer {
        return Some("it runs with its owner's rights, not with the session's");
    }
    if routine.names_objects {
        return Some("it reads or prints the names of objects");
    }
    let Some(extension) = &routine.extension else {
        let closed = "it is written in a language that can do more than its caller";
        return (!routine.trusted).then_some(closed);
    };
    let carries = CLOSED_FUNCTIONS.contains(&(extension.as_str(), name));
    let carries = carries.then_some("it runs SQL from text, or names tables in it");
    closed_extension(extension).or(carries)
}

/// May the type be named?
pub(crate) fn closed_type(catalog: &Catalog, name: &RelationName) -> Option<&'static str> {
    let found = catalog.types.get(name);
    closed_schema(&name.schema)
        .or_else(|| found?.row.then_some("it is the row of a table, whose columns it would tell"))
        .or_else(|| found?.names_objects.then_some("it prints the names of objects"))
        .or_else(|| closed_extension(found?.extension.as_deref()?))
}

/// May a function be opened: is it there, and nothing in the way?
pub(crate) fn opens_function(catalog: &Catalog, name: &RelationName) -> bool {
    let known = catalog.functions.get(name);
    known.is_some_and(|overloads| closed_function(name, overloads).is_none())
}

/// The same for a type.
pub(crate) fn opens_type(catalog: &Catalog, name: &RelationName) -> bool {
    catalog.types.contains_key(name) && closed_type(catalog, name).is_none()
}

/// Every installed extension that can be opened, with what can be opened of it.
pub(crate) fn extensions(catalog: &Catalog) -> BTreeMap<String, Arc<Extension>> {
    let open = catalog.extensions.iter().filter(|name| closed_extension(name).is_none());
    open.map(|name| (name.clone(), Arc::new(extension(catalog, name)))).collect()
}

fn extension(catalog: &Catalog, name: &str) -> Extension {
    let belongs = |one: &Routine| one.extension.as_deref() == Some(name);
    let functions: BTreeSet<RelationName> = catalog
        .functions
        .iter()
        .filter(|(_, overloads)| overloads.iter().any(belongs) && overloads.iter().all(belongs))
        .filter(|(function, overloads)| closed_function(function, overloads).is_none())
        .map(|(function, _)| function.clone())
        .collect();
    let elsewhere: BTreeSet<&str> = catalog
        .functions
        .keys()
        .filter(|function| !functions.contains(function))
        .map(|function| function.name.as_str())
        .collect();
    let alone = functions.iter().map(|f| &f.name).filter(|f| !elsewhere.contains(f.as_str()));
    let types = catalog.types.iter().filter(|(found, facts)| {
        facts.extension.as_deref() == Some(name) && closed_type(catalog, found).is_none()
    });
    let operators = catalog
        .operators
        .iter()
        .filter(|(found, of)| of.contains(name) && of.len() == 1 && closed_schema(&found.schema).is_none());
    Extension {
        name: name.to_owned(),
        alone: alone.cloned().collect(),
        types: types.map(|(found, _)| found.clone()).collect(),
        operators: operators.map(|(found, _)| found.clone()).collect(),
        functions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::NamedType;

    fn routine(definer: bool, trusted: bool, extension: Option<&str>) -> Routine {
        Routine { definer, trusted, names_objects: false, extension: extension.map(str::to_owned) }
    }

    fn name(name: &str) -> RelationName {
        let (schema, name) = name.split_once('.').expect("schema.name");
        RelationName::new(schema, name)
    }

    #[test]
    fn nothing_is_opened_that_does_more_than_its_caller_may() {
        for (function, overloads) in [
            ("pg_catalog.query_to_xml", vec![routine(false, true, None)]),
            ("pg_catalog.pg_read_file", vec![routine(false, true, Some("adminpack"))]),
            ("pg_catalog.set_config", vec![routine(false, true, None)]),
            ("information_schema._pg_expandarray", vec![routine(false, true, None)]),
            ("lanyard.unmask", vec![routine(false, true, None)]),
            ("lanyard_catalog.regclass", vec![routine(false, true, None)]),
            ("public.score", vec![routine(true, true, None)]),
            ("public.alias_of_query_to_xml", vec![routine(false, false, None)]),
            ("public.score", vec![routine(false, true, None), routine(true, true, None)]),
            ("public.dblink_exec", vec![routine(false, true, Some("dblink"))]),
            ("public.crosstab", vec![routine(false, false, Some("tablefunc"))]),
            ("public.definer_of_citext", vec![routine(true, false, Some("citext"))]),
        ] {
            assert!(closed_function(&name(function), &overloads).is_some(), "{function} {overloads:?}");
        }
        for (function, overloads) in [
            ("public.score", vec![routine(false, true, None)]),
            ("public.similarity", vec![routine(false, false, Some("pg_trgm"))]),
            ("public.normal_rand", vec![routine(false, false, Some("tablefunc"))]),
        ] {
            assert_eq!(closed_function(&name(function), &overloads), None, "{function}");
        }
        let names = Routine { names_objects: true, ..routine(false, true, None) };
        assert!(closed_function(&name("public.size_of"), &[names]).is_some());
        assert!(!opens_function(&Catalog::default(), &name("public.nowhere")));
        for extension in ["dblink", "plpython3u", "plperlu", "plpgsql", "postgres_fdw", "xml2"] {
            assert!(closed_extension(extension).is_some(), "{extension}");
        }
    }

    #[test]
    fn types_that_tell_names_stay_closed() {
        let mut catalog = Catalog::default();
        let mut add = |n: &str, row, names_objects, extension: Option<&str>| {
            let facts = NamedType { row, names_objects, extension: extension.map(str::to_owned) };
            catalog.types.insert(name(n), facts);
        };
        add("public.customers", true, false, None);
        add("public.domain_over_regclass", false, true, None);
        add("pg_catalog.regclass", false, true, None);
        add("public.lo", false, false, Some("lo"));
        add("public.mood", false, false, None);
        let open: Vec<&RelationName> = catalog.types.keys().filter(|n| opens_type(&catalog, n)).collect();
        assert_eq!(open, [&name("public.mood")]);
        assert!(!opens_type(&catalog, &name("public.nowhere")));
    }

    #[test]
    fn an_extension_is_what_belongs_to_it_alone() {
        let mut catalog =
            Catalog { extensions: ["citext", "dblink"].map(str::to_owned).into(), ..Catalog::default() };
        let mut add = |n: &str, overloads| drop(catalog.functions.insert(name(n), overloads));
        add("public.replace", vec![routine(false, false, Some("citext"))]);
        add("public.translate", vec![routine(false, false, Some("citext"))]);
        add("other.translate", vec![routine(false, true, None)]);
        add("public.strpos", vec![routine(false, false, Some("citext")), routine(false, true, None)]);
        add("public.dblink", vec![routine(false, false, Some("dblink"))]);
        let all = extensions(&catalog);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["citext"]);
        let citext = &all["citext"];
        assert_eq!(citext.functions, [name("public.replace"), name("public.translate")].into());
        assert_eq!(citext.alone, ["replace".to_owned()].into());
    }
}
