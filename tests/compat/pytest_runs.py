"""A pytest run to its end, whatever its tests do: one that hangs or kills the process has failed, and the run goes on behind it.

Must never count as passed what did not end. Called by the suites that pytest runs.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

TEST_SECONDS_MAX = 60
# Collecting, and whatever comes behind the last test.
BETWEEN_SECONDS_MAX = 300
STARTS_MAX = 60


def cases(python, arguments, door, cwd, notes, environment=None):
    """Results by test. `notes` is where the plugin writes."""
    notes.write_text("")
    notes_before = -1
    for _ in range(STARTS_MAX):
        code, output = run_once(python, arguments, door, cwd, notes, environment or {})
        results = read(notes)
        if code in (0, 1, 5):
            return results
        if len(results) == notes_before:
            raise RuntimeError(f"pytest gets no further ({code}): {output[-300:].strip()}")
        notes_before = len(results)
    raise RuntimeError(f"pytest had to be started more than {STARTS_MAX} times")


def run_once(python, arguments, door, cwd, notes, environment):
    """Exit code and output of one start; killed, with all its children, once nothing has been noted for too long."""
    here = Path(__file__).parent
    command = [python, "-m", "pytest", "-q", "-o", f"cache_dir={notes}.cache", "-p", "results_plugin", *arguments]
    environment = door.environment() | environment | {"COMPAT_RESULTS": str(notes), "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1"}
    printed = notes.with_suffix(".log")
    with open(printed, "w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not stuck(notes):
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, printed.read_text(errors="replace")


def stuck(notes):
    silent = time.time() - notes.stat().st_mtime
    if silent < TEST_SECONDS_MAX:
        return False
    last = notes.read_text().rstrip().rpartition("\n")[2]
    return silent > (TEST_SECONDS_MAX if '"begun"' in last else BETWEEN_SECONDS_MAX)


def read(notes):
    """What began and did not end has failed."""
    results = {}
    for line in notes.read_text().splitlines():
        told = json.loads(line)
        if "begun" in told:
            results[told["begun"]] = ("fail", f"no end after {TEST_SECONDS_MAX} s, or the end of the process")
        elif "ended" in told:
            results[told["ended"]] = (told["status"], told["message"])
    return results
