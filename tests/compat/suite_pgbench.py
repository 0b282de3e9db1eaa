"""pgbench: its three modes, its built-in scripts, and a connection for every transaction."""

from common import last_line, run

NAME = "pgbench"
SCRIPTS = {"tpcb-like": [], "simple-update": ["-N"], "select-only": ["-S"]}


def version(stage):
    return run([stage.bin / "pgbench", "--version"], stage.direct)[1].strip()


def cases(stage, door):
    results = {}
    for mode in ("simple", "extended", "prepared"):
        for script, flags in SCRIPTS.items():
            for way, more in {"": [], " -C": ["-C"]}.items():
                command = [stage.bin / "pgbench", "-n", "-M", mode, "-c", "2", "-t", "20", *flags, *more]
                code, out, err = run(command, door, seconds=120)
                whole = code == 0 and "actually processed: 40/40" in out
                results[f"{mode} {script}{way}"] = ("pass", "") if whole else ("fail", last_line(err))
    # Rows come back changed: the run above wrote what it says.
    for name, flags in {"pipeline": ["-M", "prepared"], "serializable": ["-M", "extended"]}.items():
        script = {
            "pipeline": "\\startpipeline\nSELECT 1;\nSELECT abalance FROM pgbench_accounts WHERE aid = 1;\n\\endpipeline\n",
            "serializable": "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT count(*) FROM pgbench_branches;\nCOMMIT;\n",
        }[name]
        path = stage.work / f"pgbench-{name}.sql"
        path.write_text(script)
        command = [stage.bin / "pgbench", "-n", "-c", "2", "-t", "20", *flags, "-f", path]
        code, out, err = run(command, door, seconds=120)
        whole = code == 0 and "actually processed: 40/40" in out
        results[f"script {name}"] = ("pass", "") if whole else ("fail", last_line(err))
    return results
