"""How models are served and how fast they are there: what a run tells, gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.load import Run, RunError
from analysis.records import LATENCY_FILE, LATENCY_STATUSES, TRIALS_FILE

MAX_LOST_FRACTION = 0.01
"""Of accuracy that a shipped artefact may lose against eager fp32."""

MIN_AGREEMENT_FRACTION = 0.95
"""Of samples on which it must predict eager fp32's class."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Shipped:
    """A finalist as it would be shipped: measured after the search, from its trained weights."""

    trial_id: str
    compression: str | None
    """What was done to the model, as `pruned 0.5`; None: it is as it was trained."""
    num_parameters: int | None
    runtime: str
    precision: str
    status: str
    """exact, uncertain or failed."""
    reason: str | None
    before_ms: float | None
    """The latency of its architecture, with random weights."""
    latency_ms: float | None
    low_ms: float | None
    high_ms: float | None
    rank_before: int | None
    """By latency among the finalists, from 1; None where a figure of either time is not exact, and
    for compressed ones."""
    rank: int | None
    accuracy: float | None
    """Of the artefact, on samples of the validation part."""
    fp32_accuracy: float | None
    """Of eager fp32, on the same; of the compressed model, where it is that."""
    agreement_fraction: float | None
    slo: str | None
    """meets, misses or undecided; None without an SLO."""

    @property
    def is_accepted(self) -> bool | None:
        """Whether it computes what was trained, well enough; None where that is not known.

        At most one point of accuracy lost, and 95 % of the classes those of eager fp32.
        """
        if self.accuracy is None or self.fp32_accuracy is None or self.agreement_fraction is None:
            return None
        lost_fraction = self.fp32_accuracy - self.accuracy
        return (
            lost_fraction <= MAX_LOST_FRACTION + _ROUNDING
            and self.agreement_fraction >= MIN_AGREEMENT_FRACTION - _ROUNDING
        )

    @property
    def objections(self) -> tuple[str, ...]:
        """What speaks against shipping it; what is merely not known does not."""
        if self.status == "failed":
            return ("failed",)
        against = [] if self.is_accepted in (True, None) else [f"not in {self.precision}"]
        return tuple(against + (["misses the SLO"] if self.slo == "misses" else []))


@dataclass(frozen=True)
class ServingReport:
    """What a run tells of latencies.

    Attributes:
        words: how models are served and where that was measured; None: an older run.
        by_status: trials by what their latency is, but for exact ones.
        by_runtime: trials that were measured in another runtime than the sweep's.
        num_evaluated: samples of the validation part that accuracies are of; None: not recorded.
        shipped: finalists, each followed by what it was compressed to.
    """

    words: str | None
    by_status: Mapping[str, tuple[str, ...]]
    by_runtime: Mapping[str, tuple[str, ...]]
    num_evaluated: int | None
    shipped: tuple[Shipped, ...]


def gather_serving(run: Run) -> ServingReport:
    """Return what the run tells of latencies.

    Raises:
        RunError: if a latency is of no trial of the run, or stands there twice.
    """
    told = told_serving(run)
    trials = run.trials.select(
        ["trial_id", "architecture", "latency_status", "latency_runtime"]
    ).to_pylist()
    asked = told.get("runtime")
    count = told.get("num_evaluated")
    return ServingReport(
        words=serving_words(run),
        by_status=_grouped(trials, "latency_status", LATENCY_STATUSES[1:]),
        by_runtime=_grouped(
            trials,
            "latency_runtime",
            sorted({t["latency_runtime"] for t in trials} - {None, asked}),
        ),
        num_evaluated=count if isinstance(count, int) else None,
        shipped=_shipped(run.latency.to_pylist(), trials, told),
    )


def told_serving(run: Run) -> dict[str, Any]:
    """Return what sweep.json says of serving; empty in an older run."""
    told = run.spec.get("serving")
    return told if isinstance(told, dict) else {}


def serving_words(run: Run) -> str | None:
    """Return how models are served and where that was measured; None in an older run.

    Example: `openvino int8, batch 1, 1 thread, on cpu AMD EPYC; SLO 5 ms on percentile 99`.
    """
    told = told_serving(run)
    if not told:
        return None
    num_threads = told.get("num_threads")
    words = (
        f"{told.get('runtime')} {told.get('precision')}, batch {told.get('batch_size')}, "
        f"{num_threads} thread{'' if num_threads == 1 else 's'}, on {told.get('measured_on')}"
    )
    if told.get("slo_ms") is None:
        return words
    percentile = told.get("percentile")
    what = "" if percentile is None else f" on percentile {percentile}"
    return f"{words}; SLO {told['slo_ms']:g} ms{what}"


def _grouped(
    trials: Sequence[Mapping[str, Any]], column: str, values: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the ids of the trials that hold each of some values, without empty groups."""
    groups = {v: tuple(t["trial_id"] for t in trials if t[column] == v) for v in values}
    return {value: group for value, group in groups.items() if group}


def _shipped(
    rows: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]],
    told: Mapping[str, Any],
) -> tuple[Shipped, ...]:
    architectures = {trial["trial_id"]: trial["architecture"] for trial in trials}
    before = {
        (row["architecture"], row["runtime"]): row["latency_ms"]
        for row in rows
        if row["trial_id"] is None and row["status"] == "exact"
    }
    mine = [row for row in rows if row["trial_id"] is not None]
    _check([(row["trial_id"], row["compression"]) for row in mine], architectures)
    order = list(dict.fromkeys(row["trial_id"] for row in mine))
    mine.sort(key=lambda row: (order.index(row["trial_id"]), row["compression"] or ""))
    pairs = {
        row["trial_id"]: (before[key], row["latency_ms"])
        for row in mine
        if row["status"] == "exact"
        and row["compression"] is None
        and (key := (architectures[row["trial_id"]], row["runtime"])) in before
    }
    ranks = [_ranks({t: pair[i] for t, pair in pairs.items()}) for i in (0, 1)]
    return tuple(
        Shipped(
            trial_id=row["trial_id"],
            compression=row["compression"],
            num_parameters=row["num_parameters"],
            runtime=row["runtime"],
            precision=row["precision"],
            status=row["status"],
            reason=row["reason"],
            before_ms=before.get((architectures[row["trial_id"]], row["runtime"]))
            if row["compression"] is None
            else None,
            latency_ms=row["latency_ms"],
            low_ms=row["latency_low_ms"],
            high_ms=row["latency_high_ms"],
            rank_before=None if row["compression"] else ranks[0].get(row["trial_id"]),
            rank=None if row["compression"] else ranks[1].get(row["trial_id"]),
            accuracy=row["accuracy"],
            fp32_accuracy=row["fp32_accuracy"],
            agreement_fraction=row["agreement_fraction"],
            slo=_judge(row, told.get("slo_ms"), told.get("percentile")),
        )
        for row in mine
    )


def _ranks(latencies_ms: Mapping[str, float]) -> dict[str, int]:
    """Return each trial's rank, the fastest first; equals share one."""
    return {
        trial_id: 1 + sum(other < value for other in latencies_ms.values())
        for trial_id, value in latencies_ms.items()
    }


def _judge(row: Mapping[str, Any], slo_ms: float | None, percentile: int | None) -> str | None:
    """Return whether a figure meets the SLO, as the sweep judges."""
    if slo_ms is None:
        return None
    name = "latency" if percentile is None else f"p{percentile}"
    low_ms, high_ms = row[f"{name}_low_ms"], row[f"{name}_high_ms"]
    if row["status"] != "exact" or low_ms is None:
        return "undecided"
    if low_ms > slo_ms:
        return "misses"
    return "meets" if high_ms <= slo_ms else "undecided"


def _check(keys: Sequence[tuple[str, str | None]], known: Mapping[str, Any]) -> None:
    """Check that each pair of trial and compression is there once."""
    for index, (trial_id, compression) in enumerate(keys):
        rule = "that of a trial once" if trial_id in known else f"a trial of {TRIALS_FILE}"
        if trial_id not in known or (trial_id, compression) in keys[:index]:
            raise RunError(
                f"trial_id in {LATENCY_FILE} must be {rule}, got {trial_id!r}; copy the file again "
                "from where the sweep wrote it"
            )
