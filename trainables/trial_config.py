"""The hyperparameters of one trial, with their units and bounds in one place. Needs no Torch."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from trainables.errors import InputError
from trainables.models import MODEL_OPTIONS, MODELS, TORCHVISION_PREFIX, find_model
from trainables.task import Kind, Task

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "muon")
SCHEDULES = ("cosine", "one_cycle", "step", "constant")
PRECISIONS = ("fp32", "bf16", "fp16")

GROUPS = ("augmentation", "architecture", "optimizer", "regularisation", "hardware")
"""The groups of hyperparameters that a tuning space is joined from."""


CONDITIONS = ("model", "optimizer", "schedule")
"""The fields that decide which others a trial uses."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a field may hold.

    Attributes:
        group: in `GROUPS`; empty for what belongs to the sweep (epochs, seed).
        choices: the values allowed; empty for a number.
        prefix: values that begin with it are allowed too.
        low: the least value allowed.
        high: the greatest value allowed.
        is_low_open: `low` itself is not allowed.
        is_mutable: may change in mid-training (PBT's explore).
        is_architecture: defines the graph, and so the latency.
        kind: the only kind of data that the field is for; None: any.
        optimizers: the only optimizers that the field is for; empty: all.
        schedules: likewise.
        unit: for messages and help texts.
    """

    group: str = ""
    choices: tuple[str, ...] = ()
    prefix: str | None = None
    low: float = 0
    high: float = math.inf
    is_low_open: bool = False
    is_mutable: bool = False
    is_architecture: bool = False
    kind: Kind | None = None
    optimizers: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    unit: str = ""

    def __str__(self) -> str:
        if self.choices:
            also = f" or {self.prefix}NAME" if self.prefix else ""
            return f"one of {', '.join(self.choices)}{also}"
        lower = f"{'>' if self.is_low_open else '>='} {self.low:g}"
        return f"{lower} and <= {self.high:g}{' ' if self.unit else ''}{self.unit}"


def _field(default: Any, **rule: Any) -> Any:
    return dataclasses.field(default=default, metadata={"rule": Rule(**rule)})


def _image(default: Any, **rule: Any) -> Any:
    return _field(default, group="augmentation", kind="image", is_mutable=True, **rule)


def _text(**rule: Any) -> Any:
    return _field(0.0, group="augmentation", kind="text", is_mutable=True, high=1, **rule)


def _architecture(default: Any, **rule: Any) -> Any:
    return _field(default, group="architecture", is_architecture=True, **rule)


def _optimizer(default: Any, **rule: Any) -> Any:
    return _field(default, group="optimizer", **rule)


def _regularisation(default: Any, **rule: Any) -> Any:
    return _field(default, group="regularisation", **rule)


def _hardware(default: Any, **rule: Any) -> Any:
    return _field(default, group="hardware", **rule)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """The hyperparameters of one trial; a wrong value cannot be built.

    What a config doesn't use (heads of a ResNet) must be left at its default.

    Attributes:
        model: a name in `trainables.models.MODELS`, or torchvision:NAME.
        width: channels of the first stage; the embedding of a Transformer.
        depth: blocks.
        heads: of attention; divides the width.
        patch_px: side of a patch; divides the image.
        crop_padding_px: zero pixels on each side before the random crop.
        flip_probability: of a horizontal flip, per sample.
        rotation_degrees: greatest random rotation either way.
        color_jitter: strength of random brightness, contrast, saturation (up to +-this fraction)
            and hue (up to +-this quarter turn).
        cutout_px: side of the square that is blanked; 0: none.
        mixup_alpha: of the Beta distribution that mixes pairs; 0: none.
        cutmix_alpha: of the Beta distribution of pasted areas; 0: none. With both, each sample
            gets one of the two, as likely as the other.
        randaugment_magnitude: of two random operations a sample, as torchvision counts them; 0:
            none.
        synonym_probability: that a word is replaced by a synonym, per word.
        word_dropout_probability: that a word is dropped, per word.
        word_swap_probability: that a word trades places with the next, per word.
        character_noise_probability: that a word gets a typing error, per word.
        optimizer: `sgd` is with Nesterov; `muon` for matrices, AdamW for the rest.
        learning_rate: at the top of the schedule.
        momentum: of SGD, RMSProp and Muon; the first beta of Adam and AdamW.
        beta2: of Adam, AdamW, and the AdamW part of Muon.
        schedule: `cosine` to zero, `one_cycle` (with its own warm-up), `step` (a tenth from half of
            the steps on, a hundredth from three quarters on), or `constant`.
        warmup_epochs: epochs of linear warm-up; may be a fraction.
        batch_size: samples a step over all workers together.
        label_smoothing: fraction of the target spread over all classes.
        ema_decay: of the moving average of the weights that is validated and saved; 0: none.
        dropout: of features, in training.
        stochastic_depth: probability that the last block is skipped, in training.
        weight_decay: on weights; biases and norms are spared.
        patience_epochs: stop when the validation loss hasn't improved for so long; 0: never.
        precision: `fp32`, or autocast to `bf16` or `fp16` over fp32 weights.
        is_channels_last: memory format of convolutions.
        is_compiled: through torch.compile.
        accumulation_steps: parts in which a worker works through its share of a batch.
        num_epochs: the end of the schedule.
        seed: of the initial weights and of the data stream.

    Raises:
        InputError: if a value has a wrong type, is not finite, is out of its bounds, or is given
            where it is not used.
    """

    model: str = _architecture("resnet8", choices=tuple(MODELS), prefix=TORCHVISION_PREFIX)
    width: int = _architecture(16, low=1, high=4096, unit="channels")
    depth: int = _architecture(4, low=1, high=256, unit="blocks")
    heads: int = _architecture(4, low=1, high=256)
    patch_px: int = _architecture(4, low=1, high=256, unit="px")

    crop_padding_px: int = _image(4, high=64, unit="px")
    flip_probability: float = _image(0.5, high=1)
    rotation_degrees: float = _image(0.0, high=180, unit="degrees")
    color_jitter: float = _image(0.0, high=1)
    cutout_px: int = _image(0, high=256, unit="px")
    mixup_alpha: float = _image(0.0, high=10)
    cutmix_alpha: float = _image(0.0, high=10)
    randaugment_magnitude: int = _image(0, high=30)
    synonym_probability: float = _text()
    word_dropout_probability: float = _text()
    word_swap_probability: float = _text()
    character_noise_probability: float = _text()

    optimizer: str = _optimizer("sgd", choices=OPTIMIZERS)
    learning_rate: float = _optimizer(0.1, high=100, is_low_open=True, is_mutable=True)
    momentum: float = _optimizer(0.9, high=0.9999, is_mutable=True)
    beta2: float = _optimizer(
        0.999, high=0.999999, is_mutable=True, optimizers=("adam", "adamw", "muon")
    )
    schedule: str = _optimizer("cosine", choices=SCHEDULES)
    warmup_epochs: float = _optimizer(
        0.0, high=10_000, schedules=("cosine", "step", "constant"), unit="epochs"
    )
    batch_size: int = _optimizer(128, low=1, high=2**20, unit="samples")
    label_smoothing: float = _optimizer(0.0, high=0.9, is_mutable=True)
    ema_decay: float = _optimizer(0.0, high=0.999999)

    dropout: float = _regularisation(0.0, high=0.9, is_mutable=True)
    stochastic_depth: float = _regularisation(0.0, high=0.9, is_mutable=True)
    weight_decay: float = _regularisation(5e-4, high=1, is_mutable=True)
    patience_epochs: int = _regularisation(0, high=1_000_000, unit="epochs")

    precision: str = _hardware("fp32", choices=PRECISIONS)
    is_channels_last: bool = _hardware(True)
    is_compiled: bool = _hardware(False)
    accumulation_steps: int = _hardware(1, low=1, high=2**20)

    num_epochs: int = _field(10, low=1, high=1_000_000, unit="epochs")
    seed: int = _field(0, high=2**32 - 1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            rule: Rule = field.metadata["rule"]
            value = _checked(field.name, str(field.type), rule, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for name in rules():
            reason = unused_reason(name, vars(self))
            if reason is not None and getattr(self, name) != default_of(name):
                raise InputError(
                    f"{name} must be left out for {reason}, which has none, got "
                    f"{getattr(self, name)}; leave it out or choose another"
                )
        self._check_together()

    def _check_together(self) -> None:
        if self.warmup_epochs > self.num_epochs:
            raise InputError(
                f"warmup_epochs must be <= num_epochs ({self.num_epochs}) epochs, got "
                f"{self.warmup_epochs:g}; warm up for less or train for longer"
            )
        info = find_model(self.model)
        if "heads" in info.options and self.width % self.heads:
            raise InputError(
                f"heads must divide the width ({self.width}), got {self.heads}; change one of both"
            )
        if self.optimizer == "muon" and not info.is_matrix:
            matrix = ", ".join(name for name in MODELS if MODELS[name].is_matrix)
            raise InputError(
                f"optimizer muon must be for a model of matrices ({matrix}), got {self.model}; "
                "choose another optimizer"
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
        unused = MODEL_OPTIONS - find_model(self.model).options
        return {name: getattr(self, name) for name in sorted(ARCHITECTURE_FIELDS - unused)}

    def check_task(self, task: Task) -> None:
        """Check that the config fits a task.

        Raises:
            InputError: for a rotation on text, a text model for images, a patch that doesn't divide
                the image, and the like.
        """
        info = find_model(self.model)
        if info.kind != task.kind:
            fitting = ", ".join(name for name in MODELS if MODELS[name].kind == task.kind)
            raise InputError(
                f"model must be one for {task.kind} data, got {self.model}; choose from {fitting}"
            )
        sides_px = task.input_shape[1:]
        if "patch_px" in info.options and any(side % self.patch_px for side in sides_px):
            raise InputError(
                f"patch_px must divide the image ({'x'.join(map(str, sides_px))} px), got "
                f"{self.patch_px}; choose a divisor of {math.gcd(*sides_px)}"
            )
        for name, rule in rules().items():
            if rule.kind not in (None, task.kind) and getattr(self, name) != default_of(name):
                raise InputError(
                    f"{name} must be left out for {task.kind} data, got {getattr(self, name)}; it "
                    f"is for {rule.kind} data"
                )


def parse_values(texts: Sequence[str]) -> dict[str, Any]:
    """Read hyperparameters written as name=value.

    Raises:
        InputError: for a name that is no field, or a value that isn't of its type.

    Example:
        >>> parse_values(["optimizer=adamw", "dropout=0.1", "is_compiled=true"])
        {'optimizer': 'adamw', 'dropout': 0.1, 'is_compiled': True}
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, _, word = text.partition("=")
        if name not in rules():
            raise InputError(
                f"--fix must be hyperparameters as name=value, got {text!r}; choose from "
                f"{', '.join(rules())}"
            )
        kind = str(TrialConfig.__dataclass_fields__[name].type)
        try:
            values[name] = _READERS[kind](word)
        except (ValueError, KeyError):
            raise InputError(
                f"--fix {name} must be of type {kind}, got {word!r}; give one"
            ) from None
    return values


_READERS: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda word: {"true": True, "false": False}[word.lower()],
}


@functools.cache
def rules() -> Mapping[str, Rule]:
    """Return the rule of every field of `TrialConfig`, in order."""
    return {field.name: field.metadata["rule"] for field in dataclasses.fields(TrialConfig)}


def default_of(name: str) -> Any:
    """Return the default of a field of `TrialConfig`."""
    return TrialConfig.__dataclass_fields__[name].default


def unused_reason(name: str, values: Mapping[str, Any]) -> str | None:
    """Return the model, optimizer or schedule for which a field means nothing; None: it is used.

    Args:
        name: of a field of `TrialConfig`.
        values: those of `CONDITIONS` are looked at, or their defaults.
    """
    rule = rules()[name]
    model, optimizer, schedule = (values.get(on, default_of(on)) for on in CONDITIONS)
    if name in MODEL_OPTIONS and name not in find_model(model).options:
        return f"model {model}"
    if rule.optimizers and optimizer not in rule.optimizers:
        return f"optimizer {optimizer}"
    if rule.schedules and schedule not in rule.schedules:
        return f"schedule {schedule}"
    return None


MUTABLE_FIELDS = frozenset(name for name, rule in rules().items() if rule.is_mutable)
"""Fields that may change in mid-training."""

ARCHITECTURE_FIELDS = frozenset(name for name, rule in rules().items() if rule.is_architecture)
"""Fields that define the graph."""


def _checked(name: str, kind: str, rule: Rule, value: Any) -> str | int | float | bool:
    """Return `value` as a plain `kind`; samplers hand over NumPy numbers."""
    if kind == "str":
        is_prefixed = isinstance(value, str) and rule.prefix and value.startswith(rule.prefix)
        if value not in rule.choices and not is_prefixed:
            raise InputError(f"{name} must be {rule}, got {value!r}; choose one of these")
        return str(value)
    if kind == "bool":
        if value not in (True, False):
            raise InputError(f"{name} must be True or False, got {value!r}; choose one of both")
        return bool(value)
    wanted, noun = (Integral, "a whole number") if kind == "int" else (Real, "a number")
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise InputError(f"{name} must be {noun}, got {value!r}; give a number {rule}")
    number = int(value) if isinstance(value, Integral) and kind == "int" else float(value)
    is_above = number > rule.low if rule.is_low_open else number >= rule.low
    if not (math.isfinite(number) and is_above and number <= rule.high):
        raise InputError(f"{name} must be {rule}, got {value}; change its value or search range")
    return number
