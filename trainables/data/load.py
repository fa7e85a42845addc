"""Open the data set that was asked for, and say which one was used and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.augment.thesaurus import load_thesaurus
from trainables.data.cifar import CIFAR10, CIFAR100, CIFAR_SHAPE, Cifar, download_cifar, load_cifar
from trainables.data.dataset import Source, SplitData
from trainables.data.digits import load_digits
from trainables.data.image_folder import load_image_folder
from trainables.data.parquet import column_names, image_column, load_parquet
from trainables.data.splits import split_source
from trainables.data.text.dataset import TextData, split_text
from trainables.data.text.docstrings import load_docstrings
from trainables.data.text.files import TEXT_COLUMN, load_text_files
from trainables.errors import InputError

_NAMED = ("auto", "cifar10", "cifar100", "digits", "docstrings")
_WITH_PATH = ("parquet", "folder", "text")


def load_dataset(
    dataset: str,
    data_dir: str,
    *,
    seed: int,
    limit_train: int | None = None,
    thesaurus: str | None = None,
) -> tuple[SplitData, str]:
    """Load and split a data set.

    Args:
        dataset: images: `auto` (CIFAR-10 if it is at hand or can be downloaded, else digits),
            `cifar10`, `cifar100`, `digits`, `folder:DIR`; texts: `docstrings`, `text:PATH`;
            `parquet:PATH`: whichever it has a column of. One that is named is never replaced by
            another.
        data_dir: where CIFAR-10 and CIFAR-100 lie or go.
        seed: of the split.
        limit_train: train samples to keep; None keeps all.
        thesaurus: file of synonyms, for texts; None for none.

    Returns:
        The data, and one line that says what was used and why.

    Raises:
        InputError: if the data set is unknown, absent or damaged; says how to get it.
    """
    kind, path = _parse(dataset)
    if kind in ("docstrings", "text"):
        synonyms = None if thesaurus is None else load_thesaurus(Path(thesaurus).expanduser())
        texts = load_docstrings() if kind == "docstrings" else load_text_files(path)
        data = split_text(texts, seed=seed, limit_train=limit_train, thesaurus=synonyms)
        return data, f"{texts.note}; {_cut_note(data)}"
    if thesaurus is not None:
        raise InputError(
            f"thesaurus must be left out with images, got {thesaurus} with dataset {dataset}; "
            "leave it out, or use --dataset docstrings or text:PATH"
        )
    source, note = _open_images(kind, path, Path(data_dir).expanduser())
    return split_source(source, seed=seed, limit_train=limit_train), note


def load_recorded(sweep: Mapping[str, Any], data_dir: str | None) -> SplitData:
    """Load the data of a run again.

    Args:
        sweep: content of its `sweep.json`.
        data_dir: where CIFAR-10 and CIFAR-100 lie; None: where they lay.

    Raises:
        InputError: if they can't be loaded, or are not those of the run.
    """
    spec, recorded = sweep["spec"], sweep["dataset"]
    data, note = load_dataset(
        spec["dataset"],
        data_dir or spec["data_dir"],
        seed=spec["seed"],
        limit_train=recorded["limit_train"],
        thesaurus=spec.get("thesaurus"),
    )
    if data.fingerprint != recorded["fingerprint"]:
        raise InputError(
            f"data must be what the run used ({recorded['name']}, fingerprint "
            f"{recorded['fingerprint']}), got {note} with {data.fingerprint}; give --data-dir"
        )
    return data


def _parse(dataset: str) -> tuple[str, Path]:
    """Return the kind of a data set, with images and texts told apart, and its path if any."""
    kind, _, path = dataset.partition(":")
    if dataset not in _NAMED and not (kind in _WITH_PATH and path):
        raise InputError(
            f"dataset must be {', '.join(_NAMED)}, parquet:PATH, folder:DIR or text:PATH, got "
            f"{dataset!r}; choose one"
        )
    place = Path(path).expanduser()
    return "text" if kind == "parquet" and _is_text_parquet(place) else kind, place


def _is_text_parquet(path: Path) -> bool:
    """Whether a Parquet file, or the first of a folder, has a column of texts, none of images."""
    columns = column_names(min(path.glob("*.parquet"), default=path))
    return TEXT_COLUMN in columns and image_column(columns) is None


def _cut_note(data: TextData) -> str:
    num_words = data.train.inputs.shape[1]
    return f"{data.num_cut} cut to {num_words} words and {data.max_tokens} tokens"


def _open_images(kind: str, path: Path, data_dir: Path) -> tuple[Source, str]:
    match kind:
        case "digits":
            return load_digits(), "digits (scikit-learn), as asked for"
        case "folder":
            return load_image_folder(path)
        case "parquet":
            source = load_parquet(path)
            test = "split 6:2:2" if source.test is None else "with its own test part"
            return source, f"Parquet images in {path}, {test}"
        case "cifar100":
            return _open_cifar(CIFAR100, data_dir)
        case _:
            return _open_cifar(CIFAR10, data_dir, or_digits=kind == "auto")


def _open_cifar(cifar: Cifar, data_dir: Path, *, or_digits: bool = False) -> tuple[Source, str]:
    source, note = _find_cifar(cifar, data_dir)
    if source is not None:
        return source, note
    try:
        download_cifar(cifar, data_dir)
    except (OSError, RuntimeError) as error:
        if or_digits:
            return load_digits(), (
                f"digits (scikit-learn) in place of {cifar.title}: it is not in "
                f"{data_dir}{note} and could not be downloaded ({error})"
            )
        raise InputError(
            f"data_dir must be a folder with {cifar.title}, got {data_dir} without it{note} and "
            f"no download ({error}); put {cifar.folder}/ or its Parquet files there, or use "
            "--dataset digits"
        ) from error
    return load_cifar(cifar, data_dir), f"{cifar.title}, downloaded into {data_dir}{note}"


def _find_cifar(cifar: Cifar, data_dir: Path) -> tuple[Source | None, str]:
    """Return the data and where they lie; or None and, in brackets, what was passed over if any."""
    if (data_dir / cifar.folder).is_dir():
        return load_cifar(cifar, data_dir), f"{cifar.title} in {data_dir / cifar.folder}"
    passed_over = ""
    for folder in (data_dir, data_dir / cifar.name):
        columns = [column_names(file) for file in folder.glob("*.parquet")]
        if not any(cifar.label_column in names and image_column(names) for names in columns):
            continue
        source = load_parquet(
            folder,
            name=cifar.name,
            class_names=cifar.class_names,
            label_column=cifar.label_column,
        )
        shape = source.rest.inputs.shape[1:]
        if shape == CIFAR_SHAPE:
            return source, f"{cifar.title} in Parquet files in {folder}"
        size = " x ".join(map(str, shape))
        passed_over += f" (Parquet files in {folder} are not {cifar.title}'s: images of {size})"
    return None, passed_over
