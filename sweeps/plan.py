"""What a spec leaves open, chosen for the hardware and the data that were found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from analysis.records import Objective
from sweeps.combinations import condition_values
from sweeps.domains import Choice, Domain, Integer, Space, Switch
from sweeps.resources import GangPlan
from sweeps.sampling import Sampler
from sweeps.space_groups import join_spaces
from sweeps.spaces import (
    architectures,
    bounded_part,
    image_space,
    mutable_part,
    text_space,
    validate_space,
)
from sweeps.spec import POPULATION, SearcherName, SweepSpec
from sweeps.steering import choose_searcher, searching_objectives, steering_objectives
from trainables.augment.thesaurus import check_synonyms
from trainables.batches import check_batch_size
from trainables.compiling import check_compiler
from trainables.data.dataset import SplitData
from trainables.errors import InputError
from trainables.precision import check_precision
from trainables.task import Task
from trainables.trial_config import TrialConfig, default_of, parse_values, unused_reason

CPU_TRAIN_SAMPLES: Final = 4000
"""Training samples per core by default where there is no GPU: an epoch stays within a minute."""

MIN_STEPS_PER_EPOCH: Final = 32

MAX_UNASKED_TRIALS: Final = 256
"""Of a grid, without being told how many."""

_FLAGS: Final = {
    "num_epochs": "epochs",
    "seed": "seed",
    "model": "models",
    "width": "widths",
    "batch_size": "batch_size",
}
"""The flags that set a hyperparameter, by its name."""


@dataclass(frozen=True)
class SweepPlan:
    """A spec with nothing left open.

    Attributes:
        limit_train: training samples that were asked for or chosen; None: all.
        space: what varies from trial to trial.
        fixed: the fields of `TrialConfig` that don't.
        sampler: draws the configs.
        steering: the objectives that the scheduler decides by.
        searching: the objectives that the searcher decides by; empty for `random`.
        mutable: the part of the space that PBT may change; empty for other schedulers.
        note: what of the space is left out, for the user; None if nothing is.
    """

    spec: SweepSpec
    gangs: GangPlan
    limit_train: int | None
    space: Space
    fixed: Mapping[str, Any]
    sampler: Sampler
    mutable: Space
    objectives: tuple[Objective, ...]
    steering: tuple[Objective, ...]
    searcher: SearcherName
    searching: tuple[Objective, ...]
    num_trials: int
    num_epochs: int
    perturbation_epochs: int
    note: str | None

    @property
    def architectures(self) -> list[TrialConfig]:
        """A config for every architecture in the space."""
        return architectures(self.space, self.fixed, self.sampler.task)


def default_limit_train(spec: SweepSpec, gangs: GangPlan, num_cpus: float) -> int | None:
    """Return how many training samples to load: all of them where there are GPUs."""
    if spec.limit_train is not None or gangs.gpus_per_worker:
        return spec.limit_train
    return int(CPU_TRAIN_SAMPLES * num_cpus)


def plan_sweep(
    spec: SweepSpec, gangs: GangPlan, data: SplitData, limit_train: int | None
) -> SweepPlan:
    """Choose what the spec leaves open.

    Raises:
        InputError: if the choices contradict one another, the data or the space.
    """
    num_epochs = spec.epochs or _default_epochs(data.task, gangs)
    perturbation_epochs = spec.perturbation_epochs or max(1, num_epochs // 6)
    is_pbt = spec.scheduler in POPULATION
    if is_pbt:
        _check_population(spec, num_epochs, perturbation_epochs)
    space, fixed = choose_space(spec, gangs, data, num_epochs)
    validate_space(space, fixed, data.task)
    asked = space.get("batch_size")
    space, fixed = _choose_batches(spec, space, fixed, gangs, len(data.train))
    _check_batches(space, fixed, gangs, len(data.train))
    _check_synonyms(space, fixed, has_thesaurus=data.has_thesaurus)
    objectives = spec.resolved_objectives()
    _check_objectives(objectives, gangs, data.task)
    sampler = Sampler(spec.sampler, space, fixed, data.task, spec.seed)
    if spec.trials is None and (sampler.num_configs or 0) > MAX_UNASKED_TRIALS:
        raise InputError(
            f"--trials must be given for a grid of more than {MAX_UNASKED_TRIALS} points, got "
            f"{sampler.num_configs}; say how many, or vary less"
        )
    searcher = choose_searcher(spec, objectives)
    mutable = mutable_part(space, spec.mutate) if is_pbt else {}
    if spec.scheduler == "pb2":
        bounded_part(mutable, space, fixed)
    default_trials = max(8, 2 * gangs.num_gangs) if is_pbt else max(16, 4 * gangs.num_gangs)
    return SweepPlan(
        spec=spec,
        gangs=gangs,
        limit_train=limit_train,
        space=space,
        fixed=fixed,
        sampler=sampler,
        mutable=mutable,
        objectives=objectives,
        steering=steering_objectives(spec, objectives),
        searcher=searcher,
        searching=searching_objectives(searcher, objectives),
        num_trials=spec.trials or sampler.num_configs or default_trials,
        num_epochs=num_epochs,
        perturbation_epochs=perturbation_epochs,
        note=_left_out(asked, space, fixed),
    )


def _left_out(asked: Domain | Switch | None, space: Space, fixed: Mapping[str, Any]) -> str | None:
    """Say which batch sizes of the space were left out, if any."""
    kept = _values(space, fixed, "batch_size")
    sizes = [] if asked is None else [s for s in _domain_values(asked) if s not in kept]
    if not sizes:
        return None
    return (
        f"batch sizes {', '.join(map(str, sizes))} are left out: they don't fit the data or can't "
        "be cut evenly"
    )


def _check_objectives(objectives: tuple[Objective, ...], gangs: GangPlan, task: Task) -> None:
    """Check that the hardware and the data give a value for every objective."""
    for objective in objectives:
        needs = None
        if objective.column in ("energy_kwh", "peak_memory_bytes") and not gangs.gpus_per_worker:
            needs = "a GPU"
        elif objective.column == "val_top5_accuracy" and task.num_classes <= 5:
            needs = "more than 5 classes"
        if needs is not None:
            raise InputError(
                f"--objectives must be known on this hardware and data, got {objective}, which "
                f"needs {needs}; choose another"
            )


def _default_epochs(task: Task, gangs: GangPlan) -> int:
    if gangs.gpus_per_worker:
        return 20
    return 12 if task.kind == "image" else 8  # texts fit soon, and take long on a CPU


def _check_population(spec: SweepSpec, num_epochs: int, perturbation_epochs: int) -> None:
    if perturbation_epochs >= num_epochs:
        raise InputError(
            f"--perturbation-epochs must be < {num_epochs} epochs, or no trial ever exploits "
            f"another, got {perturbation_epochs}; lower it or raise --epochs"
        )
    if spec.trials == 1:
        raise InputError("--trials must be >= 2 for a population, got 1; add some")


def choose_space(
    spec: SweepSpec, gangs: GangPlan, data: SplitData, num_epochs: int
) -> tuple[Space, dict[str, Any]]:
    """Return what varies, and the fields that are the same for all trials.

    Raises:
        InputError: if a group or a hyperparameter is unknown, or nothing that fits is left.
    """
    has_gpus = gangs.gpus_per_worker > 0
    given = {**_given_values(spec), "num_epochs": num_epochs}
    models = (given["model"],) if "model" in given else spec.models
    small = _small_space(models, spec.widths, data.task, has_gpus)
    space: Space
    if spec.space is None:
        space = {**small, **spec.own_space}
    else:
        own = dict(spec.own_space)
        # Models that were named come with widths: those of the group are for its own models.
        if models or "architecture" not in spec.space:
            names = ("model", "width") + (() if "architecture" in spec.space else ("depth",))
            own = {name: small[name] for name in names if name in small} | own
        elif spec.widths:
            own["width"] = small["width"]
        space = join_spaces(
            spec.space,
            data.task,
            has_gpus=has_gpus,
            has_thesaurus=data.has_thesaurus,
            own={name: entry for name, entry in own.items() if name not in given},
            fixed=given,
        )
    space = {name: entry for name, entry in space.items() if name not in given}
    chosen = _chosen_values(data.task, given, space, num_epochs)
    defaults = {name: value for name, value in chosen.items() if name not in space}
    return space, {**defaults, **given}


def _chosen_values(
    task: Task, given: Mapping[str, Any], space: Space, num_epochs: int
) -> dict[str, Any]:
    """Return values for what neither the user nor the space decides, where the default is wrong."""
    chosen: dict[str, Any] = {}
    schedules = condition_values(space, given)["schedule"]
    if any(unused_reason("warmup_epochs", {"schedule": s}) is None for s in schedules):
        chosen["warmup_epochs"] = min(1.0, num_epochs / 10)
    if task.kind == "text":
        chosen["optimizer"] = "adamw"
    else:
        channels, *sides_px = task.input_shape
        chosen["crop_padding_px"] = min(sides_px) // 8  # 4 of 32 (He et al. 2016)
        if channels == 1:
            chosen["flip_probability"] = 0.0  # grey images are mostly signs, which have a side
    if given.get("optimizer", chosen.get("optimizer", "sgd")) != "sgd":
        chosen["learning_rate"] = 1e-3  # what suits SGD is a hundred times too much for the others
    return chosen


def _given_values(spec: SweepSpec) -> dict[str, Any]:
    """Return the fields that flags set for all trials.

    Raises:
        InputError: if `--fix` sets one that has a flag, and the flag says something too.
    """
    fixed = parse_values(spec.fix)
    for name, flag in _FLAGS.items():
        is_set = name in ("num_epochs", "seed") or getattr(spec, flag) is not None
        if name in fixed and is_set:
            raise InputError(
                f"--fix must leave {name} to --{flag.replace('_', '-')}, got {name}={fixed[name]}; "
                "use that flag alone"
            )
    return fixed if spec.batch_size is None else {"batch_size": spec.batch_size, **fixed}


def _small_space(
    models: tuple[str, ...] | None, widths: tuple[int, ...] | None, task: Task, has_gpus: bool
) -> Space:
    """Return the space of a sweep that names no groups, with the models and widths it names."""
    if task.kind == "text":
        # Attention is slow on a CPU: 4 blocks of 64 channels take 13 s an epoch of 3,500 texts.
        space = text_space(
            models or ("text_cnn", "text_transformer"),
            (64, 128) if has_gpus else (16, 32),
            depths=(2, 4) if has_gpus else (1, 2),
        )
    else:
        small, large = ("resnet8", "resnet14"), ("resnet8", "resnet14", "resnet20")
        space = image_space(
            models or (large if has_gpus else small),
            (16, 32, 64) if has_gpus else (8, 16),
            image_size_px=task.input_shape[1],
        )
    # Even where no model has a width, so that it is refused.
    return {**space, "width": Choice(widths)} if widths else space


def _choose_batches(
    spec: SweepSpec, space: Space, fixed: dict[str, Any], gangs: GangPlan, num_train: int
) -> tuple[Space, dict[str, Any]]:
    """Return space and fields with batches that can be cut evenly, where the spec names none."""
    if "batch_size" in fixed or "batch_size" in spec.own_space:
        return space, fixed
    num_parts = gangs.workers_per_gang * math.lcm(*_values(space, fixed, "accumulation_steps"))
    others = {name: entry for name, entry in space.items() if name != "batch_size"}
    fitting = tuple(
        size
        for size in (_values(space, fixed, "batch_size") if "batch_size" in space else ())
        if size % num_parts == 0 and 2 * num_parts <= size <= num_train // 2
    )
    if fitting:
        return {**others, "batch_size": Choice(fitting)}, fixed
    size = _default_batch_size(num_train, num_parts, has_gpus=gangs.gpus_per_worker > 0)
    return others, {**fixed, "batch_size": size}


def _check_batches(space: Space, fixed: Mapping[str, Any], gangs: GangPlan, num_train: int) -> None:
    """Check that each batch size can be shared by the workers, in as many parts as asked for."""
    for size, num_parts in itertools.product(
        _values(space, fixed, "batch_size"), _values(space, fixed, "accumulation_steps")
    ):
        config = TrialConfig(batch_size=size, accumulation_steps=num_parts)
        check_batch_size(config, num_train, gangs.workers_per_gang)


def _check_synonyms(space: Space, fixed: Mapping[str, Any], *, has_thesaurus: bool) -> None:
    name = "synonym_probability"
    greatest = max(_values(space, fixed, name))
    check_synonyms(TrialConfig.from_dict({name: greatest}), has_thesaurus=has_thesaurus)


def check_hardware(plan: SweepPlan) -> None:
    """Check that this machine has the precisions and the compiler that the space asks for.

    Raises:
        InputError: if it hasn't.
    """
    device = torch.device("cuda" if plan.gangs.gpus_per_worker else "cpu")
    for precision in _values(plan.space, plan.fixed, "precision"):
        check_precision(precision, device)
    if True in _values(plan.space, plan.fixed, "is_compiled"):
        check_compiler(device)


def _values(space: Space, fixed: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """Return all that a field can be in a sweep; of a `Uniform`, its bounds."""
    return _domain_values(space.get(name, Choice((fixed.get(name, default_of(name)),))))


def _domain_values(entry: Domain | Switch) -> tuple[Any, ...]:
    domains = entry.cases.values() if isinstance(entry, Switch) else (entry,)
    return tuple(
        value
        for domain in domains
        for value in (
            range(domain.low, domain.high + 1) if isinstance(domain, Integer) else domain.grid(2)
        )
    )


def _default_batch_size(num_train: int, num_parts: int, *, has_gpus: bool) -> int:
    """Return 512 on GPUs, else 128, halved until an epoch has enough steps to learn something."""
    size = 512 if has_gpus else 128
    while size > 2 * num_parts and num_train // size < MIN_STEPS_PER_EPOCH:
        size //= 2
    return max(2 * num_parts, size - size % num_parts)
