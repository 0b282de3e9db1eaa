//! Words of SQL that a column's bare name could be mistaken for.
//!
//! Must never miss a word that sqlparser reads as something else; `every_keyword_can_be_a_column` tries them all. Called by the
//! reader and the printer of predicates.

/// Words that start or join something in SQL's expressions: a column of that name is quoted.
const SQL_WORDS: &str = "\
    all and any array as asc at between bigint binary boolean both case cast ceil char character coalesce collate \
    convert cross current_catalog current_date current_role current_time current_timestamp current_user date \
    datetime dec decimal default desc distinct div else end escape except exists extract false fetch float floor \
    for from full grant group grouping having ilike in inner int integer intersect interval into is isnull join \
    lambda lateral left like limit listagg localtime localtimestamp map match member natural next not notnull null \
    nullif numeric offset on operator or order outer overlaps overlay position precision prior real regexp right \
    rlike row select session_user setof similar smallint some struct substr substring table then time timestamp \
    timestamptz to treat trim true try_cast try_convert union unique user using values varchar when where window \
    with within xor";

/// Words PostgreSQL reserves (Appendix C): bare, they are no column, whatever sqlparser makes of them.
const RESERVED_WORDS: &str = "\
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create \
    current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc \
    distinct do else end except false fetch for foreign from grant group having in initially intersect into is \
    lateral leading like limit localtime localtimestamp not null offset on only or order placing primary \
    references returning select session_user some symmetric system_user table then to trailing true union unique \
    user using variadic when where window with";

/// Can a column of this name stand bare in a predicate?
pub(crate) fn is_plain_column(name: &str) -> bool {
    !is_reserved(name) && SQL_WORDS.split(' ').all(|w| w != name)
}

/// Does PostgreSQL reserve the word?
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED_WORDS.split(' ').any(|w| w == word)
}
