"""The differences that policy wants: a reviewed list, one sentence each. What it does not name counts as a defect.

Must never match more than the words of our own refusal, or cases by name, so that no defect can hide here. Called by `report.py`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Consequence:
    """Why a difference is wanted, and how it is known: what the failed case was told, or which cases they are, by suite."""

    why: str
    told: str | None = None
    cases: tuple[tuple[str, str], ...] = ()

    def covers(self, suite, case, message):
        by_words = self.told is not None and re.search(self.told, message)
        return bool(by_words) or any(suite == name and re.fullmatch(pattern, case) for name, pattern in self.cases)


CONSEQUENCES = (
    Consequence(
        "Large objects belong to the database, not to a table: no policy could say who reads them.",
        told="function calls outside SQL are not supported",
    ),
    Consequence(
        "A session has one schema of its own; another would be a name that no policy speaks of.",
        told="schemas cannot be made here",
    ),
    Consequence(
        "A function's body is SQL that runs later, under names nobody judged.",
        told="functions cannot be made here",
    ),
)


def consequence(suite, case, message):
    """The sentence for this difference, or None."""
    return next((one.why for one in CONSEQUENCES if one.covers(suite, case, message)), None)
