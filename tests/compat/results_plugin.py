"""A pytest plugin: notes what begins and how it ends, a line of JSON each, so that a run that hung or died can go on behind it.

Must never note as passed what was not run to its end. Loaded by `pytest_runs.py`.
"""

import json
import os

import pytest

FILE = os.environ["COMPAT_RESULTS"]
MESSAGE_CHARACTERS_MAX = 1000
reports = {}


def note(line):
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Leaves out what an earlier part of the run has begun."""
    with open(FILE, encoding="utf-8") as file:
        begun = {json.loads(line).get("begun") for line in file}
    items[:] = [item for item in items if item.nodeid not in begun]
    note({"left": len(items)})


def pytest_runtest_logstart(nodeid):
    reports[nodeid] = []
    note({"begun": nodeid})


def pytest_runtest_logreport(report):
    reports[report.nodeid].append(report)


def pytest_runtest_logfinish(nodeid):
    status, message = verdict(reports.pop(nodeid))
    note({"ended": nodeid, "status": status, "message": message[:MESSAGE_CHARACTERS_MAX]})


def verdict(phases):
    """A failure in any phase before all; passed only what was called."""
    for report in phases:
        if report.failed:
            return "fail", raised(report)
    if any(report.skipped for report in phases):
        return "skip", ""
    return ("pass", "") if any(report.when == "call" for report in phases) else ("fail", "was not called")


def raised(report):
    """The words of the exception that failed it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else report.longreprtext.strip()[-MESSAGE_CHARACTERS_MAX:]
