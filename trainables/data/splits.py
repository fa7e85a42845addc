"""Stratified, seeded splits: train : validation : test = 6 : 2 : 2.

Where a set has a test part of its own, the rest is split 3 : 1, which is 6 : 2.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset import ImageData, Part, Source
from trainables.errors import InputError

VAL_FRACTION = 0.2
TEST_FRACTION = 0.2
MIN_CLASS_SAMPLES = 5
"""With fewer, 6 : 2 : 2 leaves a part without the class."""

_BLOCK_IMAGES = 1024


def split_source(source: Source, *, seed: int, limit_train: int | None = None) -> ImageData:
    """Split a source and describe it.

    Args:
        source: as read; not modified.
        seed: the same seed gives the same split.
        limit_train: samples to keep of the train part, stratified; the validation part shrinks in
            proportion and the test part stays. None keeps everything.

    Raises:
        InputError: if a class is missing from a part or limit_train is not positive.
    """
    train, val, test = split_positions(
        source.rest.labels,
        has_test_part=source.test is not None,
        seed=seed,
        limit_train=limit_train,
    )
    test_part = source.rest.take(test) if source.test is None else source.test
    return _describe(source, source.rest.take(train), source.rest.take(val), test_part)


def split_positions(
    labels: NDArray[np.int64], *, has_test_part: bool, seed: int, limit_train: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Choose the samples of the three parts; they are disjoint, for none is chosen twice.

    Args:
        labels: [num_samples], of everything but an own test part.
        has_test_part: the data set has a test part of its own, so none is chosen.
        seed: the same seed gives the same split.
        limit_train: as in `split_source`.

    Returns:
        Positions of the train, validation and test part, each ascending.

    Raises:
        InputError: if a class is too small to be split or limit_train is not positive.
    """
    if limit_train is not None and limit_train < 1:
        raise InputError(
            f"limit_train must be >= 1 samples, got {limit_train}; leave it out to use every sample"
        )
    counts = np.bincount(labels)
    if counts.min() < MIN_CLASS_SAMPLES:
        raise InputError(
            f"every class must have >= {MIN_CLASS_SAMPLES} samples to be split, got "
            f"{counts.min()} with label {counts.argmin()}; add samples of it or leave the class out"
        )
    generator = np.random.default_rng([seed, 0x5B117])
    everything = np.arange(len(labels))
    test = everything[:0]
    num_val = round(VAL_FRACTION / (1 - TEST_FRACTION) * len(labels))
    if not has_test_part:
        num_val, num_test = round(VAL_FRACTION * len(labels)), round(TEST_FRACTION * len(labels))
        test = stratified_choice(labels, num_test, generator)
    remaining = np.setdiff1d(everything, test)
    val = remaining[stratified_choice(labels[remaining], num_val, generator)]
    train = np.setdiff1d(remaining, val)
    if limit_train is not None and limit_train < len(train):
        num_val = round(len(val) * limit_train / len(train))
        train_choice = stratified_choice(labels[train], limit_train, generator)
        val_choice = stratified_choice(labels[val], num_val, generator)
        train, val = train[train_choice], val[val_choice]
    return train, val, test


def stratified_choice(
    labels: NDArray[np.int64], num_chosen: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Choose positions at random so that each class keeps its share, within one sample.

    Shares are rounded by largest remainder (Hamilton), so exactly `num_chosen` are chosen.

    Args:
        labels: [num_samples], >= 0.
        num_chosen: from 0 to num_samples.
        generator: is advanced.

    Returns:
        [num_chosen] distinct positions in `labels`, ascending.
    """
    counts = np.bincount(labels)
    shares = counts * (num_chosen / max(len(labels), 1))
    quotas = np.minimum(np.floor(shares).astype(np.int64), counts)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: num_chosen - quotas.sum()]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in enumerate(quotas)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def check_classes(labels: NDArray[np.int64], class_names: tuple[str, ...], *, name: str) -> None:
    """Check that no class is missing from a part.

    Args:
        labels: [num_samples], of the part.
        class_names: [num_classes], by label.
        name: of the part, for the error.

    Raises:
        InputError: naming the classes that are missing.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    missing = [class_names[label] for label in np.flatnonzero(counts == 0)]
    if missing:
        raise InputError(
            f"{name} must be a sample of every class, got {len(labels)} samples and none of class "
            f"{', '.join(missing[:5])}; add samples of it or raise limit_train"
        )


def _describe(source: Source, train: Part, val: Part, test: Part) -> ImageData:
    digest = hashlib.sha256()
    for name, part in (("train", train), ("val", val), ("test", test)):
        check_classes(part.labels, source.class_names, name=f"the {name} part of {source.name}")
        digest.update(repr((name, part.inputs.shape)).encode())
        digest.update(np.ascontiguousarray(part.inputs).data)
        digest.update(part.labels.data)
    mean, std = _channel_statistics(train.inputs)
    return ImageData(
        name=source.name,
        train=train,
        val=val,
        test=test,
        class_names=source.class_names,
        mean=mean,
        std=std,
        fingerprint=digest.hexdigest()[:16],
    )


def _channel_statistics(
    images: NDArray[Any],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by channel, exactly, from counts of the 256 values."""
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        weights = np.zeros(256, np.int64)
        for start in range(0, len(images), _BLOCK_IMAGES):  # bincount widens what it counts
            block = images[start : start + _BLOCK_IMAGES, channel]
            weights += np.bincount(block.ravel(), minlength=256)
        mean = float(np.average(values, weights=weights))
        variance = float(np.average((values - mean) ** 2, weights=weights))
        means.append(mean)
        stds.append(max(variance**0.5, 1 / 255))
    return tuple(means), tuple(stds)
