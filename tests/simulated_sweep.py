"""Sweeps in virtual time, with a real `Budget` and a real `Ledger`: none takes a second.

Gangs start, train, fail and end as in a sweep; how long each thing takes is drawn. The watch looks
four times a second, as `sweeps.ledger_watch` does.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweeps.budget import Budget, Examination, Limits
from trainables.ledger import Ledger
from trainables.trial_config import TrialConfig

POLL_S = 0.25
LONGEST_KILL_S = 0.6  # 0.5 s were measured on a machine with a load of 5


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated sweep.

    Attributes:
        excess_s: for how long the gangs were held beyond the limit, all of them; negative: below.
        left_s: for how long they could still have been held.
        num_epochs: trained.
        num_given_up: epochs cut off at the limit.
        num_examined: finalists.
        ledger: of the gangs.
    """

    excess_s: float
    left_s: float
    num_epochs: int
    num_given_up: int
    num_examined: int
    ledger: Ledger


class SimulatedSweep:
    """One sweep, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        draw = self._random
        self._num_gangs = draw.choice([1, 1, 2, 3, 8])
        self._base_s = {width: draw.lognormvariate(1.0, 1.0) for width in (4, 8, 16)}
        self._num_epochs = draw.randint(1, 12)
        self._checkpoint_epochs = draw.choice([1, 1, 1, 2, 4])
        self._failure_s = draw.choice([None, None, 30.0, 120.0])  # mean time to the next
        self._overrun_fraction = draw.choice([0.0, 0.02, 0.2])
        self._now_s = draw.uniform(0, 1e6)
        self._start_s = self._now_s
        limit_s = draw.uniform(2, 400)
        self._limits = draw.choice(
            [
                Limits(gang_seconds=limit_s * self._num_gangs),
                Limits(ends_at_s=self._now_s + limit_s),
                Limits(limit_s * self._num_gangs, self._now_s + limit_s * draw.uniform(0.5, 2)),
            ]
        )
        self._examination = Examination(
            num_finalists=draw.choice([0, 1, 3]), num_gangs=self._num_gangs, num_workers=2,
            num_val=400, num_train=1200, num_test=400, robustness_samples=draw.choice([0, 100]),
            attribution_samples=draw.choice([0, 4]),
        )  # fmt: skip
        self._budget = Budget(self._limits, self._examination)
        self._ledger = Ledger(self._num_gangs, lambda: self._now_s)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._queue: deque[tuple[str, dict[str, Any], int]] = deque(
            (f"t{index}", self._config(), 0) for index in range(draw.randint(1, 40))
        )
        # An event of a gang counts only if nothing has happened to the gang since.
        self._versions = [0] * self._num_gangs
        self._busy: set[int] = set()
        self._current: dict[int, tuple[str, dict[str, Any], int]] = {}
        self._up: set[int] = set()
        self._val_seconds = 0.0
        self._is_searching, self._is_over = True, False
        self._num_trained = self._num_given_up = self._num_examined = self._num_ended = 0

    def _config(self) -> dict[str, Any]:
        return TrialConfig(width=self._random.choice([4, 8, 16])).to_dict()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now_s + seconds, next(self._numbers), action))

    def _of_gang(self, gang: int, seconds: float, action: Callable[[], None]) -> None:
        self._versions[gang] += 1
        version = self._versions[gang]
        self._later(seconds, lambda: action() if self._versions[gang] == version else None)

    def run(self) -> Outcome:
        """Play the sweep to its end."""
        for gang in range(self._num_gangs):
            self._of_gang(gang, self._random.uniform(1, 40), lambda gang=gang: self._be_ready(gang))
            self._await_failure(gang)
        self._later(0.0, self._watch)
        while self._num_ended < self._num_gangs:
            self._now_s, _, action = heapq.heappop(self._events)
            action()
        held = self._ledger.holding().held_seconds
        left = []
        if self._limits.gang_seconds is not None:
            left.append((self._limits.gang_seconds - held) / self._num_gangs)
        if self._limits.ends_at_s is not None:
            left.append(self._limits.ends_at_s - self._now_s)
        return Outcome(
            -min(left), min(left), self._num_trained, self._num_given_up, self._num_examined,
            self._ledger,
        )  # fmt: skip

    # --- a gang's life

    def _be_ready(self, gang: int) -> None:
        self._up.add(gang)
        self._ledger.turn_to(gang, "idle", None, 1)
        self._seek(gang)

    def _seek(self, gang: int) -> None:
        """Take the next trial, a turn of Ray Tune later."""
        self._busy.discard(gang)
        self._of_gang(gang, self._random.uniform(0.01, 0.1), lambda: self._begin(gang))

    def _begin(self, gang: int) -> None:
        if not self._is_searching:
            return
        if not self._queue:
            self._of_gang(gang, 0.5, lambda: self._begin(gang))  # a lost trial may come back
            return
        trial_id, config, epoch = self._queue.popleft()
        self._ledger.turn_to(gang, "training", trial_id, 1)
        self._train(gang, trial_id, config, epoch)

    def _train(self, gang: int, trial_id: str, config: dict[str, Any], epoch: int) -> None:
        step = self._checkpoint_epochs
        if epoch % step == 0:
            num = min(step, self._num_epochs - epoch)
            holding = self._ledger.holding()
            if self._budget.refusal(trial_id, config, num, holding) is not None:
                self._ledger.turn_to(gang, "idle", None, 1)
                self._seek(gang)
                return
        self._busy.add(gang)
        seconds = self._base_s[config["width"]] * self._random.lognormvariate(0, 0.1)
        if self._random.random() < self._overrun_fraction:
            seconds *= self._random.uniform(2, 30)
        self._current[gang] = (trial_id, config, epoch)
        self._of_gang(gang, seconds, lambda: self._trained(gang, seconds))

    def _trained(self, gang: int, seconds: float) -> None:
        trial_id, config, epoch = self._current.pop(gang)
        self._busy.discard(gang)
        self._num_trained += 1
        val_seconds = 0.1 * self._base_s[config["width"]]
        self._val_seconds = max(self._val_seconds, val_seconds)
        self._budget.observe(trial_id, config, seconds, {"val_seconds": val_seconds})
        is_saved = (epoch + 1) % self._checkpoint_epochs == 0
        if is_saved:
            self._ledger.mark_saved(gang)
        is_done = epoch + 1 >= self._num_epochs
        if is_done or (is_saved and self._random.random() < 0.2):  # or paused
            if not is_done:
                self._queue.append((trial_id, config, epoch + 1))
            self._ledger.turn_to(gang, "idle", None, 1)
            self._seek(gang)
        else:
            again = self._random.uniform(0.01, 0.05)
            self._of_gang(gang, again, lambda: self._train(gang, trial_id, config, epoch + 1))

    def _await_failure(self, gang: int) -> None:
        if self._failure_s is not None:
            self._later(self._random.expovariate(1 / self._failure_s), lambda: self._fail(gang))

    def _fail(self, gang: int) -> None:
        if self._is_over:
            return
        if gang in self._up and self._is_searching:
            self._up.discard(gang)
            self._busy.discard(gang)
            lost = self._current.pop(gang, None)
            if lost is not None:
                trial_id, config, epoch = lost
                self._queue.appendleft((trial_id, config, epoch - epoch % self._checkpoint_epochs))
            self._ledger.lose(gang)
            self._ledger.turn_to(gang, "lost", None, 1)
            self._of_gang(gang, self._random.uniform(3, 40), lambda: self._be_ready(gang))
        self._await_failure(gang)

    # --- the watch

    def _watch(self) -> None:
        holding = self._ledger.holding()
        if holding.num_held == 0:
            return
        left_s = self._budget.until_end_s(holding)
        if left_s <= 0:
            self._kill()
            return
        is_idle = not self._busy
        is_trained = not self._queue and len(self._up) == self._num_gangs
        if self._is_searching and is_idle and (self._budget.is_spent(holding) or is_trained):
            self._is_searching = False
            self._later(self._random.uniform(0.05, 0.5), self._examine)
        self._later(max(0.001, min(POLL_S, left_s)), self._watch)

    def _kill(self) -> None:
        self._is_over = True
        self._num_given_up += len(self._busy)
        for gang in range(self._num_gangs):
            self._ledger.lose(gang)
            self._ledger.turn_to(gang, "end", None, 1)
            self._end(gang, self._random.uniform(0.02, LONGEST_KILL_S))

    def _examine(self) -> None:
        if self._is_over:
            return
        left_s = self._budget.until_end_s(self._ledger.holding())
        self._num_examined = self._examination.num_fitting(self._val_seconds, left_s)
        seconds = self._examination.seconds(self._val_seconds, self._num_examined)
        for gang in range(self._num_gangs):
            self._ledger.turn_to(gang, "examination", "t0", 1)
            self._versions[gang] += 1
        self._later(seconds * self._random.lognormvariate(0, 0.5), self._close)

    def _close(self) -> None:
        if self._is_over:
            return
        for gang in range(self._num_gangs):
            self._ledger.turn_to(gang, "end", None, 1)
            self._end(gang, self._random.uniform(0.3, 2.5))

    def _end(self, gang: int, seconds: float) -> None:
        self._of_gang(gang, seconds, lambda: self._ended(gang))

    def _ended(self, gang: int) -> None:
        self._ledger.close(gang)
        self._num_ended += 1


def simulate(seed: int) -> Outcome:
    """Return what comes of the sweep of a seed."""
    return SimulatedSweep(seed).run()
