"""Latency figures, and a bench that makes them up, for the tests of sweeps."""

from pathlib import Path

from sweeps.latency_bench import Identity
from sweeps.serving import Target
from trainables.latency.figure import LatencyFigure
from trainables.latency.serving import Serving
from trainables.latency.slo import Slo
from trainables.models import architecture_fingerprint, describe_architecture

IDENTITY = Identity("cpu Sample", "torch 9", 1.0)


def make_figure(latency_ms: float | None = 1.0, spread: float = 0.01, **fields) -> LatencyFigure:
    """Return a figure whose every interval reaches so far to both sides, as a fraction."""
    times = {}
    for name in ("latency", "p50", "p95", "p99"):
        for end, factor in (("", 1), ("_low", 1 - spread), ("_high", 1 + spread)):
            times[f"{name}{end}_ms"] = latency_ms and latency_ms * factor
    values = {
        "architecture": "a",
        "description": "{}",
        "runtime": "eager",
        "precision": "fp32",
        "batch_size": 1,
        "num_threads": 1,
        "device": IDENTITY.device,
        "versions": IDENTITY.versions,
        "status": "exact",
        "nominal_reference_ms": 1.0,
        "throughput_per_s": latency_ms and 1000 / latency_ms,
        "measured_unix_s": 0.0,
        "measure_seconds": 2.0,
        **times,
    }
    return LatencyFigure(**(values | fields))


def make_target(cache_path: Path, **fields) -> Target:
    """Return a target that serves in eager PyTorch, without an SLO."""
    values = {
        "serving": Serving(),
        "fallback": None,
        "machine": None,
        "slo": Slo(),
        "cache_path": cache_path,
        "price_usd_per_hour": None,
    }
    return Target(**(values | fields))


class FakeBench:
    """Says that a model takes a tenth of a millisecond per channel of its first stage.

    Args:
        spreads: of the interval, in one measurement of a model after the other; the last stays.
        statuses: likewise.
        cannot: runtimes in which no model runs.
    """

    def __init__(self, spreads=(0.01,), statuses=("exact",), cannot=(), nominal_ms=1.0):
        self.requests = []
        self._spreads, self._statuses = spreads, statuses
        self._cannot, self._nominal_ms = cannot, nominal_ms
        self._counts = {}

    def identify(self, serving):
        return Identity(IDENTITY.device, IDENTITY.versions, self._nominal_ms)

    def measure(self, request, on_figure):
        self.requests.append(request)
        for subject in request.subjects:
            width = subject.config.width
            index = self._counts.get(width, 0)
            self._counts[width] = index + 1
            serving = request.serving
            fields = {
                "architecture": architecture_fingerprint(subject.config, request.task),
                "description": describe_architecture(subject.config, request.task),
                "runtime": serving.runtime,
                "precision": serving.precision,
                "num_threads": serving.num_threads,
                "batch_size": serving.batch_size,
                "trial_id": subject.trial_id,
                "nominal_reference_ms": self._nominal_ms,
            }
            if serving.runtime in self._cannot:
                reason = "operator aten::x can't be exported"
                on_figure(make_figure(None, status="failed", reason=reason, **fields))
                continue
            status = self._statuses[min(index, len(self._statuses) - 1)]
            spread = self._spreads[min(index, len(self._spreads) - 1)]
            on_figure(make_figure(width / 10, spread, status=status, **fields))

    @property
    def measured(self):
        """Widths in the order in which they were measured."""
        return [s.config.width for request in self.requests for s in request.subjects]


class SilentProgress:
    """Shows nothing."""

    def begin(self, what, num_models):
        pass

    def advance(self):
        pass
