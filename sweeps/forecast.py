"""What a sweep will take and cost, as far as it can be known. Pure: no Ray, no clock.

The rest of the sweep is played many times: the gangs take the trials in order, an epoch takes what
epochs of its architecture took, the scheduler's rungs stop as many as they do on average. The
median of the plays is the forecast, and 90 % of them lie in its interval.
"""

from __future__ import annotations

import bisect
import heapq
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from trainables.cost import time_usd

MAX_PLAYED_EPOCHS: Final = 50_000
"""Of all plays together: they take a tenth of a second, in a thread beside the sweep's own."""

MAX_PLAYS: Final = 100
MIN_PLAYS: Final = 20

MEASURED_SPREAD: Final = 0.06
"""How far the mean of all epochs to come lies from that of those measured (log normal)."""

TIMED_SPREAD: Final = 0.35
"""The same, from steps that were timed on one worker alone."""

GUESSED_SPREAD: Final = 0.25
"""Of one architecture whose epochs are told from those of others by `relative`."""


@dataclass(frozen=True)
class Rungs:
    """Where a scheduler stops trials: ASHA's rungs.

    Attributes:
        epochs: ascending; empty: it stops none.
        reduction_factor: one in this many goes on.
    """

    epochs: tuple[int, ...] = ()
    reduction_factor: int = 3


def asha_rungs(grace_epochs: int, reduction_factor: int, num_epochs: int) -> Rungs:
    """Return the rungs of ASHA's stopping variant (Li et al. 2020), as Ray has them."""
    epochs, epoch = [], min(grace_epochs, num_epochs)
    while epoch < num_epochs:
        epochs.append(epoch)
        epoch *= reduction_factor
    return Rungs(tuple(epochs), reduction_factor)


@dataclass(frozen=True)
class Outlook:
    """A trial, as a forecast sees it.

    Attributes:
        key: equal for trials whose epochs take about as long.
        relative: how long an epoch takes against those of other keys, in any unit; None: unknown.
        num_epochs: of a full training.
        patience_epochs: of early stopping; 0: none.
        epoch: trained so far.
        is_over: it trains no more.
        seconds: of each epoch so far: training and validation.
    """

    key: str
    relative: float | None
    num_epochs: int
    patience_epochs: int = 0
    epoch: int = 0
    is_over: bool = False
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Situation:
    """How far a sweep has come, and what is known around its epochs.

    Attributes:
        num_gangs: held to the end.
        rungs: of the scheduler.
        chunk_epochs: after which a trial lets others on its gang (PBT); None: it stays.
        held_seconds: of all gangs so far.
        elapsed_s: since the sweep began.
        idle_seconds: of a gang between two trials.
        around_seconds: of a gang for each epoch, beside training and validation.
        rest_s: to come after the search: examination and end.
        timed_seconds: of an epoch by key, from steps timed before the start; empty: none were.
        num_finalists: that are trained again after the search.
        num_seeds: with which each of them is.
    """

    num_gangs: int
    rungs: Rungs = Rungs()
    chunk_epochs: int | None = None
    held_seconds: float = 0.0
    elapsed_s: float = 0.0
    idle_seconds: float = 0.0
    around_seconds: float = 0.0
    rest_s: float = 0.0
    timed_seconds: Mapping[str, float] = field(default_factory=dict)
    num_finalists: int = 0
    num_seeds: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a whole sweep takes: median, and an interval that holds 90 % of the plays.

    Attributes:
        basis: what it rests on.
        seconds: from the start of the sweep to the end of its gangs; low and high likewise.
        gang_seconds: held by all gangs together.
        cost_usd: None without a price.
    """

    basis: str
    seconds: float
    seconds_low: float
    seconds_high: float
    gang_seconds: float
    gang_seconds_low: float
    gang_seconds_high: float
    cost_usd: float | None
    cost_usd_low: float | None
    cost_usd_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as `sweep.json` has it."""
        return asdict(self)


def forecast(
    outlooks: Sequence[Outlook],
    situation: Situation,
    usd_per_gang_hour: float | None,
    seed: int = 0,
) -> Forecast | None:
    """Return what the sweep will take; None while no epoch was measured and no step timed.

    Args:
        outlooks: of all trials, in the order in which they begin.
        situation: of the sweep.
        usd_per_gang_hour: None: without a cost.
        seed: of the plays.
    """
    epochs = _EpochSeconds(outlooks, situation.timed_seconds)
    if not epochs.is_known:
        return None
    generator = np.random.default_rng(seed)
    num_left = sum(o.num_epochs - o.epoch for o in outlooks if not o.is_over)
    num_plays = max(MIN_PLAYS, min(MAX_PLAYS, MAX_PLAYED_EPOCHS // max(1, num_left)))
    lengths = []
    for _ in range(num_plays):
        epoch_s = epochs.draw(generator)
        search_s = _play(outlooks, situation, epoch_s, generator)
        again_s = _play_retrainings(outlooks, situation, epoch_s, generator)
        lengths.append(search_s + again_s + situation.rest_s)
    middle, low, high = np.quantile(lengths, [0.5, 0.05, 0.95])
    parts: dict[str, list[float | None]] = {"seconds": [], "gang_seconds": [], "cost_usd": []}
    for length in (middle, low, high):
        gang_seconds = situation.held_seconds + situation.num_gangs * float(length)
        parts["seconds"].append(situation.elapsed_s + float(length))
        parts["gang_seconds"].append(gang_seconds)
        if usd_per_gang_hour is None:
            parts["cost_usd"].append(None)
        else:
            parts["cost_usd"].append(time_usd(gang_seconds, usd_per_gang_hour))
    named = {
        f"{name}{end}": value
        for name, values in parts.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }
    return Forecast(basis=epochs.basis, **named)  # type: ignore[arg-type]


class _EpochSeconds:
    """How long epochs take, by key, with what is not known of it."""

    def __init__(self, outlooks: Sequence[Outlook], timed: Mapping[str, float]) -> None:
        measured: dict[str, list[float]] = defaultdict(list)
        relative: dict[str, float] = {}
        for outlook in outlooks:
            measured[outlook.key] += outlook.seconds
            by_others = timed.get(outlook.key, outlook.relative)
            if by_others:
                relative[outlook.key] = by_others
        self._means = {key: statistics.fmean(s) for key, s in measured.items() if s}
        self._relative = relative
        self._keys = list(measured)
        self._is_measured = bool(self._means)
        num = sum(map(len, measured.values()))
        if self._is_measured:
            self.basis = f"{num} measured epochs of {len(self._means)} of {len(measured)} kinds"
            # What one unit of `relative` takes, from the kinds that were measured.
            units = [self._means[k] / relative[k] for k in self._means if k in relative]
            self._unit = statistics.median(units) if units else None
        else:
            self.basis = "steps timed on one worker alone, in a fresh process"
            self._unit = 1.0
        self.is_known = self._is_measured or all(key in timed for key in self._keys)

    def draw(self, generator: Generator) -> dict[str, float]:
        """Return seconds by key, as they might be."""
        spread = MEASURED_SPREAD if self._is_measured else TIMED_SPREAD
        common = float(generator.lognormal(0.0, spread))
        return {key: common * self._draw_one(key, generator) for key in self._keys}

    def _draw_one(self, key: str, generator: Generator) -> float:
        if key in self._means:
            return self._means[key]
        if self._unit is not None and key in self._relative:
            spread = GUESSED_SPREAD if self._is_measured else 0.0
            return self._unit * self._relative[key] * float(generator.lognormal(0.0, spread))
        others = list(self._means.values())
        return others[int(generator.integers(len(others)))]


def _play(
    outlooks: Sequence[Outlook],
    situation: Situation,
    epoch_s: Mapping[str, float],
    generator: Generator,
) -> float:
    """Play the rest of the search once; return how long it takes."""
    ladder = _Ladder(outlooks, situation.rungs, generator)
    begun = [o for o in outlooks if not o.is_over and o.epoch]
    waiting = [o for o in outlooks if not o.is_over and not o.epoch]
    # By when they are free; a trial that has begun holds its gang already.
    free = [(0.0, gang) for gang in range(situation.num_gangs)]
    queue = [
        (outlook, outlook.epoch, _patience_end(outlook, outlooks, generator))
        for outlook in (*begun, *waiting)
    ]
    for outlook, epoch, last in queue:  # grows where a trial lets others on its gang
        now_s, gang = heapq.heappop(free)
        now_s += 0.0 if outlook.epoch and epoch == outlook.epoch else situation.idle_seconds
        stay = last if situation.chunk_epochs is None else epoch + situation.chunk_epochs
        is_stopped = False
        while epoch < min(last, stay) and not is_stopped:
            epoch += 1
            now_s += epoch_s[outlook.key] + situation.around_seconds
            is_stopped = ladder.stops(outlook, epoch)
        if epoch < last and not is_stopped:
            queue.append((outlook, epoch, last))
        heapq.heappush(free, (now_s, gang))
    return max(now_s for now_s, _ in free)


def _play_retrainings(
    outlooks: Sequence[Outlook],
    situation: Situation,
    epoch_s: Mapping[str, float],
    generator: Generator,
) -> float:
    """Play the further trainings of finalists once; return how long they take.

    Any trial may be a finalist; one that has not ended is taken to train in full.
    """
    able = [o for o in outlooks if o.epoch or not o.is_over]
    num_finalists = min(situation.num_finalists, len(able)) if situation.num_seeds else 0
    chosen = generator.choice(len(able), num_finalists, replace=False) if num_finalists else ()
    free = [0.0] * situation.num_gangs
    for index in [*chosen] * situation.num_seeds:
        outlook = able[index]
        num_epochs = outlook.epoch if outlook.is_over else outlook.num_epochs
        each_s = epoch_s[outlook.key] + situation.around_seconds
        heapq.heappush(free, heapq.heappop(free) + situation.idle_seconds + num_epochs * each_s)
    return max(free)


class _Ladder:
    """The rungs in one play: each trial is as good at one rung as at the next.

    How good a trial is, from 0 to 1, is drawn evenly; of one that has passed or missed rungs
    already, from what they let pass on average.
    """

    def __init__(self, outlooks: Sequence[Outlook], rungs: Rungs, generator: Generator) -> None:
        self._share = 1 / rungs.reduction_factor
        self._seen: dict[int, list[float]] = {rung: [] for rung in rungs.epochs}
        self._quality: dict[int, float] = {}
        for outlook in outlooks if rungs.epochs else ():
            reached = [rung for rung in rungs.epochs if outlook.epoch >= rung]
            is_stopped = outlook.is_over and 0 < outlook.epoch < outlook.num_epochs
            num_passed = len(reached) - (is_stopped and bool(reached))
            low = 1 - self._share**num_passed
            high = 1 - self._share ** (num_passed + 1) if is_stopped else 1.0
            self._quality[id(outlook)] = quality = float(generator.uniform(low, high))
            for rung in reached:
                bisect.insort(self._seen[rung], quality)

    def stops(self, outlook: Outlook, epoch: int) -> bool:
        """Tell whether a trial is stopped at an epoch; enter it if there is a rung.

        Ray's cutoff is the (1 - 1/reduction_factor) quantile, interpolated, of those before.
        """
        before = self._seen.get(epoch)
        if before is None:
            return False
        quality = self._quality[id(outlook)]
        place = (1 - self._share) * (len(before) - 1)
        is_stopped = False
        if before:
            low, part = int(place), place - int(place)
            high = min(low + 1, len(before) - 1)
            is_stopped = quality < before[low] * (1 - part) + before[high] * part
        bisect.insort(before, quality)
        return is_stopped


def _patience_end(outlook: Outlook, outlooks: Sequence[Outlook], generator: Generator) -> int:
    """Return the epoch at which a trial ends if no rung stops it before.

    When patience runs out is not known before some trials with patience have ended: until then
    any epoch is as likely.
    """
    last = outlook.num_epochs
    if not outlook.patience_epochs:
        return last
    first = max(outlook.epoch + 1, min(outlook.patience_epochs + 1, last))
    patient = (o for o in outlooks if o.is_over and o.patience_epochs and o.epoch)
    ended = [o.epoch / o.num_epochs for o in patient]
    if len(ended) >= 3:
        drawn = round(ended[int(generator.integers(len(ended)))] * last)
        return max(first, min(drawn, last))
    return int(generator.integers(first, last + 1)) if first < last else last
