"""What every suite needs: a door to a database, programs run with a deadline, and results by case.

A result is ("pass" | "fail" | "skip", message). Must never count what was not run as passed.
"""

import os
import re
import subprocess
import sys
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

RUN_SECONDS_MAX = 900


class Unavailable(Exception):
    """The suite cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Door:
    """Where to connect, and as whom."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def environment(self):
        """libpq's variables, on top of a bare environment."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
            "PGCONNECT_TIMEOUT": "30",
            "LC_ALL": "C.UTF-8",
        }

    def url(self, scheme):
        user, password = urllib.parse.quote(self.user, safe=""), urllib.parse.quote(self.password, safe="")
        return f"{scheme}://{user}:{password}@{self.host}:{self.port}/{self.database}"


def run(command, door, cwd=None, seconds=RUN_SECONDS_MAX, environment=None, stdin=""):
    """Runs a program; (exit code, output, errors). 124 when it took too long."""
    try:
        ran = subprocess.run(
            [str(word) for word in command],
            env=door.environment() | (environment or {}),
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return 124, out if isinstance(out, str) else out.decode(errors="replace"), f"no end after {seconds} s"
    return ran.returncode, ran.stdout, ran.stderr


def last_line(text):
    """The line of an output that says most about why it failed: the last that begins as an error, or tells of one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(("at ", "severity:"))]
    errors = [line for line in lines if re.match(r"\w*(\[.*\])?[Ee]rror( \[.*\])?: |(psql|pgbench|pg_dump|ERROR|FATAL)\S*:", line)]
    telling = [line for line in lines if "ERROR" in line or "FATAL" in line or "rror:" in line]
    return (errors or telling or lines or [""])[-1]


def venv(work, name, packages):
    """A Python environment with these packages, made once."""
    python = work / f"venv-{name}" / "bin" / "python"
    mark = work / f"venv-{name}" / "packages"
    if not mark.exists() or mark.read_text() != repr(packages):
        subprocess.run([sys.executable, "-m", "venv", "--clear", python.parent.parent], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(install, stdin=subprocess.DEVNULL).returncode:
            raise Unavailable(f"pip cannot install {' '.join(packages)}")
        mark.write_text(repr(packages))
    return python


def sdist(work, package, version):
    """The folder of a source distribution from PyPI."""
    folder = work / f"{package}-{version}"
    if not folder.exists():
        download = work / "download"
        download.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--no-binary", package, "-d", download, f"{package}=={version}"]
        if subprocess.run(pip, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            raise Unavailable(f"pip cannot download the source of {package} {version}")
        archive = next(path for path in download.iterdir() if path.name.lower().startswith(f"{package}-{version}".lower()))
        folder.mkdir()
        subprocess.run(["tar", "xzf", archive, "-C", folder, "--strip-components=1"], check=True)
    return folder


def debian_source(work, package):
    """The folder of a Debian source package, and its version. Package lists are kept apart from the system's."""
    base = work / "apt"
    folder = base / package
    if not any(folder.glob("*.dsc")) or not any(path.is_dir() for path in folder.glob("*")):
        for part in ("lists/partial", "cache/archives/partial"):
            (base / part).mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        if release.get("ID", "").strip('"') != "debian":
            raise Unavailable("this is not Debian, whose source package holds the tests")
        # The system's own archives, as places of source packages.
        targets = ["apt-get", "indextargets", "--format", "deb-src $(REPO_URI) $(RELEASE) main", "Created-By: Packages"]
        targets += ["Component: main", "Origin: Debian"]
        known = subprocess.run(targets, capture_output=True, text=True, check=True).stdout
        (base / "sources.list").write_text("\n".join(sorted(set(known.splitlines()))) + "\n")
        options = [
            f"Dir::Etc::sourcelist={base}/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={base}/lists",
            f"Dir::Cache={base}/cache",
            "APT::Sandbox::User=",
        ]
        apt = ["apt-get", "-qq"] + [word for option in options for word in ("-o", option)]
        for command in (["update"], ["source", package]):
            ran = subprocess.run(apt + command, cwd=folder, capture_output=True, text=True)
            if ran.returncode:
                raise Unavailable(f"apt-get {' '.join(command)}: {last_line(ran.stderr)}")
    found = next((path for path in folder.iterdir() if path.is_dir()), None)
    if found is None:
        raise Unavailable(f"apt-get source {package} unpacked nothing (dpkg-dev missing?)")
    return found
