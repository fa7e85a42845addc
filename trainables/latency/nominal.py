"""The quiet times of the reference networks, kept for this host. Needs no Torch.

They are measured once and kept in a file of the user's cache, so that figures of different sweeps
on one host share their scale; hosts with the same processor that share the folder share the times.
Remove the file to measure them again: figures with the old times then differ in scale, and say so
in `nominal_reference_ms`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from trainables.errors import InputError
from trainables.latency.host import device_name, torch_version

REFERENCE_VERSION = 3
"""Raise it with every change of `trainables.latency.reference`, or of how it is timed."""


@dataclass(frozen=True)
class Nominal:
    """The shortest calls of the reference networks on a quiet host.

    Attributes:
        compact_ms: of the compact one: the median of several processes'.
        wide_ms: of the wide one.
        is_stable: the shortest calls agreed when they were measured.
    """

    compact_ms: float
    wide_ms: float
    is_stable: bool = True

    @property
    def mean_ms(self) -> float:
        """The geometric mean of both."""
        return math.sqrt(self.compact_ms * self.wide_ms)


def nominal_path(num_threads: int, device: str = "cpu") -> Path:
    """Return the file that holds the times for so many threads, this device and this Torch."""
    key = json.dumps([REFERENCE_VERSION, device_name(device), torch_version(), num_threads])
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"latency_reference_{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    return Path(folder) / "paretune" / name


def read_nominal(num_threads: int, device: str = "cpu") -> Nominal | None:
    """Return the times that are kept, or None if none are."""
    try:
        content = json.loads(nominal_path(num_threads, device).read_text())
    except FileNotFoundError:
        return None
    return Nominal(float(content["compact_ms"]), float(content["wide_ms"]))


def keep_nominal(nominal: Nominal, num_threads: int, device: str = "cpu") -> Nominal:
    """Keep times, unless some are kept already.

    Returns:
        The times that are kept: of several processes at once, the first to keep some prevails.

    Raises:
        InputError: if the folder can't be written.
    """
    path = nominal_path(num_threads, device)
    content = {
        **asdict(nominal),
        "device": device_name(device),
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
    kept = read_nominal(num_threads, device)
    assert kept is not None
    return kept
