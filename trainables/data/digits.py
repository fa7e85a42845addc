"""scikit-learn's digits: 1,797 grey images of 8x8, always at hand, without a test part."""

from __future__ import annotations

import numpy as np

from trainables.data.dataset import Part, Source


def load_digits() -> Source:
    """Read the digits that scikit-learn ships, scaled from 0..16 to 0..255."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    part = Part(np.ascontiguousarray(images), bunch.target.astype(np.int64))
    return Source("digits", part, None, tuple(str(digit) for digit in range(10)))
