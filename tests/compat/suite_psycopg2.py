"""psycopg2's own tests, from its source distribution, over the binary package of the same version."""

import pytest_runs
from common import sdist, venv

NAME = "psycopg2"
VERSION = "2.9.11"


def version(stage):
    return f"psycopg2 {VERSION}"


def cases(stage, door):
    folder = sdist(stage.work, "psycopg2", VERSION)
    python = venv(stage.work, "psycopg2", [f"psycopg2-binary=={VERSION}", "pytest"])
    environment = {
        "PSYCOPG2_TESTDB": door.database,
        "PSYCOPG2_TESTDB_HOST": door.host,
        "PSYCOPG2_TESTDB_PORT": str(door.port),
        "PSYCOPG2_TESTDB_USER": door.user,
        "PSYCOPG2_TESTDB_PASSWORD": door.password,
        "PSYCOPG2_TEST_FAST": "1",
        "PSYCOPG2_TEST_GREEN": "",
    }
    # Alone in a folder, so that Python does not take the unbuilt package beside them.
    tests = stage.work / "psycopg2-tests"
    tests.mkdir(exist_ok=True)
    if not (tests / "tests").exists():
        (tests / "tests").symlink_to(folder / "tests")
    notes = stage.work / f"psycopg2-{door.database}.jsonl"
    return pytest_runs.cases(python, ["tests"], door, tests, notes, environment)
