"""node-postgres's integration tests, from Debian's source package or from a folder given (--sources); one file is one case."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from common import Unavailable, debian_source, last_line, run

NAME = "node-postgres"
MODULES = ["async@2.6.4", "bluebird@3.7.2", "co@4.6.0", "pg-copy-streams@0.3.0"]
FILE_SECONDS_MAX = 40


def package(stage):
    """The folder of the package `pg`, with what its tests need beside it."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise Unavailable("there is no node or no npm on this machine")
    given = stage.sources / "node-postgres" if stage.sources else None
    root = given if given and given.is_dir() else debian_source(stage.work, "node-postgres")
    tests = next((path for path in root.glob("**/test/integration") if "node_modules" not in path.parts), None)
    if tests is None:
        raise Unavailable("the source package holds no integration tests")
    folder = tests.parent.parent
    if not (folder / "node_modules" / "co").exists():
        described = json.loads((folder / "package.json").read_text())
        wanted = [f"{name}@{version}" for name, version in described["dependencies"].items()] + MODULES
        beside = stage.work / "node"
        beside.mkdir(exist_ok=True)
        (beside / "package.json").write_text("{}")
        install = ["npm", "install", "--no-audit", "--no-fund", "--silent", *wanted]
        if subprocess.run(install, cwd=beside, stdin=subprocess.DEVNULL).returncode:
            raise Unavailable("npm cannot install what the tests need")
        link = folder / "node_modules"
        # One of an earlier place leads nowhere.
        if link.is_symlink():
            link.unlink()
        link.symlink_to((beside / "node_modules").absolute())
    return folder


def version(stage):
    return "pg " + json.loads((package(stage) / "package.json").read_text())["version"]


def cases(stage, door):
    folder = package(stage)
    run(["node", "script/create-test-tables.js"], door, cwd=folder, seconds=FILE_SECONDS_MAX)
    files = sorted((folder / "test" / "integration").glob("**/*-tests.js"))

    def one(path):
        code, out, err = run(["node", path], door, cwd=folder, seconds=FILE_SECONDS_MAX)
        name = str(path.relative_to(folder / "test" / "integration"))
        return name, ("pass", "") if code == 0 else ("fail", last_line(err + "\n" + out if code != 124 else err))

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(one, files))
