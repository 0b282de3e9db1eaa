"""psql scripts (psql.sql), one case at a time: a case passes directly when it ends as it should, and proxied when it prints the
same. Widths of columns, our ruling's id and our hints beside PostgreSQL's own errors are not compared, nor what the role
that asks is called: each door has its own."""

import re
from pathlib import Path

from common import run

NAME = "psql"
FILE = Path(__file__).with_name("psql.sql")


def version(stage):
    return run([stage.bin / "psql", "--version"], stage.direct)[1].strip()


def scripts():
    """Name and text of each case."""
    for part in FILE.read_text().split("-- case: ")[1:]:
        name, _, text = part.partition("\n")
        yield name.strip(), text


def cases(stage, door):
    results = {}
    for name, text in scripts():
        command = [stage.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=default"]
        code, out, err = run(command, door, seconds=60, stdin=text)
        # Warnings and errors count; so does every row.
        printed = compared(out + err, "compat_direct" if door is stage.direct else r"LANYARD_VENDED_\w+")
        if door is stage.direct:
            stage.kept[("psql", name)] = (code, printed)
            results[name] = ("pass", "") if code == 0 else ("fail", err)
        else:
            expected = stage.kept[("psql", name)]
            results[name] = ("pass", "") if (code, printed) == expected else ("fail", difference(expected[1], printed))
    return results


def compared(printed, role):
    """Lines without what only sets them out, and without the lines that say more than PostgreSQL does."""
    printed = re.sub(rf"\b{role}\b", "its_own_role", printed)
    lines = [re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", line)).strip() for line in printed.splitlines()]
    return [line for line in lines if line and not re.match(r"DETAIL: ruling|HINT: ", line)]


def difference(expected, printed):
    """The first of ours that differs, errors before all."""
    strange = [line for line in printed if line not in expected]
    missing = [line for line in expected if line not in printed]
    errors = [line for line in strange if "ERROR:" in line]
    if errors:
        return errors[0]
    return f"prints {(strange or ['less'])[0]!r}, directly {(missing or ['less'])[0]!r}"
