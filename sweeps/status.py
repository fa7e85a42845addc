"""Tells how a sweep stands, from its run folder: `python -m sweeps.status RUN`.

Which gang does what, since when, on which hosts and at what price; what the gangs were held for so
far; and where Ray shows the cluster. Works while the sweep runs, and after it has ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from analysis.records import (
    GANGS_FILE,
    LEDGER_FILE,
    LEDGER_KINDS,
    SWEEP_FILE,
    TRIAL_STATUSES,
    TRIALS_FILE,
)
from sweeps.gangs_table import clock_words, gangs_table, hosts_words
from trainables.cost import time_usd
from trainables.errors import EXIT_BAD_INPUT, InputError
from trainables.ledger import GangStanding

SILENT_AFTER_S: Final = 60.0
"""A sweep writes every 5 s while its gangs are held; one that has not for so long is suspect."""


def main() -> None:
    """Read the arguments, print how the run stands, and exit: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.status", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder, such as runs/NAME")
    try:
        print_status(parser.parse_args().run, Console(), time.time())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def print_status(run: Path, console: Console, now_unix_s: float) -> None:
    """Print how a sweep stands.

    Args:
        run: its folder.
        console: where to.
        now_unix_s: seconds since 1970.

    Raises:
        InputError: if there is no sweep, or it can't be read.
    """
    sweep = _read_json(run, SWEEP_FILE)
    now = _read_json(run, GANGS_FILE) if (run / GANGS_FILE).exists() else {}
    trials = _read_table(run, TRIALS_FILE, ["trial_id", "status", "epoch"])
    epochs = {
        row["trial_id"]: f"{row['epoch']}/{sweep['num_epochs']}" for row in trials.to_pylist()
    }
    lines = [_headline(sweep, now, now_unix_s), _trials_line(sweep, trials)]
    _print(console, *lines)
    is_over = sweep["status"] != "running" or now.get("have_ended", False)
    # What was written some seconds ago has gone on since.
    later_s = 0.0 if is_over else now_unix_s - now.get("written_unix_s", now_unix_s)
    gangs = [_gang(row, later_s) for row in now.get("gangs", [])]
    usd = now.get("usd_per_gang_hour")
    if is_over:
        _print(console, *map(_past, gangs), *_held_lines(run, [], usd))
        return
    for part in gangs_table(gangs, epochs, usd_per_gang_hour=usd):
        console.print(part)
    _print(console, *_held_lines(run, gangs, usd), *_links(now))


def _gang(row: Mapping[str, Any], later_s: float) -> GangStanding:
    later = {"seconds": row["seconds"] + later_s, "hosts": tuple(row["hosts"])}
    return GangStanding(**{**row, **later})


def _past(gang: GangStanding) -> str:
    """Say of a gang that has ended where it was last."""
    hosts = hosts_words(gang.hosts) or "nowhere"
    return f"gang {gang.gang}: last on {hosts}, generation {gang.generation}"


def _headline(sweep: Mapping[str, Any], now: Mapping[str, Any], now_unix_s: float) -> str:
    """Return the sweep's name, and whether it runs."""
    name = f"{sweep['name']} on {sweep['dataset']['name']}"
    if sweep["status"] != "running":
        seconds = sweep["ended_unix_s"] - sweep["started_unix_s"]
        return f"{name}: {sweep['status']} after {clock_words(seconds)}"
    running = f"{name}: running for {clock_words(now_unix_s - sweep['started_unix_s'])}"
    if now.get("have_ended", False):
        return f"{running}, its gangs have ended and what is left is to be measured"
    silent_s = now_unix_s - now.get("written_unix_s", sweep["started_unix_s"])
    if silent_s > SILENT_AFTER_S:
        return (
            f"{name}: nothing was written for {clock_words(silent_s)}: it was killed, or its "
            "machine is gone or very busy"
        )
    return running


def _trials_line(sweep: Mapping[str, Any], trials: pa.Table) -> str:
    counts = Counter(trials["status"].to_pylist())
    counts["pending"] += max(0, sweep["num_trials"] - len(trials))
    states = [f"{counts[status]} {status}" for status in TRIAL_STATUSES if counts[status]]
    return f"trials: {', '.join(states)}"


def _held_lines(run: Path, gangs: list[GangStanding], usd: float | None) -> list[str]:
    """Return what the gangs were held for, open spans included, and what it cost."""
    ledger = _read_table(run, LEDGER_FILE, ["kind", "started_s", "ended_s"])
    by_kind = dict.fromkeys(LEDGER_KINDS, 0.0)
    for row in ledger.to_pylist():
        by_kind[row["kind"]] += row["ended_s"] - row["started_s"]
    for gang in gangs:
        if gang.kind != "awaited":
            by_kind[gang.kind] += gang.seconds
    held = sum(by_kind.values())
    if not held:
        return []
    cost = "" if usd is None else f", USD {time_usd(held, usd):.4g}"
    parts = [
        f"{kind.replace('_', '-')} {seconds / held:.0%}"
        for kind, seconds in by_kind.items()
        if seconds
    ]
    return [f"gangs held for {clock_words(held)} together{cost}: {', '.join(parts)}"]


def _links(now: Mapping[str, Any]) -> list[str]:
    dashboard, metrics = now.get("dashboard_url"), now.get("metrics_urls")
    return [
        *([f"Ray's dashboard, on the machine of the sweep: {dashboard}"] if dashboard else []),
        *([f"metrics for Prometheus, of each node: {' '.join(metrics)}"] if metrics else []),
    ]


def _print(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _read_json(run: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((run / name).read_text())
        if not isinstance(content, dict):
            raise ValueError(f"{name} is no JSON object")
    except (OSError, ValueError) as error:
        raise InputError(
            f"RUN must be the folder of a sweep, got {run} ({error}); give the folder that holds "
            f"{SWEEP_FILE}"
        ) from None
    return content


def _read_table(run: Path, name: str, columns: list[str]) -> pa.Table:
    """Return columns of a table, which is empty as long as nothing was written."""
    try:
        # Read at once: a sweep that runs puts another file in its place every few seconds.
        return pq.read_table(pa.BufferReader((run / name).read_bytes()), columns=columns)
    except FileNotFoundError:
        return pa.table({column: pa.array([]) for column in columns})
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"RUN must hold tables that can be read, got {run / name} ({error}); copy it again "
            "from where the sweep wrote it"
        ) from None


if __name__ == "__main__":
    main()
