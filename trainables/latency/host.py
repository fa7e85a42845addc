"""What a latency depends on beside the model: processor, versions, clock. Needs no Torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from functools import cache
from pathlib import Path

import pynvml

from trainables.latency import RUNTIMES


@cache
def torch_version() -> str:
    """Return the installed Torch's version without importing it."""
    return importlib.metadata.version("torch")


def runtime_versions(runtime: str) -> str:
    """Return Torch and what a runtime needs beside it, each with its version."""
    entry = RUNTIMES[runtime]
    extras = [extra for extra in (entry.extra, entry.int8_extra) if extra is not None]
    needed = ("torch", *(module for extra in extras for module in extra.modules))
    names = [name for name in needed if importlib.util.find_spec(name) is not None]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


@cache
def processor_name() -> str:
    """Return the name of this host's processor: Linux's, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def gpu_name() -> str | None:
    """Return the name of this host's first NVIDIA GPU, or None without one."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except pynvml.NVMLError:
        return None


def device_name(device: str = "cpu") -> str:
    """Return `cpu` or `cuda` with the name of this host's processor or first GPU."""
    return f"{device} {processor_name() if device == 'cpu' else gpu_name()}"


@cache
def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies in bf16; asks Torch."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def cpu_governor() -> str | None:
    """Return what sets the clock rate of the first CPU (Linux), or None where it isn't told."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def num_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
