"""What a spec leaves open, chosen for the hardware and the data that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from analysis.records import Objective
from sweeps.resources import GangPlan
from sweeps.spaces import Space, architectures, image_space, mutable_part, validate_space
from sweeps.spec import SweepSpec
from trainables.data.dataset import ImageData
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

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
        mutable: the part of the space that PBT may change; empty for other schedulers.
    """

    spec: SweepSpec
    gangs: GangPlan
    limit_train: int | None
    space: Space
    fixed: Mapping[str, Any]
    mutable: Space
    objectives: tuple[Objective, ...]
    num_trials: int
    num_epochs: int
    perturbation_epochs: int

    @property
    def architectures(self) -> list[TrialConfig]:
        """A config for every architecture in the space."""
        return list(architectures(self.space, self.fixed))


def default_limit_train(spec: SweepSpec, gangs: GangPlan, num_cpus: float) -> int | None:
    """Return how many training samples to load: all of them where there are GPUs."""
    if spec.limit_train is not None or gangs.gpus_per_worker:
        return spec.limit_train
    return int(CPU_TRAIN_SAMPLES * num_cpus)


def plan_sweep(
    spec: SweepSpec, gangs: GangPlan, data: ImageData, limit_train: int | None
) -> SweepPlan:
    """Choose what the spec leaves open.

    Raises:
        InputError: if the choices contradict one another, the data or the space.
    """
    has_gpus = gangs.gpus_per_worker > 0
    num_epochs = spec.epochs or (20 if has_gpus else 12)
    batch_size = spec.batch_size or _default_batch_size(len(data.train), gangs, has_gpus)
    if batch_size > len(data.train):
        raise InputError(
            f"--batch-size must be <= {len(data.train)} training samples, got {batch_size}; "
            "lower it"
        )
    if batch_size % gangs.workers_per_gang:
        raise InputError(
            f"--batch-size must be a multiple of {gangs.workers_per_gang} workers, got "
            f"{batch_size}; try {_whole_batch(batch_size, gangs)}"
        )
    is_pbt = spec.scheduler == "pbt"
    small, large = ("resnet8", "resnet14"), ("resnet8", "resnet14", "resnet20")
    models = spec.models or (large if has_gpus else small)
    widths = spec.widths or ((16, 32, 64) if has_gpus else (8, 16))
    perturbation_epochs = spec.perturbation_epochs or max(1, num_epochs // 6)
    if is_pbt and perturbation_epochs >= num_epochs:
        raise InputError(
            f"--perturbation-epochs must be < {num_epochs} epochs, or no trial ever exploits "
            f"another, got {perturbation_epochs}; lower it or raise --epochs"
        )
    if is_pbt and spec.trials == 1:
        raise InputError("--trials must be >= 2 for a population, got 1; add some")
    space = image_space(models, widths, image_size_px=data.input_shape[1])
    fixed = {
        "batch_size": batch_size,
        "precision": spec.precision,
        "num_epochs": num_epochs,
        "warmup_epochs": min(1.0, num_epochs / 10),
    }
    validate_space(space, fixed)
    default_trials = max(8, 2 * gangs.num_gangs) if is_pbt else max(16, 4 * gangs.num_gangs)
    return SweepPlan(
        spec=spec,
        gangs=gangs,
        limit_train=limit_train,
        space=space,
        fixed=fixed,
        mutable=mutable_part(space, spec.mutate) if is_pbt else {},
        objectives=spec.resolved_objectives(),
        num_trials=spec.trials or default_trials,
        num_epochs=num_epochs,
        perturbation_epochs=perturbation_epochs,
    )


def _default_batch_size(num_train: int, gangs: GangPlan, has_gpus: bool) -> int:
    """Return 512 on GPUs, else 128, halved until an epoch has enough steps to learn something."""
    size = 512 if has_gpus else 128
    while size > 2 * gangs.workers_per_gang and num_train // size < MIN_STEPS_PER_EPOCH:
        size //= 2
    return _whole_batch(size, gangs)


def _whole_batch(size: int, gangs: GangPlan) -> int:
    """Return the largest batch up to `size` that the workers share evenly, and not in nothing."""
    return max(gangs.workers_per_gang, size - size % gangs.workers_per_gang)
