"""Other projects' test suites, direct and through Lanyard in the same run: what passes direct and fails proxied.

Writes docs/compatibility.md. Started by `make compat`. A suite that cannot be had is NOT RUN and says why; it counts nowhere.
"""

import argparse
import collections
import json
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import suite_node_postgres  # noqa: E402
import suite_pg_dump  # noqa: E402
import suite_pgbench  # noqa: E402
import suite_psql  # noqa: E402
import suite_psycopg  # noqa: E402
import suite_psycopg2  # noqa: E402
import suite_sqlalchemy  # noqa: E402
from common import Door, Unavailable, run  # noqa: E402

SUITES = [suite_pgbench, suite_psql, suite_pg_dump, suite_psycopg, suite_psycopg2, suite_node_postgres, suite_sqlalchemy]
SUITE_SHARE_MIN = 0.90
WHOLE_SHARE_MIN = 0.99
EXAMPLES = 4


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


@dataclass
class Outcome:
    """One suite's two runs."""

    name: str
    version: str
    direct: dict
    proxied: dict

    @property
    def passed_direct(self):
        return [case for case, (status, _) in self.direct.items() if status == "pass"]

    @property
    def lost(self):
        """Case and message of what passes direct and not proxied. A case that vanished, or is skipped, is lost too."""
        gone = ("fail", "not run through the proxy")
        after = {case: self.proxied.get(case, gone) for case in self.passed_direct}
        return {case: message for case, (status, message) in after.items() if status != "pass"}


def main():
    options = arguments()
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
        server = run([stage.bin / "psql", "-XAtc", "SHOW server_version"], stage.direct)[1].strip()
        outcomes, not_run = [], {}
        for suite in options.suites:
            run_suite(stage, suite, outcomes, not_run)
            # After each, so that a run cut short leaves what it has.
            write(options, report(outcomes, not_run, server), outcomes)
    finally:
        stage_process.stdin.close()
        stage_process.wait(60)
    print(report(outcomes, not_run, server))
    sys.exit(0 if outcomes else 1)


def write(options, text, outcomes):
    (options.work / "outcomes.json").write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    if options.output:
        options.output.write_text(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", type=Path, default=Path("target/debug/compat-stage"))
    parser.add_argument("--work", type=Path, default=Path("target/compat"), help="where sources and environments are kept")
    parser.add_argument("--sources", type=Path, help="folder of sources already there: psycopg/, node-postgres/")
    parser.add_argument("--output", type=Path, help="where the report goes, beside the screen")
    names = [suite.__name__.removeprefix("suite_") for suite in SUITES]
    parser.add_argument("--suites", default=",".join(names), help=f"of {','.join(names)}")
    options = parser.parse_args()
    options.suites = [suite for suite, name in zip(SUITES, names) if name in options.suites.split(",")]
    return options


def run_suite(stage, suite, outcomes, not_run):
    begun = time.monotonic()
    try:
        version = suite.version(stage)
        direct = suite.cases(stage, stage.direct)
        proxied = suite.cases(stage, stage.proxied)
    except (Unavailable, RuntimeError) as why:
        not_run[suite.NAME] = str(why)
        print(f"{suite.NAME}: NOT RUN, {why}", file=sys.stderr)
        return
    outcome = Outcome(suite.NAME, version, direct, proxied)
    outcomes.append(outcome)
    print(
        f"{suite.NAME}: {len(direct)} cases, {len(outcome.passed_direct)} pass direct, {len(outcome.lost)} of them fail proxied "
        f"({time.monotonic() - begun:.0f} s)",
        file=sys.stderr,
    )


def reason(message):
    """What differs, without what differs from case to case."""
    text = message.split("\n")[0]
    text = re.sub(r"^.*?(?:psycopg2?\.\w+\.\w+: |psycopg\.errors\.\w+: |ERROR:  |error: |Error: )", "", text)
    text = re.sub(r"(/[\w.+@-]+){2,}/?", "…", text)
    text = re.sub(r"VENDED_\w+", "VENDED_…", text)
    if text.startswith("prints "):
        return text[:140]
    text = re.sub(r'"[^"]*"', '"…"', text)
    text = re.sub(r"'[^']*'", "'…'", text)
    text = re.sub(r"0x[0-9a-f]+|\d+", "N", text)
    return text.strip()[:140] or "no message"


def report(outcomes, not_run, server):
    lines = [
        "# Compatibility",
        "",
        "Written by `make compat`: other projects' own tests, run directly and through Lanyard in the same run, under a policy with open grants",
        "and `allow workspace kept` (`tests/compat/governance`). Only what passes directly counts.",
        "",
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {machine()}, PostgreSQL {server}.",
        "",
        "| suite | version | passed direct | of these passed proxied | share |",
        "|---|---|---|---|---|",
    ]
    total = kept = 0
    for outcome in outcomes:
        passed, lost = len(outcome.passed_direct), len(outcome.lost)
        total, kept = total + passed, kept + passed - lost
        share = (passed - lost) / passed if passed else 0.0
        mark = "" if share >= SUITE_SHARE_MIN else " **under 90 %**"
        lines.append(f"| {outcome.name} | {outcome.version} | {passed} | {passed - lost} | {share:.1%}{mark} |")
    whole = kept / total if total else 0.0
    mark = "" if whole >= WHOLE_SHARE_MIN else " **under 99 %**"
    lines += [f"| all | | {total} | {kept} | {whole:.1%}{mark} |", ""]
    for name, why in not_run.items():
        lines.append(f"NOT RUN: {name}: {why}.")
    lines += ["", "## What differs", ""]
    for outcome in outcomes:
        lines += differences(outcome)
    return "\n".join(lines).rstrip() + "\n"


def differences(outcome):
    if not outcome.lost:
        return [f"**{outcome.name}**: nothing.", ""]
    groups = collections.defaultdict(list)
    for case, message in outcome.lost.items():
        groups[reason(message)].append(case)
    lines = [f"**{outcome.name}**", "", "| cases | reason | such as |", "|---|---|---|"]
    for why, cases in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        named = ", ".join(f"`{case}`" for case in sorted(cases)[:EXAMPLES])
        lines.append(f"| {len(cases)} | {escaped(why)} | {escaped(named)} |")
    return lines + [""]


def escaped(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def machine():
    try:
        info = Path("/proc/cpuinfo").read_text()
        model = re.search(r"^model name\s*: (.*)$", info, re.M).group(1)
        return f"{model}, {info.count('processor')} cores"
    except (OSError, AttributeError):
        return platform.platform()


if __name__ == "__main__":
    main()
