"""The five named groups that a tuning space can be joined from.

Ranges lie around what the sources named found best, or, where none is, around what is in common
use. A sweep that knows better gives domains of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeps.domains import Choice, Domain, Integer, Space, Switch, Uniform
from sweeps.spaces import LEARNING_RATES, STRUCTURE, WEIGHT_DECAYS, fitting_structures
from trainables.errors import InputError
from trainables.models import MODELS
from trainables.task import Task
from trainables.trial_config import GROUPS, OPTIMIZERS, SCHEDULES, rules, unused_reason

_Group = dict[str, Domain | Switch]


def group_space(
    group: str, task: Task, *, has_gpus: bool, has_thesaurus: bool = False
) -> dict[str, Domain | Switch]:
    """Return the hyperparameters of a group with the domains that suit a task and the hardware.

    Args:
        group: in `GROUPS`.
        task: images get no text augmentation; patches divide the image.
        has_gpus: larger models and batches; reduced precision and compilation.
        has_thesaurus: words can be replaced by synonyms.

    Raises:
        InputError: if there is no such group.
    """
    if group == "augmentation":
        return _image_augmentation(task) if task.kind == "image" else _text_noise(has_thesaurus)
    if group == "architecture":
        return _image_models(task, has_gpus) if task.kind == "image" else _text_models(has_gpus)
    if group == "optimizer":
        return _optimizer(has_gpus)
    if group == "regularisation":
        return _regularisation()
    if group == "hardware":
        return _hardware(task, has_gpus)
    raise InputError(f"--space must be of {', '.join(GROUPS)}, got {group!r}; choose from these")


def join_spaces(
    groups: tuple[str, ...],
    task: Task,
    *,
    has_gpus: bool,
    has_thesaurus: bool = False,
    own: Space | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> dict[str, Domain | Switch]:
    """Return the space of several groups, narrowed to what the sweep can use.

    Out of the groups, but not out of `own`, are taken: what nothing left in the space uses, and
    models, optimizers and sizes with which no combination can be built (Muon without a model of
    matrices).

    Args:
        groups: in `GROUPS`.
        task: as `group_space`, like `has_gpus` and `has_thesaurus`.
        has_gpus: as there.
        has_thesaurus: as there.
        own: domains of the sweep's own, which replace those of the groups.
        fixed: fields that the sweep sets, which are taken out of the groups.

    Raises:
        InputError: for a group that is unknown, or if no combination can be built.
    """
    own, fixed = own or {}, fixed or {}
    joined: _Group = {}
    for group in groups:
        joined |= group_space(group, task, has_gpus=has_gpus, has_thesaurus=has_thesaurus)
    joined = {name: entry for name, entry in joined.items() if name not in fixed} | dict(own)
    fitting = fitting_structures(joined, fixed, task)
    narrowed: _Group = {}
    for name, entry in joined.items():
        users = [config for config in fitting if unused_reason(name, vars(config)) is None]
        if name in own:
            narrowed[name] = entry
        elif name in STRUCTURE and isinstance(entry, Choice) and users:
            built = {getattr(config, name) for config in users}
            narrowed[name] = Choice(tuple(value for value in entry.values if value in built))
        elif users:
            narrowed[name] = entry
    return narrowed


def _image_augmentation(task: Task) -> _Group:
    side_px = min(task.input_shape[1:])
    return {
        "crop_padding_px": _pixels("crop_padding_px", side_px // 8),  # 4 of 32: He et al. 2016
        "flip_probability": Choice((0.0, 0.5)),
        "rotation_degrees": Uniform(0.0, 30.0),
        "color_jitter": Uniform(0.0, 0.5),
        # 16 of 32 for CIFAR-10: DeVries and Taylor 2017 (arXiv:1708.04552).
        "cutout_px": _pixels("cutout_px", side_px // 2),
        # Choices, so that "none" is often drawn. Zhang et al. 2018 (arXiv:1710.09412): 0.1 to 1.
        "mixup_alpha": Choice((0.0, 0.2, 0.5, 1.0)),
        "cutmix_alpha": Choice((0.0, 0.5, 1.0)),  # 1: Yun et al. 2019 (arXiv:1905.04899)
        # Of 30: small models and sets bear less (Cubuk et al. 2020, arXiv:1909.13719).
        "randaugment_magnitude": Integer(0, 15),
    }


def _pixels(name: str, most_px: int) -> Integer:
    return Integer(0, int(min(max(1, most_px), rules()[name].high)))


def _text_noise(has_thesaurus: bool) -> _Group:
    # Around 0.1; much more hurts (Wei and Zou 2019, arXiv:1901.11196).
    synonyms: _Group = {"synonym_probability": Uniform(0.0, 0.3)} if has_thesaurus else {}
    return {
        **synonyms,
        "word_dropout_probability": Uniform(0.0, 0.3),
        "word_swap_probability": Uniform(0.0, 0.3),
        "character_noise_probability": Uniform(0.0, 0.3),
    }


def _image_models(task: Task, has_gpus: bool) -> _Group:
    """Return models by the size of the image; those of patches only where patches divide it."""
    resnets = ("resnet20", "resnet32", "resnet18") if has_gpus else ("resnet8", "resnet14")
    widths = {name: Choice((16, 32, 64) if has_gpus else (8, 16, 32)) for name in resnets}
    widths["small_cnn"] = Choice((16, 32))
    widths["mobilenet_v2"] = Choice((16, 32))
    patches_px = _patches(task.input_shape[1:], 16 if has_gpus else 8)
    if not patches_px:
        return {"model": Choice(tuple(widths)), "width": Switch("model", widths)}
    for name in ("convmixer", "vit"):
        widths[name] = Choice((128, 256) if has_gpus else (64, 128))
    return {
        "model": Choice(tuple(widths)),
        "width": Switch("model", widths),
        "depth": Choice((4, 8) if has_gpus else (2, 4)),
        "heads": Choice((2, 4)),
        "patch_px": Choice(patches_px),
    }


def _patches(size_px: tuple[int, ...], max_per_side: int) -> tuple[int, ...]:
    """Return the patches that divide an image into at least 4 a side, at most `max_per_side`."""
    return tuple(
        patch_px
        for patch_px in range(1, min(size_px) // 4 + 1)
        if math.gcd(*size_px) % patch_px == 0 and max(size_px) // patch_px <= max_per_side
    )


def _text_models(has_gpus: bool) -> _Group:
    return {
        "model": Choice(tuple(name for name in MODELS if MODELS[name].kind == "text")),
        "width": Choice((128, 256) if has_gpus else (64, 128)),
        "depth": Choice((2, 4, 6) if has_gpus else (1, 2, 4)),
        "heads": Choice((2, 4)),
    }


def _optimizer(has_gpus: bool) -> _Group:
    return {
        "optimizer": Choice(OPTIMIZERS),
        "learning_rate": LEARNING_RATES,
        "momentum": Uniform(0.8, 0.98),
        "beta2": Choice((0.95, 0.98, 0.99, 0.999)),
        "schedule": Choice(SCHEDULES),
        "warmup_epochs": Choice((0.0, 0.5, 1.0)),  # fits even a trial of one epoch
        "batch_size": Choice((128, 256, 512) if has_gpus else (32, 64, 128)),
        "label_smoothing": Uniform(0.0, 0.2),
        "ema_decay": Choice((0.0, 0.99, 0.999)),
    }


def _regularisation() -> _Group:
    return {
        "dropout": Uniform(0.0, 0.5),
        "stochastic_depth": Uniform(0.0, 0.3),
        "weight_decay": WEIGHT_DECAYS,
        "patience_epochs": Choice((0, 5, 10)),
    }


def _hardware(task: Task, has_gpus: bool) -> _Group:
    # A CPU without units for it is slow in bf16, and compiling costs more than a short training.
    layout: _Group = {"is_channels_last": Choice((False, True))} if task.kind == "image" else {}
    if not has_gpus:
        return {**layout, "accumulation_steps": Choice((1, 2))}
    return {
        **layout,
        "precision": Choice(("fp32", "bf16", "fp16")),
        "is_compiled": Choice((False, True)),
        "accumulation_steps": Choice((1, 2, 4)),
    }
