"""Latencies on the nodes of a cluster that are set aside for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import ray

from sweeps.latency_bench import (
    Bench,
    DriverBench,
    Identity,
    OnFigure,
    Request,
    identify_here,
    measure_here,
)
from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.figure import LatencyFigure
from trainables.latency.measure import Subject
from trainables.latency.serving import Serving

LATENCY_BENCH: Final = "latency_bench"
"""The resource of a node that measures latencies; 1 a node, or several would share its cores."""


def choose_bench(on_wait: Callable[[], None]) -> Bench:
    """Return the cluster's nodes for latencies, or this machine where there are none."""
    if ray.is_initialized() and ray.cluster_resources().get(LATENCY_BENCH):
        return NodeBench()
    return DriverBench(on_wait)


class NodeBench:
    """The nodes that carry `latency_bench`: of one kind, or figures would not compare."""

    def __init__(self) -> None:
        self._known: dict[Serving, Identity] = {}

    def identify(self, serving: Serving) -> Identity:
        """Return what figures of these nodes have in common."""
        if serving not in self._known:
            self._known[serving] = _get(_task(identify_here).remote(serving))
        return self._known[serving]

    def measure(self, request: Request, on_figure: OnFigure) -> None:
        """Measure each model in a task of its own."""
        identity = self.identify(request.serving)
        rest = ray.put(dataclasses.replace(request, subjects=()))
        measure = _task(_measure_one)
        waiting = [measure.remote(subject, rest) for subject in request.subjects]
        try:
            while waiting:
                (done,), waiting = ray.wait(waiting)
                figure = _get(done)
                if (figure.device, figure.versions) != (identity.device, identity.versions):
                    raise InputError(
                        f"nodes with {LATENCY_BENCH} must be of one kind, got {identity.device} "
                        f"({identity.versions}) and {figure.device} ({figure.versions}); give the "
                        "resource to nodes of one kind"
                    )
                on_figure(figure)
        finally:
            for task in waiting:
                ray.cancel(task)


def _measure_one(subject: Subject, rest: Request) -> LatencyFigure:
    """Measure one model on the node of this task."""
    figures: list[LatencyFigure] = []
    request = dataclasses.replace(rest, subjects=(subject,))
    measure_here(request, figures.append, on_wait=lambda: None)
    return figures[0]


def _task(function: Callable[..., Any]) -> Any:
    return ray.remote(num_cpus=0, resources={LATENCY_BENCH: 1})(function)


def _get(reference: Any) -> Any:
    """Return what a task returned; raise what it raised."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, (InputError, LatencyError)):
            raise error.cause from None
        raise LatencyError(f"measuring failed: {error.cause}") from error
    except ray.exceptions.RayError as error:
        raise LatencyError(f"measuring failed: {str(error).splitlines()[0]}") from error
