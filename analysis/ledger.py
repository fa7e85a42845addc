"""Where the time of a sweep's gangs went, and the money with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from analysis.load import Run
from analysis.records import LEDGER_KINDS


@dataclass(frozen=True)
class LedgerSum:
    """What all spans of one kind come to.

    Attributes:
        kind: one of `LEDGER_KINDS`.
        seconds: of all gangs together.
        fraction: of what was held.
        cost_usd: None without a price.
    """

    kind: str
    seconds: float
    fraction: float
    cost_usd: float | None


def sum_ledger(ledger: pa.Table) -> list[LedgerSum]:
    """Return the sums by kind, in the order of `LEDGER_KINDS`, without kinds that did not occur.

    Args:
        ledger: as `ledger.parquet`.

    Raises:
        ValueError: if a kind is unknown.
    """
    seconds = pc.subtract(ledger["ended_s"], ledger["started_s"])
    table = pa.table({"kind": ledger["kind"], "seconds": seconds, "cost_usd": ledger["cost_usd"]})
    sums = table.group_by("kind").aggregate([("seconds", "sum"), ("cost_usd", "sum")])
    by_kind = {row["kind"]: row for row in sums.to_pylist()}
    unknown = sorted(by_kind.keys() - LEDGER_KINDS.keys())
    if unknown:
        raise ValueError(
            f"kind in ledger.parquet must be one of {', '.join(LEDGER_KINDS)}, got "
            f"{unknown[0]!r}; read this run with the version of paretune that wrote it"
        )
    held = sum(row["seconds_sum"] for row in by_kind.values())
    found = [by_kind[kind] for kind in LEDGER_KINDS if kind in by_kind]
    return [
        LedgerSum(
            row["kind"],
            row["seconds_sum"],
            row["seconds_sum"] / held if held else 0.0,
            row["cost_usd_sum"],
        )
        for row in found
    ]


OUTCOMES = {
    "completed": "trials that trained to the end",
    "stopped": "trials that were stopped early",
    "failed": "trials that failed",
    "unfinished": "trials that had not ended",
    "lost": LEDGER_KINDS["lost"],
    "examination": LEDGER_KINDS["examination"],
    "retraining": LEDGER_KINDS["retraining"],
    "start_up": LEDGER_KINDS["start_up"],
    "idle": LEDGER_KINDS["idle"],
    "end": LEDGER_KINDS["end"],
}
"""What a sweep's time and money can go to."""


@dataclass(frozen=True)
class Spending:
    """Where time and money went.

    Attributes:
        sums: by `OUTCOMES`, in their order, without what did not occur; `kind` is a key of these.
        is_whole: overhead, idle time and the end are told. False for runs without a ledger: then
            these are missing, and fractions are of what trials were charged.
    """

    sums: tuple[LedgerSum, ...]
    is_whole: bool


def sum_spending(run: Run) -> Spending:
    """Return what became of what was spent: `sum_ledger`, with training split by its outcome.

    Raises:
        ValueError: if the ledger holds an unknown kind.
    """
    status = dict(
        zip(run.trials["trial_id"].to_pylist(), run.trials["status"].to_pylist(), strict=True)
    )
    if len(run.ledger):
        sum_ledger(run.ledger)  # refuses unknown kinds
        spans = [
            (
                row["kind"] if row["kind"] != "training" else _outcome(status.get(row["trial_id"])),
                row["ended_s"] - row["started_s"],
                row["cost_usd"],
            )
            for row in run.ledger.to_pylist()
        ]
        return Spending(_summed(spans), is_whole=True)
    columns = ("status", "gang_seconds", "lost_seconds", "cost_usd")
    spans = []
    for row in run.trials.select(columns).to_pylist():
        seconds, lost = row["gang_seconds"] or 0.0, row["lost_seconds"] or 0.0
        lost_usd = None
        if row["cost_usd"] is not None:
            lost_usd = row["cost_usd"] * (lost / seconds if seconds else 0.0)
        kept_usd = None if lost_usd is None else row["cost_usd"] - lost_usd
        spans += [(_outcome(row["status"]), seconds - lost, kept_usd), ("lost", lost, lost_usd)]
    return Spending(_summed([span for span in spans if span[1] > 0]), is_whole=False)


def _outcome(status: str | None) -> str:
    return status if status in ("completed", "stopped", "failed") else "unfinished"


def _summed(spans: Sequence[tuple[str, float, float | None]]) -> tuple[LedgerSum, ...]:
    seconds: dict[str, float] = defaultdict(float)
    usd: dict[str, float] = defaultdict(float)
    has_price = all(cost is not None for _, _, cost in spans)
    for kind, length, cost in spans:
        seconds[kind] += length
        usd[kind] += cost or 0.0
    held = sum(seconds.values()) or 1.0
    return tuple(
        LedgerSum(kind, seconds[kind], seconds[kind] / held, usd[kind] if has_price else None)
        for kind in OUTCOMES
        if kind in seconds
    )
