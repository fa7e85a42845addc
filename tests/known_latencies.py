"""Latencies that a sweep finds in its cache, so that it need not wait until a busy host lets it
measure them."""

from __future__ import annotations

from collections.abc import Iterable

from trainables.latency.cache import KeptFigure, add_to_cache, default_cache_path
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.models import architecture_fingerprint, describe_architecture
from trainables.task import Task
from trainables.trial_config import TrialConfig


def know_latencies(configs: Iterable[TrialConfig], task: Task) -> None:
    """Keep a figure of each architecture, as this host serves it by default."""
    add_to_cache(default_cache_path(), [KeptFigure(_figure(c, task)) for c in configs])


def _figure(config: TrialConfig, task: Task) -> LatencyFigure:
    times_ms = {
        f"{name}{end}_ms": 0.01 * config.width
        for name in ("latency", "p50", "p95", "p99")
        for end in ("", "_low", "_high")
    }
    return LatencyFigure(
        architecture=architecture_fingerprint(config, task),
        description=describe_architecture(config, task),
        runtime="eager",
        precision="fp32",
        batch_size=1,
        num_threads=1,
        device=device_name(),
        versions=runtime_versions("eager"),
        status="exact",
        throughput_per_s=1000.0,
        measured_unix_s=0.0,
        measure_seconds=0.0,
        **times_ms,
    )
