"""Multi-objective population-based training (MO-PBT).

Dushatskiy et al. 2023, "Multi-objective population based training" (ICML): a population is ordered
by non-dominated fronts, inside a front by how far a member is from all that were taken before; the
worst quarter goes on from the weights of the best, with hyperparameters changed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.records import Objective
from sweeps.schedulers.fronts import IncrementalFronts
from sweeps.schedulers.losses import from_plain, normalised, report_losses, to_plain
from sweeps.schedulers.protocol import Decision, Exploit, Report, Resume


class Explorer(Protocol):
    """Changes a donor's config, with a generator of its own."""

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a changed copy."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, as plain values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        ...


@dataclass(frozen=True)
class PopulationOptions:
    """When and how much of a population is replaced.

    Attributes:
        interval_epochs: between two looks at a member.
        max_epochs: of a full training.
        quantile: the worst are replaced by the best, so much of the population each.
        quorum_fraction: None: each member is looked at when it comes (asynchronous); else members
            wait until so much of the population is there, and the dead are not waited for.
    """

    interval_epochs: int
    max_epochs: int
    quantile: float = 0.25
    quorum_fraction: float | None = None


class MoPbt:
    """See the module's text; a `Scheduler`.

    Args:
        objectives: at least one; with one, it is population-based training.
        explore: changes a donor's config.
        options: of the population.
        seed: >= 0.
    """

    makes_room = True

    def __init__(
        self,
        objectives: Sequence[Objective],
        explore: Explorer,
        options: PopulationOptions,
        seed: int,
    ) -> None:
        self._objectives = tuple(objectives)
        self._explore = explore
        self._options = options
        self._generator = np.random.default_rng((seed, 0x9B7))
        self._configs: dict[str, dict[str, Any]] = {}  # of the members that live
        self._losses: dict[str, list[float]] = {}  # when they were looked at last
        self._due: dict[str, int] = {}
        self._waiting: dict[str, None] = {}
        self._released: dict[str, Exploit | None] = {}

    def on_add(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, float]) -> None:
        """Take a member in."""
        self._configs[trial_id] = dict(config)
        self._due[trial_id] = self._options.interval_epochs

    def on_report(self, report: Report) -> Decision | Exploit:
        """Look at a member whose interval is over."""
        if report.epoch >= self._options.max_epochs:
            return Decision.STOP
        if report.epoch < self._due[report.trial_id]:
            return Decision.CONTINUE
        step = self._options.interval_epochs
        self._due[report.trial_id] = (report.epoch // step + 1) * step
        self._losses[report.trial_id] = report_losses(report, self._objectives)
        if self._options.quorum_fraction is not None:
            self._waiting[report.trial_id] = None
            self._release_at_quorum()
            return Decision.PAUSE
        order = self._order()
        exploit = self._judge(report.trial_id, order)
        if exploit is not None:
            self._become(report.trial_id, exploit)
            return exploit
        if report.is_contended:
            return Decision.PAUSE  # saved, and those that wait catch up
        is_donor = report.trial_id in order[: self._num_replaced()]
        return Decision.SAVE if is_donor else Decision.CONTINUE

    def on_complete(self, trial_id: str) -> None:
        """Let a member go."""
        self._forget(trial_id)

    def on_error(self, trial_id: str) -> None:
        """Let a member go: nobody waits for the dead."""
        self._forget(trial_id)

    def _forget(self, trial_id: str) -> None:
        for known in (self._configs, self._losses, self._due, self._waiting, self._released):
            known.pop(trial_id, None)
        self._release_at_quorum()

    def choose_next(self, paused: Collection[str], num_pending: int) -> Resume | None:
        """Return the member that goes on: who has trained least, once all have begun."""
        if self._options.quorum_fraction is not None:
            ready = [trial_id for trial_id in paused if trial_id in self._released]
        else:
            ready = [] if num_pending else list(paused)
        if not ready:
            return None
        trial_id = min(ready, key=self._due.__getitem__)
        return Resume(trial_id, self._released.pop(trial_id, None))

    def state_dict(self) -> dict[str, Any]:
        """See `Scheduler`."""
        return {
            "configs": {trial_id: dict(config) for trial_id, config in self._configs.items()},
            "losses": {trial_id: to_plain(losses) for trial_id, losses in self._losses.items()},
            "due": dict(self._due),
            "waiting": list(self._waiting),
            "released": {
                trial_id: exploit and [exploit.donor_id, dict(exploit.config)]
                for trial_id, exploit in self._released.items()
            },
            "generator": self._generator.bit_generator.state,
            "explore": self._explore.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Scheduler`."""
        self._configs = {trial_id: dict(config) for trial_id, config in state["configs"].items()}
        self._losses = {
            trial_id: from_plain(losses) for trial_id, losses in state["losses"].items()
        }
        self._due = dict(state["due"])
        self._waiting = dict.fromkeys(state["waiting"])
        self._released = {
            trial_id: exploit and Exploit(*exploit)
            for trial_id, exploit in state["released"].items()
        }
        self._generator.bit_generator.state = state["generator"]
        self._explore.load_state_dict(state["explore"])

    def _release_at_quorum(self) -> None:
        fraction = self._options.quorum_fraction
        if not self._waiting or fraction is None:
            return
        if len(self._waiting) < max(1, math.ceil(fraction * len(self._configs))):
            return
        order = self._order()
        for trial_id in list(self._waiting):
            self._released[trial_id] = self._judge(trial_id, order)
        for trial_id in self._waiting:
            exploit = self._released[trial_id]
            if exploit is not None:
                self._become(trial_id, exploit)
        self._waiting.clear()

    def _become(self, trial_id: str, exploit: Exploit) -> None:
        self._configs[trial_id] = dict(exploit.config)
        del self._losses[trial_id]  # nobody copies it before it is looked at again

    def _num_replaced(self) -> int:
        return math.floor(self._options.quantile * len(self._losses))

    def _judge(self, trial_id: str, order: Sequence[str]) -> Exploit | None:
        """Return whom a member of the worst takes over; None for the others."""
        num = self._num_replaced()
        if not num or trial_id not in order[-num:]:
            return None
        donor_id = order[int(self._generator.integers(num))]
        return Exploit(donor_id, self._explore(self._configs[donor_id]))

    def _order(self) -> list[str]:
        """Return the members that were looked at, best first; those without a value last."""
        ids = list(self._losses)
        losses = np.array([self._losses[trial_id] for trial_id in ids])
        is_known = ~np.isnan(losses).any(axis=1)
        best_first = order_of(losses[is_known])
        known = [trial_id for trial_id, keep in zip(ids, is_known, strict=True) if keep]
        unknown = [trial_id for trial_id, keep in zip(ids, is_known, strict=True) if not keep]
        return [known[place] for place in best_first] + unknown


def order_of(losses: NDArray[np.float64]) -> list[int]:
    """Return the order of a population: by fronts, in a front the farthest from all before first.

    Distances are between objectives normalised to the population's ranges. The first is the best
    of the first objective.

    Args:
        losses: [num_members, num_objectives]; lower is better; finite.
    """
    if not len(losses):
        return []
    fronts = IncrementalFronts()
    for number, row in enumerate(losses):
        fronts.add(number, row)
    points = normalised(losses)
    order: list[int] = []
    distances = np.full(len(losses), np.inf)
    rank = 0
    while len(order) < len(losses):
        members = np.sort(fronts.front(rank)[0])
        if not order:
            members = members[np.lexsort(losses[members].T[::-1])]
        remaining = list(members)
        while remaining:
            place = int(np.argmax(distances[remaining]))
            order.append(int(remaining.pop(place)))
            distances = np.minimum(distances, ((points - points[order[-1]]) ** 2).sum(axis=1))
        rank += 1
    return order
