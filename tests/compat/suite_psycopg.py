"""psycopg 3's own tests, from Debian's source package or from a folder given (--sources), over the psycopg of the same version."""

import re

import pytest_runs
from common import debian_source, venv

NAME = "psycopg 3"
# What measures time, checks types or starts programs says nothing of a server.
LEFT_OUT = "not slow and not subprocess and not mypy and not dns and not timing and not flakey and not crdb"


def sources(stage):
    given = stage.sources / "psycopg" if stage.sources else None
    return given if given and given.is_dir() else debian_source(stage.work, "psycopg3")


def package_version(stage):
    text = (sources(stage) / "psycopg" / "pyproject.toml")
    text = text if text.exists() else sources(stage) / "psycopg" / "setup.cfg"
    found = re.search(r'^version = "?([0-9.]+)', text.read_text(), re.M) or re.search(r"psycopg-c == ([0-9.]+)", text.read_text())
    return found.group(1)


def version(stage):
    return f"psycopg {package_version(stage)}"


def cases(stage, door):
    number = package_version(stage)
    python = venv(stage.work, "psycopg", [f"psycopg[binary]=={number}", "psycopg-pool", "pytest", "anyio", "typing-extensions"])
    dsn = f"host={door.host} port={door.port} user={door.user} password={door.password} dbname={door.database} sslmode=disable"
    arguments = ["-m", LEFT_OUT, "tests", "--ignore=tests/pool", "--ignore=tests/crdb"]
    notes = stage.work / f"psycopg-{door.database}.jsonl"
    return pytest_runs.cases(python, arguments, door, sources(stage), notes, {"PSYCOPG_TEST_DSN": dsn})
