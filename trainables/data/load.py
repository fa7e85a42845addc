"""Find the data set that was asked for, and say which one was used and why."""

from __future__ import annotations

from pathlib import Path

from trainables.data import cifar
from trainables.data.dataset import ImageData, Source
from trainables.data.digits import load_digits
from trainables.data.parquet import is_image_parquet, load_parquet
from trainables.data.splits import split_source
from trainables.errors import InputError

_PARQUET_PREFIX = "parquet:"


def load_dataset(
    dataset: str, data_dir: str, *, seed: int, limit_train: int | None = None
) -> tuple[ImageData, str]:
    """Load and split a data set.

    Args:
        dataset: `auto` (CIFAR-10 if it is at hand or can be downloaded, else digits), `cifar10`,
            `digits`, or `parquet:PATH`. One that is named is never replaced by another.
        data_dir: where CIFAR-10 lies or goes.
        seed: of the split.
        limit_train: train samples to keep; None keeps all.

    Returns:
        The data, and one line that says what was used and why.

    Raises:
        InputError: if the data set is unknown, absent or damaged; says how to get it.
    """
    source, note = _open(dataset, Path(data_dir).expanduser())
    return split_source(source, seed=seed, limit_train=limit_train), note


def _open(dataset: str, data_dir: Path) -> tuple[Source, str]:
    if dataset == "digits":
        return load_digits(), "digits (scikit-learn), as asked for"
    if dataset.startswith(_PARQUET_PREFIX):
        path = Path(dataset.removeprefix(_PARQUET_PREFIX)).expanduser()
        source = load_parquet(path)
        test = "split 6:2:2" if source.test is None else "with its own test part"
        return source, f"Parquet images in {path}, {test}"
    if dataset not in ("auto", "cifar10"):
        raise InputError(
            f"dataset must be auto, cifar10, digits or parquet:DIR, got {dataset!r}; choose one"
        )
    found = _find_cifar10(data_dir)
    if found is not None:
        return found
    try:
        cifar.download_cifar10(data_dir)
    except (OSError, RuntimeError) as error:
        if dataset == "auto":
            return load_digits(), (
                f"digits (scikit-learn) in place of CIFAR-10: it is not in {data_dir} and could "
                f"not be downloaded ({error})"
            )
        raise InputError(
            f"data_dir must be a folder with CIFAR-10, got {data_dir} without it and no download "
            f"({error}); put {cifar.FOLDER}/ or its Parquet files there, or use --dataset digits"
        ) from error
    return cifar.load_cifar10(data_dir), f"CIFAR-10, downloaded into {data_dir}"


def _find_cifar10(data_dir: Path) -> tuple[Source, str] | None:
    if (data_dir / cifar.FOLDER).is_dir():
        return cifar.load_cifar10(data_dir), f"CIFAR-10 in {data_dir / cifar.FOLDER}"
    for folder in (data_dir, data_dir / "cifar10"):
        if any(is_image_parquet(file) for file in folder.glob("*.parquet")):
            source = load_parquet(folder, name="cifar10", class_names=cifar.CLASS_NAMES)
            return source, f"CIFAR-10 in Parquet files in {folder}"
    return None
