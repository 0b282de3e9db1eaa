"""SQLAlchemy's dialect suite over psycopg2, from its source distribution."""

from common import junit, last_line, run, sdist, venv

NAME = "SQLAlchemy"
VERSION = "2.0.44"


def version(stage):
    return f"SQLAlchemy {VERSION} over psycopg2"


def cases(stage, door):
    folder = sdist(stage.work, "sqlalchemy", VERSION)
    python = venv(stage.work, "sqlalchemy", [f"sqlalchemy=={VERSION}", "psycopg2-binary", "pytest"])
    out = stage.work / f"sqlalchemy-{door.port}.xml"
    out.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", out, "-o", "junit_family=xunit1"]
    command += ["--maxfail=100000", "--dburi", door.url("postgresql+psycopg2"), "test/dialect/test_suite.py"]
    code, printed, err = run(command, door, cwd=folder)
    return junit(out, f"{code} {last_line(printed)} {last_line(err)}")
