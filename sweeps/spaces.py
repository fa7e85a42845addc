"""Tuning spaces: what is in them, checked before the start, and what PBT may mutate.

A space maps fields of `TrialConfig` to domains; fields it doesn't name are fixed. Whether a field
may be mutated in mid-training is a property of the field, not of a space.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from sweeps.combinations import (
    build_config,
    combinations,
    condition_values,
    count_combinations,
    used_domains,
)
from sweeps.domains import Choice, Domain, Space, Switch, Uniform
from trainables.errors import InputError
from trainables.models import MODELS, find_model
from trainables.task import Task
from trainables.trial_config import (
    ARCHITECTURE_FIELDS,
    CONDITIONS,
    MUTABLE_FIELDS,
    TrialConfig,
    default_of,
    rules,
    unused_reason,
)

MAX_ARCHITECTURES: Final = 256
"""In a space: the latency of each is measured before the first trial trains."""

STRUCTURE: Final = ARCHITECTURE_FIELDS | frozenset(CONDITIONS)
"""The fields that decide, among them, whether a combination can be built."""

_ADAPTIVE_RATE: Final = Uniform(1e-4, 1e-2, is_log=True)
_COUPLED_DECAY: Final = Uniform(1e-5, 5e-3, is_log=True)
_DECOUPLED_DECAY: Final = Uniform(1e-3, 0.3, is_log=True)

LEARNING_RATES: Final = Switch(
    "optimizer",
    {
        "sgd": Uniform(0.01, 0.5, is_log=True),  # around 0.1: He et al. 2016
        "adam": _ADAPTIVE_RATE,  # around 1e-3: Kingma and Ba 2015
        "adamw": _ADAPTIVE_RATE,
        # Momentum m lengthens its steps by 1 / (1 - m), unlike Adam's.
        "rmsprop": Uniform(2e-5, 2e-3, is_log=True),
        "muon": _ADAPTIVE_RATE,  # shared with the AdamW part of Muon
    },
)

WEIGHT_DECAYS: Final = Switch(
    "optimizer",
    {
        # A step takes rate x decay off the weights, and decoupled from the gradient (Loshchilov
        # and Hutter 2019, arXiv:1711.05101) that rate is a hundredth of SGD's.
        "sgd": _COUPLED_DECAY,
        "adam": _COUPLED_DECAY,
        "adamw": _DECOUPLED_DECAY,
        "rmsprop": _COUPLED_DECAY,
        "muon": _DECOUPLED_DECAY,
    },
)

_WHY_FIXED: Final = {
    "architecture": "weights of one architecture don't fit another",
    "optimizer": "the optimizer's state or the schedule would no longer fit",
    "regularisation": "it judges the training as a whole",
    "hardware": "a trial is set up for it once",
}
"""Why a field that can't change in mid-training can't, by its group."""


def architectures(space: Space, fixed: Mapping[str, Any], task: Task) -> list[TrialConfig]:
    """Return a config for every distinct architecture in the space that can be built.

    Raises:
        InputError: if none can, there are more than `MAX_ARCHITECTURES` combinations, or a field
            of the architecture is no Choice.
    """
    distinct: dict[tuple[tuple[str, Any], ...], TrialConfig] = {}
    for config in fitting_structures(space, fixed, task):
        distinct.setdefault(tuple(config.architecture().items()), config)
    return list(distinct.values())


def fitting_structures(space: Space, fixed: Mapping[str, Any], task: Task) -> list[TrialConfig]:
    """Return a config for every combination of `STRUCTURE` in the space that can be built.

    Raises:
        InputError: as `architectures`.
    """
    fitting, reasons = _try_structures(space, fixed, task)
    if not fitting:
        raise next(iter(reasons.values()))
    return fitting


def _try_structures(
    space: Space, fixed: Mapping[str, Any], task: Task
) -> tuple[list[TrialConfig], dict[tuple[str, Any], InputError]]:
    """Return the structures that fit, and why others don't by each of the values they have."""
    for name, entry in space.items():
        domains = entry.cases.values() if isinstance(entry, Switch) else (entry,)
        if name in ARCHITECTURE_FIELDS and not all(isinstance(d, Choice) for d in domains):
            raise InputError(
                f"{name} must be a Choice, since it defines the architecture, got {entry}; "
                "list its values"
            )
    switched = {entry.on for entry in space.values() if isinstance(entry, Switch)}
    part = {name: entry for name, entry in space.items() if name in ARCHITECTURE_FIELDS | switched}
    num_combinations = count_combinations(part, fixed, 1)
    if num_combinations > MAX_ARCHITECTURES:
        raise InputError(
            f"architectures must be <= {MAX_ARCHITECTURES} in a space, got {num_combinations}; "
            f"list fewer values of {', '.join(part)}"
        )
    fitting: list[TrialConfig] = []
    reasons: dict[tuple[str, Any], InputError] = {}
    structure = {name: entry for name, entry in space.items() if name in STRUCTURE}
    for values in combinations(structure, fixed, 1):
        try:
            fitting.append(build_config(values, task))
        except InputError as error:
            for item in values.items():
                reasons.setdefault(item, error)
    return fitting, reasons


def validate_space(space: Space, fixed: Mapping[str, Any], task: Task) -> None:
    """Check that every value and bound in a space belongs to a config that can be built.

    Raises:
        InputError: for a field that is unknown, for the other kind of data, or used by no model
            or optimizer in the space; a value outside the field's own bounds, or with which no
            combination can be built; and as `architectures`.
    """
    _check_names(space, fixed, task)
    _check_used(space, fixed, task)
    fitting, reasons = _try_structures(space, fixed, task)
    for (name, value), reason in reasons.items():
        if not any(getattr(config, name) == value for config in fitting):
            raise reason
    others = {name: entry for name, entry in space.items() if name not in STRUCTURE}
    witnesses = {
        item: config for config in fitting for item in used_domains(others, vars(config)).items()
    }
    for (name, domain), config in witnesses.items():
        for value in domain.grid(2):
            build_config({**vars(config), name: value}, task)


def _check_names(space: Space, fixed: Mapping[str, Any], task: Task) -> None:
    field_rules = rules()
    for name in (*space, *fixed):
        if name not in field_rules:
            raise InputError(
                f"a space must be of hyperparameters, got {name!r}; choose from "
                f"{', '.join(name for name in field_rules if field_rules[name].group)}"
            )
    for name in space:
        if not field_rules[name].group:
            raise InputError(
                f"{name} must be the sweep's own choice, got {space[name]} in its space; take it "
                "out of the space"
            )
        if field_rules[name].kind not in (None, task.kind):
            raise InputError(
                f"{name} must be left out for {task.kind} data, got {space[name]}; it is for "
                f"{field_rules[name].kind} data"
            )


def _check_used(space: Space, fixed: Mapping[str, Any], task: Task) -> None:
    """Check that each field in the space, or fixed at a value of its own, means something in it."""
    given = {name: value for name, value in fixed.items() if value != default_of(name)} | {**space}
    branches = [
        dict(zip(CONDITIONS, values, strict=True))
        for values in itertools.product(*condition_values(space, fixed).values())
    ]
    for name, value in given.items():
        reasons = [unused_reason(name, branch) for branch in branches]
        if all(reasons):
            users = _users(name, task)
            also = f" or add one of {', '.join(users)}" if users else ""
            raise InputError(
                f"{name} must be left out for {' or '.join(dict.fromkeys(map(str, reasons)))}, "
                f"got {value}; leave it out{also}"
            )


def _users(name: str, task: Task) -> list[str]:
    """Return the models, optimizers or schedules that use a field which some don't."""
    return [
        value
        for on in CONDITIONS
        if any(unused_reason(name, {on: value}) for value in rules()[on].choices)
        for value in rules()[on].choices
        if unused_reason(name, {on: value}) is None
        and (on != "model" or MODELS[value].kind == task.kind)
    ]


def mutable_part(space: Space, names: tuple[str, ...] | None) -> Space:
    """Return what PBT may mutate: all that can change in mid-training, or only `names`.

    Raises:
        InputError: if a name isn't in the space, can't change in mid-training, or nothing is left.
    """
    for name in names or ():
        if name not in space:
            raise InputError(
                f"mutate must be names in the space, got {name!r}; choose from {', '.join(space)}"
            )
        if name not in MUTABLE_FIELDS:
            raise InputError(
                f"mutate must be hyperparameters that can change in mid-training, got {name!r} "
                f"({_why_fixed(name)}); choose from "
                f"{', '.join(sorted(MUTABLE_FIELDS & set(space)))}"
            )
    chosen = {
        name: entry
        for name, entry in space.items()
        if (name in names if names is not None else name in MUTABLE_FIELDS)
    }
    if not chosen:
        raise InputError(
            "mutate must be at least one hyperparameter, got none; add one of "
            f"{', '.join(sorted(MUTABLE_FIELDS))} to the space"
        )
    return chosen


def bounded_part(
    mutable: Space, space: Space, fixed: Mapping[str, Any]
) -> dict[str, tuple[float, float]]:
    """Return the bounds of what PB2 may choose: mutable numbers that have one pair of them.

    Not of what has other bounds for each optimizer, where the optimizer varies: PB2 knows of no
    conditions.

    Raises:
        InputError: if there is nothing.
    """
    decided = {n: e for n, e in mutable.items() if not (isinstance(e, Switch) and e.on in space)}
    bounds = {
        name: (float(domain.low), float(domain.high))
        for name, domain in used_domains(decided, fixed).items()
        if not isinstance(domain, Choice)
    }
    if not bounds:
        raise InputError(
            "--scheduler pb2 must have a number between bounds to mutate, got "
            f"{', '.join(mutable)}; choose pbt or add learning_rate to the space"
        )
    return bounds


def _why_fixed(name: str) -> str:
    if name == "batch_size":
        return "the data stream would no longer fit"
    return _WHY_FIXED[rules()[name].group]


def image_space(
    models: tuple[str, ...], widths: tuple[int, ...], image_size_px: int
) -> dict[str, Domain | Switch]:
    """Return the space of a small CIFAR ResNet: architecture, optimizer, regularisation.

    Args:
        models: names in `trainables.models.MODELS`.
        widths: channels of the first stage; left out if no model has one.
        image_size_px: crops pad by up to an eighth of it.
    """
    paddings = {0, image_size_px // 16, image_size_px // 8}
    return {
        "model": Choice(models),
        **_if_used("width", Choice(widths), models),
        "learning_rate": LEARNING_RATES,
        "momentum": Uniform(0.8, 0.98),
        "weight_decay": WEIGHT_DECAYS,
        "label_smoothing": Uniform(0.0, 0.2),
        "crop_padding_px": Choice(tuple(sorted(paddings))),
        "flip_probability": Choice((0.0, 0.5)),
    }


def text_space(
    models: tuple[str, ...], widths: tuple[int, ...], depths: tuple[int, ...]
) -> dict[str, Domain | Switch]:
    """Return the space of a small text classifier trained with AdamW.

    Args:
        models: names in `trainables.models.MODELS`.
        widths: of the embedding; multiples of the number of heads.
        depths: blocks of a Transformer; left out if no model has them.
    """
    return {
        "model": Choice(models),
        "width": Choice(widths),
        **_if_used("depth", Choice(depths), models),
        "optimizer": Choice(("adamw",)),
        "learning_rate": LEARNING_RATES,
        "momentum": Uniform(0.8, 0.98),
        "weight_decay": WEIGHT_DECAYS,
        "label_smoothing": Uniform(0.0, 0.2),
        "dropout": Uniform(0.0, 0.5),
        "word_dropout_probability": Uniform(0.0, 0.3),
    }


def _if_used(name: str, domain: Domain, models: tuple[str, ...]) -> dict[str, Domain]:
    return {name: domain} if any(name in find_model(model).options for model in models) else {}
