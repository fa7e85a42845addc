"""CIFAR-10 in torchvision's folder layout, and its download (Krizhevsky 2009)."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.dataset import Part, Source
from trainables.errors import InputError

FOLDER = "cifar-10-batches-py"
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_TIMEOUT_S = 10.0


def load_cifar10(data_dir: Path) -> Source:
    """Read `data_dir/cifar-10-batches-py`, with its checksums verified.

    Raises:
        InputError: if a file is missing or damaged.
    """
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(str(data_dir), train=is_train) for is_train in (True, False))
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{data_dir / FOLDER} must be torchvision's complete CIFAR-10, got {error}; "
            "delete the folder and run again to download it"
        ) from error
    return Source("cifar10", _part(train), _part(test), CLASS_NAMES)


def download_cifar10(data_dir: Path) -> None:
    """Download CIFAR-10 (170 MB) into `data_dir`; a failed download leaves nothing behind.

    Raises:
        OSError: without a network, or where `data_dir` cannot be written.
        RuntimeError: if what came is damaged.
    """
    from torchvision.datasets import CIFAR10

    with _socket_timeout(_TIMEOUT_S):
        # Ask first: without a network torchvision would try three times before it gives up.
        urllib.request.urlopen(urllib.request.Request(CIFAR10.url, method="HEAD")).close()
        data_dir.mkdir(parents=True, exist_ok=True)
        print(f"downloading CIFAR-10 (170 MB) into {data_dir} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=data_dir) as folder:
            CIFAR10(folder, download=True)
            os.replace(Path(folder, FOLDER), data_dir / FOLDER)


def _part(dataset: Any) -> Part:
    images = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return Part(images, np.asarray(dataset.targets, np.int64))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
