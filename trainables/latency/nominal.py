"""The quiet time of the reference network, kept for this host. Needs no Torch.

It is measured once and kept in a file of the user's cache, so that figures of different sweeps on
one host share their scale; hosts with the same processor that share the folder share the time.
Remove the file to measure it again: figures with the old time then differ in scale, and say so in
`nominal_reference_ms`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from trainables.errors import InputError
from trainables.latency.host import device_name, torch_version

REFERENCE_VERSION = 1
"""Raise it with every change of `trainables.latency.reference`."""


def nominal_path(num_threads: int) -> Path:
    """Return the file that holds the time for so many threads, this processor and this Torch."""
    key = json.dumps([REFERENCE_VERSION, device_name(), torch_version(), num_threads])
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"latency_reference_{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    return Path(folder) / "paretune" / name


def read_nominal_ms(num_threads: int) -> float | None:
    """Return the time that is kept, or None if none is."""
    try:
        return float(json.loads(nominal_path(num_threads).read_text())["reference_ms"])
    except FileNotFoundError:
        return None


def keep_nominal_ms(num_threads: int, reference_ms: float) -> float:
    """Keep a time, unless one is kept already.

    Returns:
        The time that is kept: of several processes at once, the first to keep one prevails.

    Raises:
        InputError: if the folder can't be written.
    """
    path = nominal_path(num_threads)
    content = {
        "reference_ms": reference_ms,
        "device": device_name(),
        "torch_version": torch_version(),
        "num_threads": num_threads,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part") as file:
            json.dump(content, file)
            file.flush()
            if not path.exists():
                os.link(file.name, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(
            f"XDG_CACHE_HOME must be a folder that can be written, got {path.parent.parent} "
            f"({error.strerror}); set it to another"
        ) from error
    kept_ms = read_nominal_ms(num_threads)
    assert kept_ms is not None
    return kept_ms
