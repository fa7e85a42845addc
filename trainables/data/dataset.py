"""The values that data sources end in: plain NumPy arrays, split in three."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from trainables.task import Task

if TYPE_CHECKING:
    import torch

    from trainables.data.device import DeviceData


@dataclass(frozen=True, eq=False)
class Part:
    """Inputs and their labels.

    Attributes:
        inputs: images [num_samples, channels, height, width] uint8, in memory with channels last,
            as decoders write and convolutions read them; texts [num_samples, num_words] int32.
        labels: [num_samples] int64, from 0 to the number of classes - 1.
    """

    inputs: NDArray[np.uint8] | NDArray[np.int32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert (str(self.inputs.dtype), self.inputs.ndim) in (("uint8", 4), ("int32", 2))
        in_memory = np.ascontiguousarray(_as_in_memory(self.inputs))
        object.__setattr__(self, "inputs", _from_memory(in_memory))
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.inputs.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the inputs as they lie in memory: Ray shares C-contiguous arrays alone."""
        return _rebuild, (_as_in_memory(self.inputs), self.labels)

    def take(self, indices: NDArray[np.int64]) -> Part:
        """Return a copy of the samples at `indices` ([num_taken])."""
        return Part(self.inputs[indices], self.labels[indices])

    def emptied(self) -> Part:
        """Return a part like this one without samples."""
        return Part(self.inputs[:0].copy(), self.labels[:0].copy())


def _as_in_memory(inputs: NDArray[Any]) -> NDArray[Any]:
    return inputs.transpose(0, 2, 3, 1) if inputs.ndim == 4 else inputs


def _from_memory(inputs: NDArray[Any]) -> NDArray[Any]:
    return inputs.transpose(0, 3, 1, 2) if inputs.ndim == 4 else inputs


def _rebuild(in_memory: NDArray[Any], labels: NDArray[np.int64]) -> Part:
    return Part(_from_memory(in_memory), labels)


@dataclass(frozen=True, eq=False)
class Source:
    """Images as a data source read them, before the split.

    Attributes:
        name: of the data set.
        rest: everything but the test part.
        test: the data set's own test part; None if it has none.
        class_names: [num_classes], by label.
    """

    name: str
    rest: Part
    test: Part | None
    class_names: tuple[str, ...]


class SplitData(Protocol):
    """A data set, split and described: what a sweep needs of images and texts alike.

    Attributes:
        name: of the data set.
        train: trained on.
        val: what the search compares trials on.
        test: read once, for finalists, after the search.
        class_names: [num_classes], by label.
        fingerprint: 16 hex digits of every input, label and the split.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def train(self) -> Part: ...  # noqa: D102
    @property
    def val(self) -> Part: ...  # noqa: D102
    @property
    def test(self) -> Part: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def task(self) -> Task:
        """What a model must fit."""
        ...

    @property
    def has_thesaurus(self) -> bool:
        """Whether words can be replaced by synonyms."""
        ...

    def without_test(self) -> Self:
        """Return the same data with an empty test part, for those that mustn't see it."""
        ...

    def on_device(self, device: torch.device) -> DeviceData:
        """Place the train and validation parts where they are trained on."""
        ...


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images, split and described; a `SplitData`.

    Attributes:
        mean: [channels], of the train part with pixels from 0 to 1.
        std: [channels], likewise; at least 1/255, so that a constant channel can be divided by it.
    """

    name: str
    train: Part
    val: Part
    test: Part
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    @property
    def task(self) -> Task:
        """Channels, height, width and classes."""
        return Task(
            kind="image",
            input_shape=self.train.inputs.shape[1:],
            num_classes=len(self.class_names),
        )

    @property
    def has_thesaurus(self) -> bool:
        """Images have no words."""
        return False

    def without_test(self) -> ImageData:
        """Return the same data with an empty test part."""
        return dataclasses.replace(self, test=self.test.emptied())

    def on_device(self, device: torch.device) -> DeviceData:
        """Place the train and validation parts on a device."""
        from trainables.data.device import ImageOnDevice

        return ImageOnDevice(self, device)
