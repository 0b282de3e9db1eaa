"""Other projects' test suites, direct and through Lanyard in the same run: what passes direct and fails proxied.

Started by `make compat`. After each suite its outcome takes its place in outcomes.json and docs/compatibility.md is written from all of
them (`report.py`), so that suites run alone, and a run cut short leaves what it has. A suite that cannot be had counts nowhere.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report  # noqa: E402
import suite_node_postgres  # noqa: E402
import suite_pg_dump  # noqa: E402
import suite_pgbench  # noqa: E402
import suite_psql  # noqa: E402
import suite_psycopg  # noqa: E402
import suite_psycopg2  # noqa: E402
import suite_sqlalchemy  # noqa: E402
from common import Door, Unavailable, run  # noqa: E402

SUITES = [suite_pgbench, suite_psql, suite_pg_dump, suite_psycopg, suite_psycopg2, suite_node_postgres, suite_sqlalchemy]
OUTCOMES = Path(__file__).with_name("outcomes.json")
MESSAGE_CHARACTERS_MAX = 300


@dataclass
class Stage:
    """What suites are run on."""

    direct: Door
    proxied: Door
    bin: Path
    work: Path
    sources: Path | None
    # What a direct run left for the proxied one to be compared with.
    kept: dict = field(default_factory=dict)


def main():
    options = arguments()
    if options.suites:
        run_suites(options)
    text = report.document([suite.NAME for suite in SUITES], json.loads(OUTCOMES.read_text()))
    options.output.write_text(text)
    print(text)


def run_suites(options):
    options.work.mkdir(parents=True, exist_ok=True)
    stage_process = subprocess.Popen([options.stage], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = stage_process.stdout.readline()
        if not line:
            sys.exit("compat: the stage did not start")
        told = json.loads(line)
        stage = Stage(
            direct=Door(**told["direct"]),
            proxied=Door(**told["proxied"]),
            bin=Path(told["bin"]),
            work=options.work.resolve(),
            sources=options.sources.resolve() if options.sources else None,
        )
        for suite in options.suites:
            keep(suite.NAME, outcome(stage, suite))
    finally:
        stage_process.stdin.close()
        stage_process.wait(60)


def outcome(stage, suite):
    """One suite's two runs, as they are kept."""
    begun = time.monotonic()
    measured = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    try:
        version = suite.version(stage)
        direct = suite.cases(stage, stage.direct)
        if all(status != "pass" for status, _ in direct.values()):
            raise Unavailable("nothing of it passes directly here")
        proxied = suite.cases(stage, stage.proxied)
    except (Unavailable, RuntimeError) as why:
        print(f"{suite.NAME}: NOT RUN, {why}", file=sys.stderr)
        return {"not_run": str(why)}
    passed = [case for case, (status, _) in direct.items() if status == "pass"]
    lost = lost_cases(passed, proxied)
    seconds = time.monotonic() - begun
    print(f"{suite.NAME}: {len(direct)} cases, {len(passed)} pass direct, {len(lost)} of them fail proxied ({seconds:.0f} s)", file=sys.stderr)
    server = run([stage.bin / "psql", "-XAtc", "SHOW server_version"], stage.direct)[1].strip()
    return {
        "version": version,
        "measured": measured,
        "where": f"{machine()}, PostgreSQL {server}",
        "cases": len(direct),
        "passed_direct": len(passed),
        "lost": lost,
    }


def lost_cases(passed, proxied):
    """Case and message of what passes direct and not proxied. A case that vanished, or is skipped, is lost too."""
    lost = {}
    for case in passed:
        status, message = proxied.get(case, ("fail", "not run through the proxy"))
        if status != "pass":
            # The rest differs from run to run.
            told = message.strip().split("\n")[0][:MESSAGE_CHARACTERS_MAX]
            lost[case] = told if status == "fail" else f"skipped: {told}"
    return lost


def keep(name, outcome):
    """Puts one suite's outcome in its place. One that was not run takes nothing away that was measured before."""
    outcomes = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    if "not_run" not in outcome or "measured" not in outcomes.get(name, {}):
        outcomes[name] = outcome
    OUTCOMES.write_text(json.dumps(outcomes, indent=1, sort_keys=True) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", type=Path, default=Path("target/debug/compat-stage"))
    parser.add_argument("--work", type=Path, default=Path("target/compat"), help="where sources and environments are kept")
    parser.add_argument("--sources", type=Path, help="folder of sources already there: psycopg/, node-postgres/")
    parser.add_argument("--output", type=Path, default=Path("docs/compatibility.md"))
    names = [suite.__name__.removeprefix("suite_") for suite in SUITES]
    parser.add_argument("--suites", default=",".join(names), help=f"of {','.join(names)}; none of them: the document alone")
    options = parser.parse_args()
    wanted = [name.replace("-", "_") for name in options.suites.split(",") if name]
    if unknown := set(wanted) - set(names):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    options.suites = [suite for suite, name in zip(SUITES, names) if name in wanted]
    return options


def machine():
    try:
        info = Path("/proc/cpuinfo").read_text()
        model = re.search(r"^model name\s*: (.*)$", info, re.M).group(1)
        return f"{model}, {info.count('processor')} cores"
    except (OSError, AttributeError):
        return platform.platform()


if __name__ == "__main__":
    main()
