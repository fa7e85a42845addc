"""Tells a gang that hangs from one that is slow, by the steps that its workers say they do. Pure.

A worker that says nothing at all is stopped, frozen or cut off: it hangs after `FLOOR_S`. One that
speaks but does no step hangs after a limit of the trial's own: `FACTOR` times its longest pause
between two steps in the last `NUM_EPOCHS` epochs, `FLOOR_S` at least. Before a trial's first epoch
on a gang is over (kernels are chosen, a model is compiled) the limit is fixed, and long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

FLOOR_S: Final = 60.0
FACTOR: Final = 20.0
NUM_EPOCHS: Final = 5
FIRST_LIMIT_S: Final = 600.0
COMPILED_FIRST_LIMIT_S: Final = 3600.0


@dataclass
class _RankPulse:
    num_steps: int
    stepped_s: float
    heard_s: float


@dataclass(frozen=True)
class Hang:
    """What was found.

    Attributes:
        silent_ranks: workers that say nothing; none: all speak, and do no step.
        reason: for the user.
    """

    silent_ranks: tuple[int, ...]
    reason: str


@dataclass
class GangPulse:
    """What the desk knows of the steps of a gang's workers."""

    _ranks: dict[int, _RankPulse] = field(default_factory=dict)
    _first_limit_s: float = FIRST_LIMIT_S
    _longest_s: float = 0.0  # of this epoch
    _past_s: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_EPOCHS))

    def begin_group(self) -> None:
        """Forget all: other workers sit there now."""
        self._ranks.clear()
        self._past_s.clear()

    def begin_trial(self, *, is_compiled: bool) -> None:
        """Forget what pauses the last trial made."""
        self._first_limit_s = COMPILED_FIRST_LIMIT_S if is_compiled else FIRST_LIMIT_S
        self._longest_s = 0.0
        self._past_s.clear()

    def end_epoch(self) -> None:
        """Keep the longest pause of the epoch that is over."""
        self._past_s.append(self._longest_s)
        self._longest_s = 0.0

    def enter(self, rank: int, num_steps: int, ordered_s: float, now_s: float) -> None:
        """Take a beat of a worker that carries out an order given at `ordered_s`."""
        pulse = self._ranks.setdefault(rank, _RankPulse(num_steps, now_s, now_s))
        if num_steps != pulse.num_steps:
            pause_s = now_s - max(pulse.stepped_s, ordered_s)
            self._longest_s = max(self._longest_s, pause_s)
            pulse.num_steps, pulse.stepped_s = num_steps, now_s
        pulse.heard_s = now_s

    def forgive(self, now_s: float) -> None:
        """Take nobody's silence up to now as evidence: the listener itself was stopped."""
        for pulse in self._ranks.values():
            pulse.stepped_s = pulse.heard_s = now_s

    def limit_s(self) -> float:
        """Return how long the trial may do no step."""
        if not self._past_s:
            return self._first_limit_s
        return max(FLOOR_S, FACTOR * max(self._longest_s, *self._past_s))

    def find(self, pending: Iterable[int], ordered_s: float, now_s: float) -> Hang | None:
        """Return the hang of workers that have not answered an order; None if there is none."""
        known = {rank: self._ranks.get(rank) for rank in pending}
        if not known:
            return None
        # One that was never heard counts from the order on.
        heard = {r: ordered_s if p is None else max(ordered_s, p.heard_s) for r, p in known.items()}
        silent = tuple(rank for rank, heard_s in heard.items() if now_s - heard_s > FLOOR_S)
        if silent:
            who = ", ".join(map(str, silent))
            return Hang(silent, f"worker {who} has said nothing for {FLOOR_S:.0f} s")
        # Others wait for the one that hangs in their next message, so all stand still.
        stepped_s = max(ordered_s if p is None else p.stepped_s for p in known.values())
        idle_s = now_s - max(ordered_s, stepped_s)
        if idle_s <= self.limit_s():
            return None
        return Hang((), f"no step for {idle_s:.0f} s, where {self.limit_s():.0f} s is the limit")
