"""Which of a sweep's objectives its scheduler decides by."""

from __future__ import annotations

from typing import Final

from analysis.records import Objective
from sweeps.spec import SweepSpec
from trainables.epoch_result import STEERING_COLUMNS
from trainables.errors import InputError

MULTI_OBJECTIVE: Final = ("mo_asha", "mo_pbt")


def steering_objectives(
    spec: SweepSpec, objectives: tuple[Objective, ...]
) -> tuple[Objective, ...]:
    """Return the objectives that the scheduler decides by.

    What a trial has cost is none of them: it says how long the trial was let go on.

    Raises:
        InputError: if they don't fit the order that was asked for.
    """
    if spec.scheduler not in MULTI_OBJECTIVE:
        return objectives[:1]
    steering = tuple(
        objective
        for objective in objectives
        if objective.column in STEERING_COLUMNS or objective.is_known_before_training
    )
    num_known = sum(objective.is_known_before_training for objective in steering)
    if spec.halving_order == "peer" and (len(steering), num_known) != (2, 1):
        raise InputError(
            "--halving-order peer must have two objectives to steer by, of which one is known "
            f"before training, got {' '.join(map(str, steering))}; choose epsnet or crowding"
        )
    return steering
