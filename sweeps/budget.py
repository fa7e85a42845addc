"""What a sweep may spend, and which epochs it can still pay. Pure: no Ray, no clock of its own.

All gangs are held from the start of a sweep to its end, whether they train or not. So money,
gang-hours and time come to the same thing: seconds that are left. An epoch is paid for if the
longest that it should take fits into them, and after it the examination of the finalists and the
end of the gangs. One that takes longer is given up when only the end is left.
"""

from __future__ import annotations

import functools
import json
import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trainables.epoch_result import num_validated
from trainables.ledger import Holding
from trainables.trial_config import TrialConfig

END_RESERVE_S: Final = 1.0
"""Seconds kept for the end of the gangs: killed workers are gone in half of it."""

SEARCH_END_S: Final = 1.0
"""Seconds kept for the end of the search, between the last epoch and the examination."""

OWN_MARGIN: Final = 1.25
"""An epoch may take this much longer than the longest of its trial's last few."""

SIBLING_MARGIN: Final = 1.5
"""The same, by the epochs of others of its architecture, or by steps that were timed before."""

STRANGER_MARGIN: Final = 2.0
"""The same, by the epochs of other architectures."""

REMEMBERED_EPOCHS: Final = 5

_ROBUSTNESS_PASSES: Final = 38 + 3 * 44  # a backward pass costs two forward ones
_ATTRIBUTION_PASSES: Final = 3 * 50 + 50
_EXAMINATION_START_S: Final = 1.0
_EXAMINATION_SHARE: Final = 0.8
"""Of a sample's forward pass in validation: batches are larger, and scores cost less."""

EXAMINATION_MARGIN: Final = 1.5
"""An examination may take this much longer than it should."""


@dataclass(frozen=True)
class Limits:
    """What may be spent; None: without limit.

    Attributes:
        gang_seconds: held by all gangs together, from before their placement to their end.
        ends_at_s: when all gangs shall have ended, on the clock of the ledger.
    """

    gang_seconds: float | None = None
    ends_at_s: float | None = None


@dataclass(frozen=True)
class Examination:
    """How much the examination of the finalists computes.

    Attributes:
        num_finalists: examined, at most.
        num_gangs: that do so at the same time.
        num_workers: of a gang; they share the test part, and rank 0 does the rest.
        num_val: validation samples.
        num_train: training samples.
        num_test: test samples.
        robustness_samples: 0 for texts.
        attribution_samples: >= 0.
    """

    num_finalists: int
    num_gangs: int
    num_workers: int
    num_val: int
    num_train: int
    num_test: int
    robustness_samples: int
    attribution_samples: int

    def seconds(self, val_seconds: float, num_finalists: int | None = None) -> float:
        """Return how long it should take, by how long a validation takes.

        Args:
            val_seconds: of one epoch's validation by all workers of a gang.
            num_finalists: None: all.
        """
        num = self.num_finalists if num_finalists is None else num_finalists
        if num == 0:
            return 0.0
        num_seen = num_validated(self.num_val, self.num_train)
        pass_s = val_seconds * self.num_workers / num_seen  # of one worker, for one sample
        passes = (
            self.num_test / self.num_workers
            + _ROBUSTNESS_PASSES * self.robustness_samples
            + _ATTRIBUTION_PASSES * self.attribution_samples
        )
        each_s = _EXAMINATION_START_S + _EXAMINATION_SHARE * passes * pass_s
        return math.ceil(num / self.num_gangs) * each_s

    def num_fitting(self, val_seconds: float, left_s: float) -> int:
        """Return how many finalists can be examined in the seconds that are left."""
        nums = range(self.num_finalists, 0, -1)
        longest_s = ((num, EXAMINATION_MARGIN * self.seconds(val_seconds, num)) for num in nums)
        return next((num for num, seconds in longest_s if seconds <= left_s), 0)


def epoch_key(config: Mapping[str, Any]) -> str:
    """Return a text that is equal for configs whose epochs should take about as long."""
    parsed = TrialConfig.from_dict(config)
    decisive = (parsed.batch_size, parsed.precision, parsed.is_compiled, parsed.is_channels_last)
    return json.dumps([parsed.architecture(), decisive], sort_keys=True)


class Budget:
    """The gate of a lease desk; see the module's text.

    Args:
        limits: at least one.
        examination: of the finalists.
        timed_seconds: of an epoch by `epoch_key`, as far as steps were timed before the start.
    """

    def __init__(
        self,
        limits: Limits,
        examination: Examination,
        timed_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._limits = limits
        self._examination = examination
        self._timed = dict(timed_seconds or {})
        last_few = functools.partial(deque[float], maxlen=REMEMBERED_EPOCHS)
        self._by_trial: dict[str, deque[float]] = defaultdict(last_few)
        self._by_key: dict[str, deque[float]] = defaultdict(last_few)
        self._shortest_s = min(self._timed.values(), default=0.0)
        self._longest_s = 0.0
        self._val_seconds = 0.0

    def left_s(self, holding: Holding) -> float:
        """Return for how long all gangs can still be held; negative if too much was spent."""
        limits, left = self._limits, math.inf
        if limits.gang_seconds is not None:
            left = (limits.gang_seconds - holding.held_seconds) / max(1, holding.num_held)
        if limits.ends_at_s is not None:
            left = min(left, limits.ends_at_s - holding.now_s)
        return left

    def until_end_s(self, holding: Holding) -> float:
        """Return the seconds until everything must be given up and the gangs be ended."""
        return self.left_s(holding) - END_RESERVE_S

    def examination_s(self) -> float:
        """Return how long the finalists' examination may take, with the way there.

        0 before the first validation, and where nobody is examined.
        """
        if not self._val_seconds or not self._examination.num_finalists:
            return 0.0
        return EXAMINATION_MARGIN * self._examination.seconds(self._val_seconds) + SEARCH_END_S

    def test_s(self) -> float:
        """Return how long one more finalist's scores on the test part may take."""
        alone = replace(
            self._examination, num_finalists=1, robustness_samples=0, attribution_samples=0
        )
        return EXAMINATION_MARGIN * alone.seconds(self._val_seconds)

    def longest_s(self, trial_id: str, config: Mapping[str, Any]) -> float:
        """Return how long an epoch of a trial should take at most; 0 if nothing is known."""
        key = epoch_key(config)
        if trial_id in self._by_trial:
            return OWN_MARGIN * max(self._by_trial[trial_id])
        if key in self._by_key:
            return SIBLING_MARGIN * max(self._by_key[key])
        if key in self._timed:
            return SIBLING_MARGIN * self._timed[key]
        return STRANGER_MARGIN * self._longest_s

    def refusal(
        self,
        trial_id: str,
        config: Mapping[str, Any],
        num_epochs: int,
        holding: Holding,
        *,
        is_retraining: bool = False,
    ) -> str | None:
        """Return why a trial's next epochs can't be paid; None if they can."""
        need_s = num_epochs * self.longest_s(trial_id, config)
        kept_s = self.test_s() if is_retraining else self.examination_s()
        kept_s += END_RESERVE_S
        left_s = self.left_s(holding)
        if need_s + kept_s <= left_s:
            return None
        epochs = "its next epoch" if num_epochs == 1 else f"its next {num_epochs} epochs"
        return (
            f"the budget could not pay {epochs} (up to {need_s:.3g} s): "
            f"{max(0.0, left_s - kept_s):.3g} s were left beside {kept_s:.3g} s for the finalists "
            "and the end"
        )

    def observe(
        self, trial_id: str, config: Mapping[str, Any], seconds: float, result: Mapping[str, Any]
    ) -> None:
        """Hear how long an epoch took, its checkpoint included, and what it gave."""
        for measured in (self._by_trial[trial_id], self._by_key[epoch_key(config)]):
            measured.append(seconds)
        self._shortest_s = min(self._shortest_s or seconds, seconds)
        self._longest_s = max(self._longest_s, seconds)
        self._val_seconds = max(self._val_seconds, float(result.get("val_seconds") or 0.0))

    def is_spent(self, holding: Holding) -> bool:
        """Tell whether not even the shortest epoch that is known could be paid."""
        kept_s = self.examination_s() + END_RESERVE_S
        return self._shortest_s + kept_s > self.left_s(holding)
