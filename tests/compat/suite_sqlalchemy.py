"""SQLAlchemy's dialect suite over psycopg2, from its source distribution. What asks for a second schema is skipped in both runs."""

import pytest_runs
from common import sdist, venv

NAME = "SQLAlchemy"
VERSION = "2.0.44"


def version(stage):
    return f"SQLAlchemy {VERSION} over psycopg2"


def cases(stage, door):
    folder = sdist(stage.work, "sqlalchemy", VERSION)
    (folder / "test.cfg").write_text("[sqla_testing]\nrequirement_cls = sqlalchemy_requirements:OneSchema\n")
    python = venv(stage.work, "sqlalchemy", [f"sqlalchemy=={VERSION}", "psycopg2-binary", "pytest"])
    arguments = ["--maxfail=100000", "--dburi", door.url("postgresql+psycopg2"), "test/dialect/test_suite.py"]
    return pytest_runs.cases(python, arguments, door, folder, stage.work / f"sqlalchemy-{door.database}.jsonl")
