"""The most memory that something adds to a process."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Counts from its creation on: on a CPU resident memory, on a GPU what its device has taken.

    Args:
        device: `cpu` or `cuda`.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._before: int | None = None
        if device == "cuda":
            self._before = _taken_on_gpu()
        elif _STATUS.is_file():
            Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
            self._before = _resident("VmRSS")

    def added_bytes(self) -> int | None:
        """Return the most that was there since, beyond what was there before.

        On a GPU, what is there now: TensorRT's memory has no peak that could be asked for.

        Returns:
            None where the system (other than Linux) doesn't tell.
        """
        if self._before is None:
            return None
        now = _taken_on_gpu() if self._device == "cuda" else _resident("VmHWM")
        return max(now - self._before, 0)


def _resident(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def _taken_on_gpu() -> int:
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    return total_bytes - free_bytes
