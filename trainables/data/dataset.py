"""The value that every data source ends in: images as plain NumPy arrays, split in three."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Part:
    """Images and their labels.

    Attributes:
        images: [num_samples, channels, height, width] uint8, C-contiguous.
        labels: [num_samples] int64, from 0 to the number of classes - 1.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.images.flags.c_contiguous
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Part:
        """Return a copy of the samples at `indices` ([num_taken])."""
        return Part(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Source:
    """What a data source read, before the split.

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


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set, split and described.

    Attributes:
        name: of the data set.
        train: trained on.
        val: what the search compares trials on.
        test: read once, for finalists, after the search.
        class_names: [num_classes], by label.
        mean: [channels], of the train part with pixels from 0 to 1.
        std: [channels], likewise; at least 1/255, so that a constant channel can be divided by it.
        fingerprint: 16 hex digits of every image, label and the split.
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
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.class_names)
