"""What the doctor says: a line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: whether it is well.
        what: was looked at.
        value: that was found.
        next_step: what to do about it; empty where nothing is to be done.
    """

    level: Level
    what: str
    value: str
    next_step: str = ""

    def __str__(self) -> str:
        step = f"; {self.next_step}" if self.next_step else ""
        # One line, whatever a run folder of others holds.
        text = " ".join(f"{self.what}: {self.value}{step}".split())
        return f"{self.level:<8} {''.join(c if c.isprintable() else '?' for c in text)}"


def num_faults(findings: Iterable[Finding]) -> int:
    """Return how many of them are faults."""
    return sum(finding.level == "fault" for finding in findings)
