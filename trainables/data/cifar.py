"""CIFAR-10 and CIFAR-100 in torchvision's folder layout, and their download (Krizhevsky 2009)."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.dataset import Part, Source
from trainables.errors import InputError

CIFAR_SHAPE = (3, 32, 32)
"""Of an image: channels, height, width."""

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets.

    Attributes:
        name: as users give it; in capitals it is that of torchvision's class.
        title: as people write it.
        folder: of torchvision's files.
        label_column: of the hub's Parquet files.
        class_names: by label.
    """

    name: str
    title: str
    folder: str
    label_column: str
    class_names: tuple[str, ...]


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    label_column="label",
    class_names=tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
)
CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    folder="cifar-100-python",
    label_column="fine_label",
    class_names=tuple(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
        bowl boy bridge bus butterfly camel can castle caterpillar cattle
        chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
        dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
        lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
        plain plate poppy porcupine possum rabbit raccoon ray road rocket
        rose sea seal shark shrew skunk skyscraper snail snake spider
        squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
        train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()
    ),
)


def load_cifar(cifar: Cifar, data_dir: Path) -> Source:
    """Read torchvision's folder in `data_dir`, with its checksums verified.

    Raises:
        InputError: if a file is missing or damaged.
    """
    dataset = _torchvision_class(cifar)
    try:
        train, test = (dataset(str(data_dir), train=is_train) for is_train in (True, False))
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{data_dir / cifar.folder} must be torchvision's complete {cifar.title}, got {error}; "
            "delete the folder and run again to download it"
        ) from error
    return Source(cifar.name, _part(train), _part(test), cifar.class_names)


def download_cifar(cifar: Cifar, data_dir: Path) -> None:
    """Download a data set (170 MB) into `data_dir`; a failed download leaves nothing behind.

    Raises:
        OSError: without a network, or where `data_dir` cannot be written.
        RuntimeError: if what came is damaged.
    """
    dataset = _torchvision_class(cifar)
    with _socket_timeout(_TIMEOUT_S):
        # Ask first: without a network torchvision would try three times before it gives up.
        urllib.request.urlopen(urllib.request.Request(dataset.url, method="HEAD")).close()
        data_dir.mkdir(parents=True, exist_ok=True)
        print(
            f"downloading {cifar.title} (170 MB) into {data_dir} ...", file=sys.stderr, flush=True
        )
        with tempfile.TemporaryDirectory(prefix=f".{cifar.name}-", dir=data_dir) as folder:
            dataset(folder, download=True)
            os.replace(Path(folder, cifar.folder), data_dir / cifar.folder)


def _torchvision_class(cifar: Cifar) -> Any:
    from torchvision import datasets

    return getattr(datasets, cifar.name.upper())


def _part(dataset: Any) -> Part:
    images = dataset.data.transpose(0, 3, 1, 2)
    return Part(images, np.asarray(dataset.targets, np.int64))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
