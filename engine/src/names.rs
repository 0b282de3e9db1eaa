//! Names of what Lanyard owns inside a warehouse. One list, so that the engine's SQL and the adapter's agree.

/// Private schema: definer functions, leases, session attributes, keys. No session role has USAGE on it.
pub const PRIVATE_SCHEMA: &str = "lanyard";
/// Secured views. Session roles have USAGE, and rights through their bundle.
pub const SECURED_SCHEMA: &str = "lanyard_secured";
/// The virtual `pg_catalog`: filtered views and replacement functions.
pub const CATALOG_SCHEMA: &str = "lanyard_catalog";
/// The virtual `information_schema`.
pub const INFORMATION_SCHEMA: &str = "lanyard_information_schema";

/// `lanyard.session_attribute(role name, key text, value text)`: what open references in views read by `session_user`.
pub const SESSION_ATTRIBUTE_TABLE: &str = "session_attribute";
/// The key in it under which masks find whose session it is; no attribute of a person has this name, for theirs have a dot.
pub const SUBJECT_ATTRIBUTE: &str = "subject";
/// `lanyard.mask_key(id text, inner_pad bytea, outer_pad bytea, version int, …)`: HMAC pads (RFC 2104), 64 bytes each, in their
/// current version.
pub const MASK_KEY_TABLE: &str = "mask_key";
/// `lanyard.generalisation(id text, version int, …)`: the maps of `k_anonymous` masks, in their current version.
pub const GENERALISATION_TABLE: &str = "generalisation";
/// `lanyard.generalised(id text, version int, combination bytea, shown text[])`: what combinations of values become.
pub const GENERALISED_TABLE: &str = "generalised";

/// NOLOGIN owner of the secured views; reads governed base tables.
pub const OWNER_ROLE: &str = "lanyard_owner";
/// NOLOGIN CREATEROLE owner of the definer functions.
pub const DEFINER_ROLE: &str = "lanyard_definer";
/// LOGIN that builds views and bundles; never on a session's path.
pub const BUILDER_ROLE: &str = "lanyard_builder";
/// LOGIN that may only vend and end.
pub const VENDOR_ROLE: &str = "lanyard_vendor";
/// NOLOGIN marker group of every vended role.
pub const SESSION_ROLE: &str = "lanyard_session";
/// What follows a secured view's name in that of the view that COPY FROM fills.
pub const COPY_SUFFIX: &str = "_copy";

/// In front of a schema's name in a session's search_path in the warehouse when the principal sees nothing in that schema.
pub const OUTSIDE_PREFIX: &str = "lanyard_outside_";

/// Bundle roles are this and a fingerprint.
pub const BUNDLE_PREFIX: &str = "lanyard_bundle_";
