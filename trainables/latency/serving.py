"""How a model will be served: all that a latency depends on beside the model. Needs no Torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from trainables.errors import InputError
from trainables.latency import RUNTIMES
from trainables.latency.host import cpu_has_bf16, gpu_name, num_cpus, processor_name


@dataclass(frozen=True, kw_only=True)
class Serving:
    """One way of serving a model.

    Attributes:
        runtime: a name in `trainables.latency.RUNTIMES`.
        precision: one that the runtime offers.
        batch_size: samples per call; the artefact has this shape and no other.
        num_threads: that a call may use.
        device: `cpu` or `cuda`.
    """

    runtime: str = "eager"
    precision: str = "fp32"
    batch_size: int = 1
    num_threads: int = 1
    device: str = "cpu"


def check_serving(serving: Serving) -> None:
    """Check that this host can serve so.

    Raises:
        InputError: for an unknown runtime or one that isn't installed, a precision or a device
            that it hasn't, a number that is not positive, more threads than this process may use
            CPUs, or arithmetic that the hardware hasn't.
    """
    _check_choice("runtime", serving.runtime, tuple(RUNTIMES))
    entry = RUNTIMES[serving.runtime]
    _check_choice(f"device of {serving.runtime}", serving.device, tuple(entry.precisions))
    precisions = entry.precisions[serving.device]
    _check_choice(f"precision of {serving.runtime}", serving.precision, precisions)
    for name in ("batch_size", "num_threads"):
        value = getattr(serving, name)
        if value <= 0:
            raise InputError(f"{name} must be > 0, got {value}; raise it")
    if serving.num_threads > num_cpus():
        raise InputError(
            f"num_threads must be <= {num_cpus()}, the CPUs that this process may use, got "
            f"{serving.num_threads}; lower it"
        )
    if serving.device == "cuda" and gpu_name() is None:
        raise InputError("device must be cpu on a host without an NVIDIA GPU, got cuda; change it")
    check_installed(serving.runtime, serving.precision)
    if (serving.precision, serving.device) == ("bf16", "cpu") and not cpu_has_bf16():
        raise InputError(
            f"precision must be one that this CPU computes in, got bf16 on {processor_name()}, "
            "which has neither AVX512-BF16 nor AMX; choose fp32 or int8"
        )


def check_installed(runtime: str, precision: str = "fp32") -> None:
    """Check that what a runtime needs is installed.

    Raises:
        InputError: with the line that installs it.
    """
    entry = RUNTIMES[runtime]
    for extra in (entry.extra, entry.int8_extra if precision == "int8" else None):
        modules = () if extra is None else extra.modules
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if extra is not None and missing:
            raise InputError(
                f"runtime must be one that is installed, got {runtime!r} without "
                f"{', '.join(missing)}; run: pip install 'paretune[{extra.name}]'"
            )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}; choose one")
