"""pg_dump of what the session sees, in its formats."""

from common import last_line, run

NAME = "pg_dump"
WAYS = {
    "schema only": ["--schema-only"],
    "data only": ["--data-only"],
    "one table": ["-t", "public.product"],
    "one table as inserts": ["-t", "public.sale", "--inserts"],
    "custom format": ["-Fc"],
    "whole": [],
}


def version(stage):
    return run([stage.bin / "pg_dump", "--version"], stage.direct)[1].strip()


def cases(stage, door):
    results = {}
    for name, flags in WAYS.items():
        code, _, err = run([stage.bin / "pg_dump", *flags], door, seconds=180)
        results[name] = ("pass", "") if code == 0 else ("fail", last_line(err))
    return results
