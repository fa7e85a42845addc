"""What a spec leaves open, chosen for the hardware and the data that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from analysis.records import Objective
from sweeps.domains import Choice, Space, Switch
from sweeps.resources import GangPlan
from sweeps.sampling import Sampler
from sweeps.space_groups import join_spaces
from sweeps.spaces import architectures, image_space, mutable_part, text_space, validate_space
from sweeps.spec import SweepSpec
from trainables.augment.thesaurus import check_synonyms
from trainables.compiling import check_compiler
from trainables.data.dataset import SplitData
from trainables.errors import InputError
from trainables.precision import check_precision
from trainables.task import Task
from trainables.trial_config import TrialConfig, parse_values

CPU_TRAIN_SAMPLES: Final = 4000
"""Training samples per core by default where there is no GPU: an epoch stays within a minute."""

MIN_STEPS_PER_EPOCH: Final = 32


@dataclass(frozen=True)
class SweepPlan:
    """A spec with nothing left open.

    Attributes:
        limit_train: training samples that were asked for or chosen; None: all.
        space: what varies from trial to trial.
        fixed: the fields of `TrialConfig` that don't.
        sampler: draws the configs.
        mutable: the part of the space that PBT may change; empty for other schedulers.
    """

    spec: SweepSpec
    gangs: GangPlan
    limit_train: int | None
    space: Space
    fixed: Mapping[str, Any]
    sampler: Sampler
    mutable: Space
    objectives: tuple[Objective, ...]
    num_trials: int
    num_epochs: int
    perturbation_epochs: int

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
    num_epochs = spec.epochs or (20 if gangs.gpus_per_worker else 12)
    perturbation_epochs = spec.perturbation_epochs or max(1, num_epochs // 6)
    is_pbt = spec.scheduler == "pbt"
    if is_pbt:
        _check_population(spec, num_epochs, perturbation_epochs)
    space, fixed = choose_space(spec, gangs, data, num_epochs)
    validate_space(space, fixed, data.task)
    _check_batches(space, fixed, gangs, len(data.train))
    _check_synonyms(space, fixed, has_thesaurus=data.has_thesaurus)
    sampler = Sampler(spec.sampler, space, fixed, data.task, spec.seed)
    default_trials = max(8, 2 * gangs.num_gangs) if is_pbt else max(16, 4 * gangs.num_gangs)
    return SweepPlan(
        spec=spec,
        gangs=gangs,
        limit_train=limit_train,
        space=space,
        fixed=fixed,
        sampler=sampler,
        mutable=mutable_part(space, spec.mutate) if is_pbt else {},
        objectives=spec.resolved_objectives(),
        num_trials=spec.trials or sampler.num_configs or default_trials,
        num_epochs=num_epochs,
        perturbation_epochs=perturbation_epochs,
    )


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
    warmup_epochs = min(1.0, num_epochs / 10)
    given = {
        **({} if spec.batch_size is None else {"batch_size": spec.batch_size}),
        **({} if spec.precision is None else {"precision": spec.precision}),
        **parse_values(spec.fix),
        "num_epochs": num_epochs,
    }
    small = _small_space(spec, data.task, has_gpus)
    space: Space
    if spec.space is None:
        space = {**small, **spec.own_space}
    else:
        own = dict(spec.own_space)
        # Models that were named come with widths: those of the group are for its own models.
        if spec.models or "architecture" not in spec.space:
            own = {name: small[name] for name in ("model", "width") if name in small} | own
        elif spec.widths:
            own["width"] = Choice(spec.widths)
        space = join_spaces(
            spec.space,
            data.task,
            has_gpus=has_gpus,
            has_thesaurus=data.has_thesaurus,
            own={name: entry for name, entry in own.items() if name not in given},
            fixed=given,
        )
    chosen = {
        "batch_size": _default_batch_size(len(data.train), gangs, has_gpus),
        **({} if given.get("schedule") == "one_cycle" else {"warmup_epochs": warmup_epochs}),
        **({} if data.task.kind == "image" else {"optimizer": "adamw", "learning_rate": 1e-3}),
    }
    space = {name: entry for name, entry in space.items() if name not in given}
    space = _narrow_batches(space, gangs, len(data.train))
    defaults = {name: value for name, value in chosen.items() if name not in space}
    return space, {**defaults, **given}


def _small_space(spec: SweepSpec, task: Task, has_gpus: bool) -> Space:
    """Return the space of a sweep that names no groups, with the spec's models and widths."""
    if task.kind == "text":
        # Attention is slow on a CPU: 4 blocks of 64 channels take 13 s an epoch of 3,500 texts.
        widths = spec.widths or ((64, 128) if has_gpus else (16, 32))
        depths = (2, 4) if has_gpus else (1, 2)
        return text_space(spec.models or ("text_cnn", "text_transformer"), widths, depths)
    small, large = ("resnet8", "resnet14"), ("resnet8", "resnet14", "resnet20")
    models = spec.models or (large if has_gpus else small)
    widths = spec.widths or ((16, 32, 64) if has_gpus else (8, 16))
    return image_space(models, widths, image_size_px=task.input_shape[1])


def _narrow_batches(space: Space, gangs: GangPlan, num_train: int) -> Space:
    """Leave out batches that the train part or the workers can't have."""
    sizes = space.get("batch_size")
    if not isinstance(sizes, Choice):
        return space
    fitting = tuple(
        size
        for size in sizes.values
        if size % gangs.workers_per_gang == 0 and size <= num_train // 2
    )
    others = {name: entry for name, entry in space.items() if name != "batch_size"}
    return {**others, "batch_size": Choice(fitting)} if fitting else others


def _check_batches(space: Space, fixed: Mapping[str, Any], gangs: GangPlan, num_train: int) -> None:
    """Check that each batch size can be shared by the workers, in as many parts as asked for."""
    parts = _values(space, fixed, "accumulation_steps", 1)
    for size in _values(space, fixed, "batch_size", None):
        if size > num_train:
            raise InputError(
                f"--batch-size must be <= {num_train} training samples, got {size}; lower it"
            )
        for num_parts in parts:
            divisor = gangs.workers_per_gang * num_parts
            if size % divisor:
                times = f" times {num_parts} accumulation steps" if num_parts > 1 else ""
                raise InputError(
                    f"--batch-size must be a multiple of {gangs.workers_per_gang} workers{times}, "
                    f"got {size}; try {max(divisor, size - size % divisor)}"
                )


def _check_synonyms(space: Space, fixed: Mapping[str, Any], *, has_thesaurus: bool) -> None:
    name = "synonym_probability"
    entry = space.get(name, Choice((fixed.get(name, 0.0),)))
    domains = entry.cases.values() if isinstance(entry, Switch) else (entry,)
    greatest = max(value for domain in domains for value in domain.grid(2))
    check_synonyms(TrialConfig.from_dict({name: greatest}), has_thesaurus=has_thesaurus)


def check_hardware(plan: SweepPlan) -> None:
    """Check that this machine has the precisions and the compiler that the space asks for.

    Raises:
        InputError: if it hasn't.
    """
    device = torch.device("cuda" if plan.gangs.gpus_per_worker else "cpu")
    for precision in _values(plan.space, plan.fixed, "precision", "fp32"):
        check_precision(precision, device)
    if True in _values(plan.space, plan.fixed, "is_compiled", False):
        check_compiler(device)


def _values(space: Space, fixed: Mapping[str, Any], name: str, default: Any) -> tuple[Any, ...]:
    """Return all that a field can be in a sweep."""
    entry = space.get(name)
    return entry.values if isinstance(entry, Choice) else (fixed.get(name, default),)


def _default_batch_size(num_train: int, gangs: GangPlan, has_gpus: bool) -> int:
    """Return 512 on GPUs, else 128, halved until an epoch has enough steps to learn something."""
    size = 512 if has_gpus else 128
    workers = gangs.workers_per_gang
    while size > 2 * workers and num_train // size < MIN_STEPS_PER_EPOCH:
        size //= 2
    return max(workers, size - size % workers)
