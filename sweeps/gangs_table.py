"""What each gang does, as a table for the live display and for `sweeps.status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trainables.ledger import GangStanding


def gangs_table(
    gangs: Sequence[GangStanding],
    epochs: Mapping[str, str],
    *,
    usd_per_gang_hour: float | None = None,
    max_rows: int | None = None,
) -> list[RenderableType]:
    """Return a row a gang, and a line for those that have none; nothing without gangs.

    Args:
        gangs: as they stand.
        epochs: by trial, in words.
        usd_per_gang_hour: shown where it is known.
        max_rows: None: all.
    """
    if not gangs:
        return []
    table = Table(expand=False)
    table.add_column("gang", justify="right")
    table.add_column("does")
    table.add_column("trial")
    table.add_column("epoch", justify="right")
    table.add_column("since", justify="right")
    table.add_column("hosts")
    if usd_per_gang_hour is not None:
        table.add_column("USD/hour", justify="right")
    for gang in gangs[:max_rows]:
        table.add_row(
            str(gang.gang),
            gang.kind.replace("_", "-"),
            gang.trial_id or "",
            epochs.get(gang.trial_id, "") if gang.trial_id else "",
            clock_words(gang.seconds),
            hosts_words(gang.hosts),
            *([] if usd_per_gang_hour is None else [_price_words(gang, usd_per_gang_hour)]),
        )
    hidden = gangs[len(table.rows) :]
    return [table, *([Text(f"{len(hidden)} more gangs: {_kinds(hidden)}")] if hidden else [])]


def _price_words(gang: GangStanding, usd_per_gang_hour: float) -> str:
    return "" if gang.kind == "awaited" else f"{usd_per_gang_hour:.4g}"


def _kinds(gangs: Iterable[GangStanding]) -> str:
    counts = Counter(gang.kind.replace("_", "-") for gang in gangs)
    return ", ".join(f"{number} {kind}" for kind, number in counts.most_common())


def hosts_words(hosts: Iterable[str]) -> str:
    """Return the hosts of a gang's workers: `a, b x3`."""
    counts = Counter(hosts)
    return ", ".join(f"{host} x{n}" if n > 1 else host for host, n in counts.items())


def clock_words(seconds: float) -> str:
    """Return m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
