"""What a model must fit: the kind and shape of its input, and the number of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Kind = Literal["image", "text"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A classification task as a model sees it.

    Attributes:
        kind: of the input.
        input_shape: of one sample: channels, height and width of an image; tokens of a text.
        num_classes: of the logits.
        vocab_size: token ids go from 0 (padding) to vocab_size - 1; None for images.
    """

    kind: Kind
    input_shape: tuple[int, ...]
    num_classes: int
    vocab_size: int | None = None

    def __post_init__(self) -> None:
        assert len(self.input_shape) == (3 if self.kind == "image" else 1)
        assert (self.vocab_size is not None) == (self.kind == "text")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON; `from_dict` is the way back."""
        return {**asdict(self), "input_shape": list(self.input_shape)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a task from what `to_dict` returned, JSON or not."""
        return cls(**{**values, "input_shape": tuple(values["input_shape"])})
