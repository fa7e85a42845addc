"""Which of a sweep's objectives its scheduler and its searcher decide by."""

from __future__ import annotations

from typing import Final

from analysis.records import Objective
from sweeps.spec import SearcherName, SweepSpec
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
    steering = _without_cost(objectives)
    num_known = sum(objective.is_known_before_training for objective in steering)
    if spec.halving_order == "peer" and (len(steering), num_known) != (2, 1):
        raise InputError(
            "--halving-order peer must have two objectives to steer by, of which one is known "
            f"before training, got {' '.join(map(str, steering))}; choose epsnet or crowding"
        )
    return steering


def choose_searcher(spec: SweepSpec, objectives: tuple[Objective, ...]) -> SearcherName:
    """Return the searcher that was asked for, or the one that suits the objectives."""
    if spec.searcher is not None:
        return spec.searcher
    can_know = spec.scheduler == "mo_asha" and _fits_known_latency(_without_cost(objectives))
    return "known_latency" if can_know else "random"


def searching_objectives(
    searcher: SearcherName, objectives: tuple[Objective, ...]
) -> tuple[Objective, ...]:
    """Return the objectives that a searcher decides by.

    Raises:
        InputError: if they don't fit the searcher.
    """
    if searcher == "random":
        return ()
    if searcher == "tpe":
        return objectives[:1]
    searching = _without_cost(objectives)
    if searcher == "known_latency" and not _fits_known_latency(searching):
        raise InputError(
            "--searcher known_latency must have one objective that training finds out and one or "
            f"two that are known before it, got {' '.join(map(str, searching))}; change "
            "--objectives or choose motpe"
        )
    return searching


def _fits_known_latency(objectives: tuple[Objective, ...]) -> bool:
    num_known = sum(objective.is_known_before_training for objective in objectives)
    return num_known in (1, 2) and len(objectives) == num_known + 1


def _without_cost(objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
    """Return what an epoch reports, and what is known before training."""
    return tuple(
        objective
        for objective in objectives
        if objective.column in STEERING_COLUMNS or objective.is_known_before_training
    )
