"""Before the first trial: every architecture of the space measured, and what came of it told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console

from sweeps.architectures import Architectures
from sweeps.bench_nodes import choose_bench
from sweeps.latencies import Latencies
from sweeps.latency_progress import LatencyProgress
from sweeps.plan import SweepPlan
from sweeps.serving import serving_words, target_of
from trainables.data.dataset import SplitData
from trainables.latency.figure import LatencyFigure
from trainables.latency.samples import calibration_samples, num_evaluated
from trainables.trial_config import TrialConfig

_NOTES: Final = {
    "failed": "can't run so and are refused",
    "uncertain": "uncertain, and not ranked by latency",
    "undecided": "undecided against the SLO: they train",
}
"""What is to be said of a `latency_status`."""


def measure_architectures(
    plan: SweepPlan, data: SplitData, console: Console, known: Sequence[LatencyFigure] = ()
) -> Architectures:
    """Find size and latency of every architecture of the space.

    Args:
        plan: of the sweep.
        data: its data.
        console: for progress.
        known: figures of an earlier process of the sweep, which stay as they are.

    Raises:
        InputError: if the flags ask for what can't be measured, or no architecture may train.
        LatencyError: if measuring itself broke down.
    """
    target = target_of(plan.spec)
    progress = LatencyProgress(console)
    try:
        latencies = Latencies(
            data.task,
            target,
            choose_bench(progress.waiting),
            samples=calibration_samples(data) if target.serving.precision == "int8" else None,
            progress=progress,
            known=known,
        )
        architectures = Architectures(data.task, latencies)
        architectures.measure(plan.architectures)
    finally:
        progress.end()
    return architectures


def describe_serving(latencies: Latencies, data: SplitData) -> dict[str, Any]:
    """Return how models will be served and were measured, as `sweep.json` has it."""
    return {
        **latencies.target.to_dict(),
        "measured_on": latencies.device,
        "num_evaluated": num_evaluated(data),
    }


def say_latencies(architectures: Architectures, configs: Sequence[TrialConfig]) -> str:
    """Return how latencies were found, and which of them say less than they should, in one line.

    Args:
        architectures: measured.
        configs: one for each of them.
    """
    latencies, target = architectures.latencies, architectures.latencies.target
    counts = {status: architectures.num_of_status(configs, status) for status in _NOTES}
    parts = [
        f"{serving_words(target.serving)} on {latencies.device}: {latencies.num_architectures} "
        f"architectures, {latencies.num_measured} measured now; kept in {target.cache_path}",
        *(f"{count} {_NOTES[status]}" for status, count in counts.items() if count),
    ]
    return "; ".join(parts)
