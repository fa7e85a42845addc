"""What is known of the licences of the data sets that are opened by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CIFAR: Final = (
    "unknown: its authors state none; they ask to cite A. Krizhevsky, Learning Multiple Layers of "
    "Features from Tiny Images, 2009"
)

_KNOWN: Final[Mapping[str, str]] = {
    "digits": (
        "CC BY 4.0: Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak), UCI "
        "Machine Learning Repository, doi:10.24432/C50P49; scikit-learn carries its test part"
    ),
    "docstrings": (
        "PSF License Agreement (PSF-2.0), that of Python, whose standard library holds the texts"
    ),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
}


def licence_of(dataset: str, name: str) -> str:
    """Return the licence of a data set in words, or that it is unknown.

    Args:
        dataset: as `--dataset` was given: only what is opened by name is known.
        name: of what was opened.
    """
    if ":" in dataset:
        return "unknown: these are data of your own; look where they come from"
    return _KNOWN.get(name, "unknown")
