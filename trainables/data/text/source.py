"""What a source of texts read, before the split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TextSource:
    """Texts and their labels.

    Attributes:
        name: of the data set.
        note: one line that says what was read.
        texts: [num_samples], none of them blank; everything but the test part.
        labels: [num_samples] int64, from 0 to the number of classes - 1.
        test_texts: the data set's own test part; None if it has none.
        test_labels: likewise.
        class_names: [num_classes], by label.
    """

    name: str
    note: str
    texts: list[str]
    labels: NDArray[np.int64]
    test_texts: list[str] | None
    test_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.labels.shape == (len(self.texts),)
        assert (self.test_texts is None) == (self.test_labels is None)
