"""A latency figure: all that is known of one model in one way of serving. Needs no Torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["exact", "uncertain", "failed"]


@dataclass(frozen=True, kw_only=True)
class LatencyFigure:
    """One measurement: a row of the latency table. What was not measured is None.

    Attributes:
        architecture: fingerprint.
        description: what defines the graph, JSON.
        runtime: a name in `trainables.latency.RUNTIMES`.
        precision: of the runtime's arithmetic.
        batch_size: samples per call.
        num_threads: that the call may use.
        device: `cpu` or `cuda`, with its name.
        versions: of Torch and of the runtime's packages.
        trial_id: whose trained weights were measured; None: random ones.
        compression: what was done to the model, as `pruned 0.5`; None: nothing.
        num_parameters: that the model has.
        latency_ms: what the shortest call takes when the host is quiet, whatever it did meanwhile:
            reference_ratio x nominal_reference_ms. To rank by.
        latency_low_ms: of the middle half of the processes' figures, by either reference network.
        latency_high_ms: likewise.
        p50_ms: the median of all calls, as the host was; each quantile with its 95 % interval.
        p95_ms: of the calls that were not preempted; None where they say nothing.
        p99_ms: likewise.
        status: `exact`; `uncertain`: measured, but not to be ranked by; `failed`: not measured.
        reason: why it is uncertain or failed; None for exact.
        reference_ratio: of the model's shortest call to the reference networks' (their geometric
            mean), the median of the processes'; comparable on one kind of processor.
        min_ms: the model's shortest call.
        reference_min_ms: the reference networks' shortest calls, timed in turn with it.
        nominal_reference_ms: the reference networks' shortest calls when the host is quiet.
        num_tries: taken until the processes agreed.
        num_samples: calls timed.
        clean_fraction: of these, not preempted; None where the system doesn't say.
        governor: of the CPU's clock rate; None where the system doesn't tell.
        tail_reason: why there is no p95 and p99.
        throughput_per_s: samples per second at this batch size: by latency_ms.
        peak_memory_bytes: that loading and calling the model added to the process.
        artefact_bytes: of what is shipped, on disk.
        cold_start_ms: from the artefact on disk to the first answer, in a fresh process.
        max_difference: of the logits from eager fp32's, as a fraction of the largest.
        agreement_fraction: of the samples with eager fp32's predicted class.
        accuracy: of what was timed, on the evaluation samples.
        fp32_accuracy: of eager fp32 on the same.
        measured_unix_s: when.
        measure_seconds: that the measuring took, with all that led to it.
    """

    architecture: str
    description: str
    runtime: str
    precision: str
    batch_size: int
    num_threads: int
    device: str
    versions: str
    trial_id: str | None = None
    compression: str | None = None
    num_parameters: int | None = None
    latency_ms: float | None = None
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    p50_ms: float | None = None
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p95_ms: float | None = None
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None
    p99_ms: float | None = None
    p99_low_ms: float | None = None
    p99_high_ms: float | None = None
    status: Status
    reason: str | None = None
    reference_ratio: float | None = None
    min_ms: float | None = None
    reference_min_ms: float | None = None
    nominal_reference_ms: float | None = None
    num_tries: int | None = None
    num_samples: int | None = None
    clean_fraction: float | None = None
    governor: str | None = None
    tail_reason: str | None = None
    throughput_per_s: float | None = None
    peak_memory_bytes: int | None = None
    artefact_bytes: int | None = None
    cold_start_ms: float | None = None
    max_difference: float | None = None
    agreement_fraction: float | None = None
    accuracy: float | None = None
    fp32_accuracy: float | None = None
    measured_unix_s: float
    measure_seconds: float
