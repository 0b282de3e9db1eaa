"""docs/compatibility.md from the outcomes: what each suite lost, what of it policy wants so, and what is left to mend.

Must never count a difference as a consequence of policy that `consequences.py` does not name. Called by `run.py`.
"""

import collections
import re

from consequences import consequence

SUITE_SHARE_MIN = 0.90
WHOLE_SHARE_MIN = 0.99
EXAMPLES = 4

HEAD = """# Compatibility

Written by `make compat`: other projects' own tests, run directly and through Lanyard in the same run, under a policy with open grants
and `allow workspace kept` (`tests/compat/governance`). Only what passes directly counts, and what is skipped through the proxy counts as
failed. `make compat COMPAT_FLAGS='--suites psycopg'` measures one suite again; the others keep their numbers, each with its date.

**Share** is what passes proxied of what passes directly. **By policy** is how many differences are consequences of policy, listed below with
their reasons (`tests/compat/consequences.py`); **share of the rest** leaves them out.
"""


def document(names, outcomes):
    lines = [HEAD]
    measured = {name: outcomes[name] for name in names if "measured" in outcomes.get(name, {})}
    split = {name: sorted_out(name, outcome["lost"]) for name, outcome in measured.items()}
    lines += table(measured, split)
    for name in names:
        if name not in measured:
            lines.append(f"NOT RUN: {name}: {outcomes.get(name, {}).get('not_run', 'never measured')}.")
    lines += ["", *places(measured), ""]
    lines += consequences(split)
    lines += ["## What else differs", ""]
    for name, (_, rest) in split.items():
        lines += differences(name, rest)
    return "\n".join(lines).rstrip() + "\n"


def sorted_out(name, lost):
    """What is lost by policy, by its sentence, and the rest."""
    by_policy, rest = collections.defaultdict(list), {}
    for case, message in lost.items():
        why = consequence(name, case, message)
        if why:
            by_policy[why].append(case)
        else:
            rest[case] = message
    return by_policy, rest


def table(measured, split):
    yield "| suite | version | measured | passed direct | of these passed proxied | share | by policy | share of the rest |"
    yield "|---|---|---|---|---|---|---|---|"
    total = lost = expected = 0
    for name, outcome in measured.items():
        passed, gone, by_policy = outcome["passed_direct"], len(outcome["lost"]), sum(map(len, split[name][0].values()))
        total, lost, expected = total + passed, lost + gone, expected + by_policy
        yield row(name, outcome["version"], outcome["measured"], passed, gone, by_policy, SUITE_SHARE_MIN)
    yield row("all", "", "", total, lost, expected, WHOLE_SHARE_MIN)


def row(name, version, when, passed, gone, by_policy, least):
    left = passed - by_policy
    share, of_rest = ((passed - gone) / passed if passed else 0.0), ((passed - gone) / left if left else 0.0)
    under = f" **under {least:.0%}**"
    marks = [under if value < least else "" for value in (share, of_rest)]
    return (
        f"| {name} | {version} | {when} | {passed} | {passed - gone} | {percent(share)}{marks[0]} | {by_policy} | {percent(of_rest)}{marks[1]} |"
    )


def percent(share):
    """Rounded down: what is missing must not vanish."""
    return f"{int(share * 1000) / 10:.1f}%"


def places(measured):
    """Where suites were measured, once for those measured alike."""
    by_place = collections.defaultdict(list)
    for name, outcome in measured.items():
        by_place[outcome["where"]].append(name)
    for place, names in by_place.items():
        yield f"{', '.join(names)}: {place}."


def consequences(split):
    lines = ["## Consequences of policy", ""]
    counts = collections.defaultdict(dict)
    for name, (by_policy, _) in split.items():
        for why, cases in by_policy.items():
            counts[why][name] = len(cases)
    if not counts:
        return lines + ["None.", ""]
    lines += ["| cases | why | in |", "|---|---|---|"]
    for why, by_suite in sorted(counts.items(), key=lambda one: (-sum(one[1].values()), one[0])):
        told = ", ".join(f"{name} {count}" for name, count in by_suite.items())
        lines.append(f"| {sum(by_suite.values())} | {escaped(why)} | {told} |")
    return lines + [""]


def differences(name, rest):
    if not rest:
        return [f"**{name}**: nothing.", ""]
    groups = collections.defaultdict(list)
    for case, message in rest.items():
        groups[reason(message)].append(case)
    lines = [f"**{name}**", "", "| cases | reason | such as |", "|---|---|---|"]
    for why, cases in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        named = ", ".join(f"`{case}`" for case in sorted(cases)[:EXAMPLES])
        lines.append(f"| {len(cases)} | {escaped(why)} | {escaped(named)} |")
    return lines + [""]


def reason(message):
    """What differs, without what differs from case to case."""
    text = message.split("\n")[0]
    text = re.sub(r"^.*?(?:\(?psycopg2?\.\w+\.\w+[:)] |psycopg\.errors\.\w+: |ERROR:  |error: |Error: )", "", text)
    text = re.sub(r"(/[\w.+@-]+){2,}/?", "…", text)
    text = re.sub(r"VENDED_\w+", "VENDED_…", text)
    if text.startswith("prints "):
        return text[:140]
    text = re.sub(r'"[^"]*"', '"…"', text)
    text = re.sub(r"'[^']*'", "'…'", text)
    text = re.sub(r"0x[0-9a-f]+|\d+", "N", text)
    return text.strip()[:140] or "no message"


def escaped(text):
    return text.replace("|", "\\|").replace("<", "&lt;")
