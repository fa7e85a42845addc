"""Where the time of a sweep's gangs went, and the money with it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

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
