"""Ray Tune's own population schedulers, set up so that they work on gangs.

Both draw from Python's and NumPy's global generators, which are set for each report, and hold
Tune's trials and checkpoints. A sweep that goes on rebuilds what they knew from what they were
told.
"""

from __future__ import annotations

import dataclasses
import math
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pb2 import PB2

from sweeps.journal import Event
from sweeps.plan import SweepPlan
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.pbt_past import Look, PbtPast
from sweeps.spaces import bounded_part
from trainables.checkpoint_store import checkpoint_epoch

OnExploit = Callable[[str, str, int, Mapping[str, Any]], None]
"""Hears of (trial id, donor id, the donor's epoch, the new config)."""

RESAMPLE_PROBABILITY: Final = 0.25
"""Share of hyperparameters that explore draws anew instead of perturbing."""


class _Recorded:
    """Tells of each exploit, and knows which checkpoints it may still need.

    What it draws depends on the trial and the epoch, not on what was drawn before. A report of NaN
    is taken for the worst that any member has reported: Ray would sort by it at random, and PB2
    fail.
    """

    _worst: float | None = None
    _num_turns = 0

    def __init__(self, on_exploit: OnExploit, explore: Explore, **options: Any) -> None:
        super().__init__(**options)
        self._on_exploit = on_exploit
        self._explore = explore
        self._turns: dict[str, int] = {}  # by trial: the number of its last report, of all
        self._past = PbtPast(
            self._metric,  # type: ignore[attr-defined]
            self._metric_op,  # type: ignore[attr-defined]
            self._perturbation_interval,  # type: ignore[attr-defined]
        )

    def replay(self, event: Event) -> Look | None:
        """See `Replayable`; return the look at a member that it was, if it was one."""
        if event.kind == "report":
            self._take_turn(event.fields["trial_id"])
            result = self._with_number(event.fields["result"])
            event = dataclasses.replace(event, fields={**event.fields, "result": result})
        return self._past.replay(event)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See `TrialScheduler`; a member of a resumed sweep is what it was."""
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        if trial.trial_id in self._past.members:
            state = self._trial_state[trial]  # type: ignore[attr-defined]
            vars(state).update(vars(self._past.members[trial.trial_id]))
            state.last_checkpoint = trial.checkpoint

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """See `TrialScheduler`."""
        result = self._with_number(result)
        self._restart(trial.trial_id, int(result["epoch"]))
        self._take_turn(trial.trial_id)
        decision: str = super().on_trial_result(  # type: ignore[misc]
            tune_controller, trial, result
        )
        return decision

    def _take_turn(self, trial_id: str) -> None:
        self._num_turns += 1
        self._turns[trial_id] = self._num_turns

    def _with_number(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a report with a number to sort by, and note the worst."""
        name, sign = self._metric, self._metric_op  # type: ignore[attr-defined]
        value = result.get(name, math.nan)
        if value is None or not math.isfinite(value):
            return {**result, name: self._worst if self._worst is not None else 0.0}
        if self._worst is None or sign * value < sign * self._worst:
            self._worst = value
        return dict(result)

    def _restart(self, trial_id: str, epoch: int) -> None:
        """Set the generators: Ray's own are the global ones."""
        key = f"{self._explore.seed} {trial_id} {epoch}"
        random.seed(key)
        np.random.seed(zlib.crc32(key.encode()))  # noqa: NPY002
        self._explore.restart(trial_id, epoch)

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)  # type: ignore[misc]
        epoch = checkpoint_epoch(trial.checkpoint.path)
        self._on_exploit(trial.trial_id, trial_to_clone.trial_id, epoch, trial.config)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """See `TrialScheduler`; of those that have trained least, who has waited longest.

        Ray takes the first of these. One that copies a donor of its own epoch is among them again
        at once; where it is the first and stays among the worst, no other would ever train.
        """
        waiting = (Trial.PENDING, Trial.PAUSED)
        chosen: Trial | None = min(
            (trial for trial in tune_controller.get_trials() if trial.status in waiting),
            key=lambda trial: (
                self._trial_state[trial].last_train_time,  # type: ignore[attr-defined]
                self._turns.get(trial.trial_id, 0),
            ),
            default=None,
        )
        return chosen

    def donor_checkpoints(self) -> set[str]:
        """Return the paths of checkpoints that the next exploit may copy."""
        states = self._trial_state.values()  # type: ignore[attr-defined]
        checkpoints = (state.last_checkpoint for state in states)
        return {c.path for c in checkpoints if hasattr(c, "path")}


class Fifo(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's scheduler that decides nothing."""

    def replay(self, event: Event) -> None:
        """See `Replayable`; it has nothing to remember."""


class RecordedPBT(_Recorded, PopulationBasedTraining):  # type: ignore[misc]  # untyped
    """Ray's PBT; see `_Recorded`."""


@dataclass(frozen=True)
class _Member:
    """A trial, as far as PB2's tables hold it: by its id, with the config that it has now."""

    trial_id: str
    config: Mapping[str, Any]

    def __str__(self) -> str:
        return self.trial_id


class RecordedPB2(_Recorded, PB2):  # type: ignore[misc]  # untyped
    """Ray's PB2; see `_Recorded`.

    Its tables are what it was told and what it chose: told again, it chooses again, from generators
    set as they were. What members went on with is what the journal says.
    """

    def __init__(self, on_exploit: OnExploit, explore: Explore, **options: Any) -> None:
        super().__init__(on_exploit, explore, **options)
        self._configs: dict[str, Mapping[str, Any]] = {}  # of an earlier process
        self._taken: dict[str, Mapping[str, Any]] = {}  # by exploits whose report comes next

    def replay(self, event: Event) -> Look | None:
        """See `Replayable`."""
        look, trial_id = super().replay(event), event.fields.get("trial_id", "")
        if event.kind in ("admit", "reopen"):
            self._configs[trial_id] = event.fields["config"]
        elif event.kind == "exploit":
            self._taken[trial_id] = event.fields["config"]
        elif look is not None:
            self._look_again(trial_id, look)
        return look

    def _look_again(self, trial_id: str, look: Look) -> None:
        epoch = int(look.result["epoch"])
        self._restart(trial_id, epoch)
        member = _Member(trial_id, self._configs[trial_id])
        self._save_trial_state(SimpleNamespace(), epoch, look.result, member)
        if look.donor_id is not None:
            self._get_new_config(member, _Member(look.donor_id, self._configs[look.donor_id]))
            self._configs[trial_id] = self._taken.pop(trial_id)

    def _save_trial_state(
        self, state: Any, time: int, result: Mapping[str, Any], trial: Any
    ) -> Any:
        return super()._save_trial_state(state, time, result, _Member(trial.trial_id, trial.config))

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> Any:
        return super()._get_new_config(
            _Member(trial.trial_id, trial.config),
            _Member(trial_to_clone.trial_id, trial_to_clone.config),
        )


def make_population(plan: SweepPlan, on_exploit: OnExploit) -> TrialScheduler:
    """Return Ray's PBT or PB2; the first objective steers it.

    PB2's Gaussian process chooses the numbers that have one pair of bounds; the others are explored
    as PBT does.
    """
    steering = plan.objectives[0]
    common = {
        "time_attr": "epoch",
        "metric": steering.column,
        "mode": steering.direction,
        "perturbation_interval": plan.perturbation_epochs,
        "log_config": False,
    }
    if plan.spec.scheduler == "pbt":
        explore = Explore(plan.mutable, plan.spec.seed, RESAMPLE_PROBABILITY)
        return RecordedPBT(on_exploit, explore, custom_explore_fn=explore, **common)
    bounds = bounded_part(plan.mutable, plan.space, plan.fixed)
    others = {name: entry for name, entry in plan.mutable.items() if name not in bounds}
    explore = Explore(others, plan.spec.seed, RESAMPLE_PROBABILITY)

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        # PB2 computes in 32 bits, and so may leave a bound by a rounding.
        clipped = {name: min(max(config[name], low), high) for name, (low, high) in bounds.items()}
        return explore({**config, **clipped})

    return RecordedPB2(
        on_exploit,
        explore,
        hyperparam_bounds={name: list(pair) for name, pair in bounds.items()},
        custom_explore_fn=inside,
        **common,
    )
