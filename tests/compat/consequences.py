"""The differences that policy wants: a reviewed list, one sentence each. What it does not name counts as a defect.

Must never match more than the words of our own refusal, or cases by name, so that no defect can hide here. Called by `report.py`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Consequence:
    """Why a difference is wanted, and how it is known: by what the failed case was told, or as one of these cases (suite, pattern
    of the whole name), where a suite swallows what it was told."""

    why: str
    told: str | None = None
    cases: tuple[tuple[str, str], ...] = ()

    def covers(self, suite, case, message):
        by_words = self.told is not None and re.search(self.told, message) is not None
        return by_words or any(suite == name and re.fullmatch(pattern, case) for name, pattern in self.cases)


PSQL, PSYCOPG, PSYCOPG2, NODE = "psql", "psycopg 3", "psycopg2", "node-postgres"

CONSEQUENCES = (
    Consequence(
        "A session has one schema of its own; another would be a name that no policy speaks of.",
        told="schemas cannot be made here",
    ),
    Consequence(
        "A statement is judged in the bytes that the warehouse will read: the client's encoding stays UTF-8.",
        told='setting "client_encoding" (must stay as it is|may not be changed here)',
        cases=(
            (PSYCOPG, r"tests/pq/test_misc\.py::test_error_message_encoding"),
            (PSYCOPG, r"tests/pq/test_pgconn\.py::test_encoding"),
        ),
    ),
    Consequence(
        "Large objects belong to the database, not to a table: no policy could say who reads them.",
        told="function calls outside SQL are not supported",
    ),
    Consequence(
        "The body of a function or DO is SQL that runs later, under names nobody judged.",
        told="functions cannot be made here",
        cases=(
            # They raise an error or a notice of their own making in a DO.
            (PSYCOPG, r"tests/pq/test_pgconn\.py::test_notice(_error|_nohandler)?"),
            (PSYCOPG, r"tests/test_errors\.py::test_unknown_sqlstate"),
            (PSYCOPG, r"tests/test_errors\.py::test_error_encoding\[utf8\]"),
            (NODE, r"client/notice-tests\.js"),
        ),
    ),
    Consequence(
        "Backends are ended by the governor and by cancel requests; a process number from a statement could be anybody's.",
        told='function "pg_(terminate|cancel)_backend" is not on the list of functions that may be called',
        cases=(
            # They look at the connection afterwards.
            (PSYCOPG, r"tests/pq/test_pgconn\.py::test_reset(_async)?"),
            (PSYCOPG, r"tests/test_connection(_async)?\.py::test_broken_connection(\[asyncio\])?"),
            # They skip themselves when refused.
            (PSYCOPG2, r"tests/test_connection\.py::ConnectionTests::test_cleanup_on_badconn_close"),
            (PSYCOPG2, r"tests/test_cursor\.py::CursorTests::test_external_close_(a?)sync"),
            # They ask for it in a query of which they look at nothing, and from template1.
            (NODE, r"connection-pool/error-tests\.js"),
            (NODE, r"gh-issues/130-tests\.js"),
        ),
    ),
    Consequence(
        "Roles and passwords are the warehouse's own; a session's role is made for it and cannot be changed.",
        told='setting "password_encryption" may not be changed here',
        cases=((PSYCOPG, r"tests/pq/test_pgconn\.py::test_change_password(_error)?"),),
    ),
    Consequence(
        "Names that begin with pg_ are the system's: a table called so would be taken for a catalog.",
        told='the name \\\\?"pg_\\w+\\\\?" is reserved',
    ),
    Consequence(
        "A function off the list is refused by name, whether there is one or not.",
        told='function "nofunction" is not on the list of functions that may be called',
    ),
    Consequence(
        "Memory and parallel workers are the warehouse's to give: no statement asks for more.",
        told='setting "work_mem" may not be changed here',
    ),
    Consequence(
        "What a view reads may be hidden: its columns are shown, not its text.",
        cases=((PSQL, "view definition"),),
    ),
    Consequence(
        "What runs reads a secured view: EXPLAIN shows the plan of that, and a violated constraint no row of the table.",
        cases=((PSQL, "explain"), (PSQL, "constraint errors")),
    ),
    Consequence(
        "A session's own relations are in its workspace, wherever its search path looks.",
        cases=(
            (PSQL, "table of one's own"),
            (PSQL, "search path"),
            # Types of one's own print with their schema.
            (PSYCOPG, r"tests/types/test_composite\.py::test_(literal_invalid_name|dump_builtin_empty_range)\[.*\]"),
            (PSYCOPG2, r"tests/test_types_extras\.py::AdaptTypeTestCase::test_cast_composite"),
        ),
    ),
    Consequence(
        "Functions come with a range type; a session makes none.",
        told="range types cannot be made here",
    ),
    Consequence(
        "What runs is not what was written: the catalog shows prepared statements by name, without their text.",
        cases=((PSYCOPG, r"tests/test_prepared(_async)?\.py::test_evict_lru(_deallocate)?(\[asyncio\])?"),),
    ),
    Consequence(
        "The session is a role made for it, behind a proxy: neither is called as the client logged in or counts.",
        cases=(
            (PSYCOPG2, r"tests/test_connection\.py::TestConnectionInfo::test_(user|backend_pid)"),
            (NODE, r"client/appname-tests\.js"),
        ),
    ),
    Consequence(
        "Statements are read as the warehouse will read them: standard_conforming_strings stays on.",
        told='startup option "standard_conforming_strings" may not be set to this here',
    ),
    Consequence(
        "Two-phase commit would leave work behind that outlives its session.",
        told="two-phase commit is not supported",
    ),
    Consequence(
        "Extensions are a DBA's to create.",
        told="extensions cannot be made here",
    ),
    Consequence(
        "A channel that no policy names would carry what a filter or mask keeps back.",
        told='channel .* is not granted|a channel is named by a literal here',
        cases=((PSYCOPG, r"tests/pq/test_pgconn\.py::test_notify"),),
    ),
)


def consequence(suite, case, message):
    """The sentence for this difference, or None."""
    return next((one.why for one in CONSEQUENCES if one.covers(suite, case, message)), None)
