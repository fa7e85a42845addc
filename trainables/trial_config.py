"""The hyperparameters of one trial, with their units and bounds in one place. Needs no Torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from trainables.errors import InputError
from trainables.models import MODELS

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a field may hold.

    Attributes:
        choices: the values allowed; empty for a number.
        low: the least value allowed.
        high: the greatest value allowed.
        is_low_open: `low` itself is not allowed.
        is_mutable: may change in mid-training (PBT's explore).
        is_architecture: defines the graph, and so the latency.
        unit: for messages and help texts.
    """

    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = math.inf
    is_low_open: bool = False
    is_mutable: bool = False
    is_architecture: bool = False
    unit: str = ""

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        lower = f"{'>' if self.is_low_open else '>='} {self.low:g}"
        return f"{lower} and <= {self.high:g}{' ' if self.unit else ''}{self.unit}"


def _field(default: Any, **rule: Any) -> Any:
    return dataclasses.field(default=default, metadata={"rule": Rule(**rule)})


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """The hyperparameters of one trial; a wrong value cannot be built.

    Attributes:
        model: a name in `trainables.models.MODELS`.
        width: channels of the first stage.
        optimizer: `sgd` (Nesterov) or `adamw`.
        learning_rate: at the top of the cosine schedule.
        momentum: of SGD; the first beta of AdamW.
        weight_decay: on weights; biases and norms are spared.
        label_smoothing: fraction of the target spread over all classes.
        batch_size: samples a step over all workers together.
        crop_padding_px: zero pixels on each side before the random crop.
        flip_probability: of a horizontal flip, per sample.
        warmup_epochs: epochs of linear warm-up; may be a fraction.
        precision: `fp32`, or `bf16` autocast over fp32 weights.
        num_epochs: the end of the cosine schedule.
        seed: of the initial weights and of the data stream.

    Raises:
        InputError: if a value has a wrong type, is not finite or is out of its bounds.
    """

    model: str = _field("resnet8", choices=tuple(MODELS), is_architecture=True)
    width: int = _field(16, low=1, high=1024, is_architecture=True, unit="channels")
    optimizer: str = _field("sgd", choices=OPTIMIZERS)
    learning_rate: float = _field(0.1, high=100, is_low_open=True, is_mutable=True)
    momentum: float = _field(0.9, high=0.9999, is_mutable=True)
    weight_decay: float = _field(5e-4, high=1, is_mutable=True)
    label_smoothing: float = _field(0.0, high=0.9, is_mutable=True)
    batch_size: int = _field(128, low=1, high=2**20, unit="samples")
    crop_padding_px: int = _field(4, high=64, is_mutable=True, unit="px")
    flip_probability: float = _field(0.5, high=1, is_mutable=True)
    warmup_epochs: float = _field(0.0, high=10_000, unit="epochs")
    precision: str = _field("fp32", choices=PRECISIONS)
    num_epochs: int = _field(10, low=1, high=1_000_000, unit="epochs")
    seed: int = _field(0, high=2**32 - 1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            rule: Rule = field.metadata["rule"]
            value = _checked(field.name, str(field.type), rule, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.warmup_epochs > self.num_epochs:
            raise InputError(
                f"warmup_epochs must be <= num_epochs ({self.num_epochs}) epochs, got "
                f"{self.warmup_epochs:g}; warm up for less or train for longer"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a config from the fields given and the defaults of the others.

        Raises:
            InputError: as the class, and for a name that is no field.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(
                    f"hyperparameters must be fields of TrialConfig, got {name!r}; "
                    f"choose from {', '.join(names)}"
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return every field by name; `from_dict` is the way back."""
        return dataclasses.asdict(self)

    def architecture(self) -> dict[str, Any]:
        """Return only the fields that define the graph."""
        return {name: getattr(self, name) for name in sorted(ARCHITECTURE_FIELDS)}


def rules() -> dict[str, Rule]:
    """Return the rule of every field of `TrialConfig`, in order."""
    return {field.name: field.metadata["rule"] for field in dataclasses.fields(TrialConfig)}


MUTABLE_FIELDS = frozenset(name for name, rule in rules().items() if rule.is_mutable)
"""Fields that may change in mid-training."""

ARCHITECTURE_FIELDS = frozenset(name for name, rule in rules().items() if rule.is_architecture)
"""Fields that define the graph."""


def _checked(name: str, kind: str, rule: Rule, value: Any) -> str | int | float:
    """Return `value` as a plain `kind`; samplers hand over NumPy numbers."""
    if kind == "str":
        if value not in rule.choices:
            raise InputError(f"{name} must be {rule}, got {value!r}; choose one of these")
        return str(value)
    wanted, noun = (Integral, "a whole number") if kind == "int" else (Real, "a number")
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise InputError(f"{name} must be {noun}, got {value!r}; give a number {rule}")
    number = int(value) if isinstance(value, Integral) and kind == "int" else float(value)
    is_above = number > rule.low if rule.is_low_open else number >= rule.low
    if not (math.isfinite(number) and is_above and number <= rule.high):
        raise InputError(f"{name} must be {rule}, got {value}; change its value or search range")
    return number
