"""Where latencies are measured: what a bench is, and the one that is this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainables.latency.blocks import Limits
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.latency.lock import measuring_alone
from trainables.latency.measure import Samples, Subject, measure_all
from trainables.latency.nominal import read_nominal
from trainables.latency.serving import Serving, check_serving
from trainables.task import Task

OnFigure = Callable[[LatencyFigure], None]


@dataclass(frozen=True)
class Identity:
    """What figures of a bench have in common in one way of serving.

    Attributes:
        device: as a figure names it.
        versions: likewise.
        nominal_ms: of the reference network there; None: not measured yet.
    """

    device: str
    versions: str
    nominal_ms: float | None


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be measured, and how."""

    subjects: Sequence[Subject]
    task: Task
    serving: Serving
    samples: Samples | None
    limits: Limits


class Bench(Protocol):
    """Measures models, one at a time on a machine."""

    def identify(self, serving: Serving) -> Identity:
        """Return what its figures have in common.

        Raises:
            InputError: if it can't serve so.
        """
        ...

    def measure(self, request: Request, on_figure: OnFigure) -> None:
        """Measure; each figure is told as it is there.

        Raises:
            LatencyError: if measuring itself broke down.
        """
        ...


def identify_here(serving: Serving) -> Identity:
    """Return what figures that are measured on this machine have in common.

    Raises:
        InputError: if it can't serve so.
    """
    check_serving(serving)
    nominal = read_nominal(serving.num_threads, serving.device)
    return Identity(
        device=device_name(serving.device),
        versions=runtime_versions(serving.runtime),
        nominal_ms=None if nominal is None else nominal.mean_ms,
    )


def measure_here(request: Request, on_figure: OnFigure, on_wait: Callable[[], None]) -> None:
    """Measure on this machine, when nobody else does."""
    with measuring_alone(on_wait):
        measure_all(
            request.subjects,
            request.task,
            request.serving,
            samples=request.samples,
            limits=request.limits,
            on_figure=on_figure,
        )


class DriverBench:
    """This machine.

    Args:
        on_wait: called when another process measures here, and this one waits.
    """

    def __init__(self, on_wait: Callable[[], None]) -> None:
        self._on_wait = on_wait

    def identify(self, serving: Serving) -> Identity:
        """Return what figures of this machine have in common."""
        return identify_here(serving)

    def measure(self, request: Request, on_figure: OnFigure) -> None:
        """Measure in a process of its own, when nobody else does."""
        measure_here(request, on_figure, self._on_wait)
