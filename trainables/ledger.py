"""The ledger: what every second of every held gang went to. Pure: no Ray, no Torch.

A gang is held from before it was placed until after its workers ended; one whose nodes are still
to come, from when they are there. What it does is a chain of spans: a span ends at the very reading
of the clock at which the next begins. So the spans of a gang have no gaps and no overlaps, and
their sum is what was held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

SpanKind = Literal["start_up", "training", "examination", "retraining", "idle", "lost", "end"]

TRIAL_KINDS: Final = ("training", "lost")
"""Kinds whose seconds are a trial's own, where a trial is named: its `gang_seconds`."""


@dataclass(frozen=True)
class Span:
    """What a gang did from one moment to another.

    Attributes:
        generation: of the gang, at the end of the span.
        kind: `start_up`, before the gang was first ready; `training`, `examination` and
            `retraining` (with another seed), of a trial; `idle`; `lost`, work that was taken away,
            or waiting until the gang is there again; `end`, since the workers were sent home.
        trial_id: whose it is; None: overhead.
        started_s: on the ledger's clock.
        ended_s: on the ledger's clock; >= started_s.
    """

    gang: int
    generation: int
    kind: SpanKind
    trial_id: str | None
    started_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended_s - self.started_s

    def later(self, seconds: float) -> Span:
        """Return it on a clock that is ahead."""
        return replace(self, started_s=self.started_s + seconds, ended_s=self.ended_s + seconds)


@dataclass
class _Open:
    """The span that a gang is in."""

    kind: SpanKind
    trial_id: str | None
    generation: int
    started_s: float
    safe_s: float  # what was done before can't be lost any more


@dataclass(frozen=True)
class Holding:
    """What has been held up to a moment.

    Attributes:
        now_s: the moment, on the ledger's clock.
        held_seconds: of all gangs together.
        num_held: gangs that are held now, or as soon as their nodes are there.
    """

    now_s: float
    held_seconds: float
    num_held: int


@dataclass(frozen=True)
class GangStanding:
    """What a gang does at a moment.

    Attributes:
        kind: as of a `Span`; or `awaited`, while its nodes are still to come.
        trial_id: whose it is; None: overhead.
        seconds: for how long it has done so.
        hosts: of its workers, by rank; those it last had, while it starts again.
    """

    gang: int
    generation: int
    kind: SpanKind | Literal["awaited"]
    trial_id: str | None
    seconds: float
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """How far a sweep's gangs have come, for those who look on.

    Attributes:
        holding: so far.
        is_spent: nothing runs, and nothing can be paid any more.
        idle_seconds: of all gangs, between and around leases.
        num_leases: given so far.
        num_spans: that have ended.
        gangs: that are held or awaited.
    """

    holding: Holding
    is_spent: bool
    idle_seconds: float
    num_leases: int
    num_spans: int
    gangs: tuple[GangStanding, ...] = ()


@dataclass
class Account:
    """Sums of spans.

    Attributes:
        held_seconds: of all gangs; the sum of `by_kind`.
        by_kind: seconds by kind.
        by_trial: seconds of `TRIAL_KINDS` by trial.
        lost_by_trial: the part of them that was lost.
    """

    held_seconds: float = 0.0
    by_kind: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    by_trial: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    lost_by_trial: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, span: Span) -> None:
        """Add a span's seconds."""
        self.held_seconds += span.seconds
        self.by_kind[span.kind] += span.seconds
        if span.trial_id is not None and span.kind in TRIAL_KINDS:
            self.by_trial[span.trial_id] += span.seconds
            if span.kind == "lost":
                self.lost_by_trial[span.trial_id] += span.seconds


class Ledger:
    """Spans of gangs, held from the start but for those whose nodes are still to come.

    Args:
        num_gangs: of the sweep.
        clock: seconds, monotonic.
        held_from_s: when the gangs were asked for, on that clock; None: now.
        num_there: gangs whose nodes are there from the start; None: all.
    """

    def __init__(
        self,
        num_gangs: int,
        clock: Callable[[], float],
        held_from_s: float | None = None,
        num_there: int | None = None,
    ) -> None:
        self._clock = clock
        start_s = clock() if held_from_s is None else held_from_s
        self._asked_s = start_s
        first_awaited = num_gangs if num_there is None else num_there
        self._awaited = set(range(first_awaited, num_gangs))  # open, but not held
        self._open: dict[int, _Open] = {
            gang: _Open("start_up", None, 0, start_s, start_s) for gang in range(num_gangs)
        }
        self.spans: list[Span] = []
        self._closed = Account()

    def turn_to(self, gang: int, kind: SpanKind, trial_id: str | None, generation: int) -> None:
        """Say what a gang does from now on; nothing changes if it does so already."""
        span = self._open.get(gang)
        if span is None:
            return  # its workers have ended
        if gang in self._awaited:
            if kind not in ("idle", "training", "examination", "retraining"):
                return  # it is not there, and may never be
            self._take_place(gang)
            span = self._open[gang]
        if (span.kind, span.trial_id) == (kind, trial_id):
            span.generation = generation
            return
        now_s = self._clock()
        self._end(gang, span, now_s)
        self._open[gang] = _Open(kind, trial_id, generation, now_s, now_s)

    def arrive(self, num_gangs: int) -> None:
        """Say that the nodes of so many gangs are there, in all: they are held from now on."""
        num_more = num_gangs - (len(self._open) - len(self._awaited))
        for gang in sorted(self._awaited)[: max(0, num_more)]:
            self._hold(gang)

    def _hold(self, gang: int) -> None:
        self._awaited.discard(gang)
        self._open[gang].started_s = self._open[gang].safe_s = self._clock()

    def _take_place(self, gang: int) -> None:
        """Let an awaited gang that is there have the place of one that was thought to be."""
        starting = (
            other
            for other, span in self._open.items()
            if span.kind == "start_up" and other not in self._awaited
        )
        other = next(starting, None)
        if other is None:
            self._hold(gang)
            return
        self._open[gang], self._open[other] = self._open[other], self._open[gang]
        self._awaited ^= {gang, other}

    def mark_saved(self, gang: int) -> None:
        """Say that what the gang has done so far can't be lost any more."""
        if gang in self._open:
            self._open[gang].safe_s = self._clock()

    def lose(self, gang: int) -> None:
        """Say that what the gang did since `mark_saved`, or since it began, was taken away.

        Lost training stays the trial's. What is lost of a finalist after the search is overhead: a
        trial's cost is that of its training, and was settled before.
        """
        span = self._open.get(gang)
        if span is None or span.kind not in ("training", "examination", "retraining"):
            return
        self._end(gang, span, span.safe_s)
        span.started_s = span.safe_s
        span.trial_id = span.trial_id if span.kind == "training" else None
        span.kind = "lost"

    def close(self, gang: int) -> None:
        """Say that the workers of a gang have ended."""
        span = self._open.pop(gang, None)
        if span is not None and gang not in self._awaited:
            self._end(gang, span, self._clock())
        self._awaited.discard(gang)

    def holding(self) -> Holding:
        """Return what has been held so far."""
        now_s = self._clock()
        held = sum(now_s - span.started_s for _, span in self._held())
        return Holding(now_s, self._closed.held_seconds + held, len(self._open))

    def if_lost_now(self) -> list[Span]:
        """Return the open spans as they would be if all gangs were lost at this moment."""
        now_s = self._clock()
        spans = []
        for gang, span in self._held():
            is_training = span.kind in ("training", "retraining")
            lost_from_s = span.safe_s if is_training else now_s
            if lost_from_s > span.started_s:
                spans.append(self._span(gang, span, lost_from_s))
            if now_s > lost_from_s:
                owner = span.trial_id if span.kind == "training" else None
                spans.append(Span(gang, span.generation, "lost", owner, lost_from_s, now_s))
        return spans

    def open_spans(self) -> list[Span]:
        """Return what each gang that is held does, up to now."""
        now_s = self._clock()
        return [self._span(gang, span, now_s) for gang, span in self._held()]

    def awaited(self) -> list[GangStanding]:
        """Return the gangs whose nodes are still to come."""
        seconds = self._clock() - self._asked_s
        gangs = sorted(self._awaited)
        return [GangStanding(gang, 0, "awaited", None, seconds, ()) for gang in gangs]

    def _held(self) -> list[tuple[int, _Open]]:
        return [(gang, span) for gang, span in self._open.items() if gang not in self._awaited]

    def account(self) -> Account:
        """Return the sums so far, open spans included."""
        account = Account(self._closed.held_seconds)
        for name in ("by_kind", "by_trial", "lost_by_trial"):
            getattr(account, name).update(getattr(self._closed, name))
        for span in self.open_spans():
            account.add(span)
        return account

    def seconds_of(self, trial_id: str) -> float:
        """Return a trial's own seconds so far."""
        seconds = self._closed.by_trial.get(trial_id, 0.0)
        for span in self._open.values():
            if span.trial_id == trial_id and span.kind in TRIAL_KINDS:
                seconds += self._clock() - span.started_s
        return seconds

    def _end(self, gang: int, span: _Open, now_s: float) -> None:
        if now_s > span.started_s:
            ended = self._span(gang, span, now_s)
            self.spans.append(ended)
            self._closed.add(ended)

    def _span(self, gang: int, span: _Open, now_s: float) -> Span:
        return Span(gang, span.generation, span.kind, span.trial_id, span.started_s, now_s)
