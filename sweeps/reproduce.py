"""Train one trial of a run again, alone, and compare: `python -m sweeps.reproduce RUN TRIAL`.

A trial's lineage says which config was used from which epoch on, through all the donors that its
weights came from. Followed on one gang of as many workers, with the same seeds, it gives the same
weights bit for bit on the same hardware and versions.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import ray
import tyro
from rich.console import Console

from analysis.records import SWEEP_FILE, TRIALS_FILE
from sweeps.cluster import local_cluster, local_node
from sweeps.gangs import hold_gangs
from sweeps.quiet import quiet
from sweeps.resources import plan_gangs
from sweeps.run_folder import RunFolder
from trainables.data.load import load_recorded
from trainables.errors import InputError
from trainables.orders import Finished, Order, Start, TrainEpoch

COMPARED = ("train_loss", "val_loss", "val_accuracy")


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """Train one trial of a run again, alone, and compare.

    Attributes:
        run: run folder.
        trial: id of the trial.
        data_dir: where the data lies now, if it moved.
        out: folder for the checkpoint and the log; None: RUN/reproduced/TRIAL.
        overwrite: delete what lies in `out`, if it was made by this command.
    """

    run: Annotated[Path, tyro.conf.Positional]
    trial: Annotated[str, tyro.conf.Positional]
    data_dir: str | None = None
    out: Path | None = None
    overwrite: bool = False


def main() -> None:
    """Read the command line, train, and exit: 0 equal, 1 different, 2 bad input."""
    try:
        sys.exit(reproduce(tyro.cli(Reproduction)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def reproduce(request: Reproduction) -> int:
    """Train the trial again; return 0 if every compared figure is equal, else 1.

    Raises:
        InputError: if the run, the trial or the data is not there or not the same.
    """
    sweep, row = _read(request.run, request.trial)
    data = load_recorded(sweep, request.data_dir)
    out = request.out or request.run / "reproduced" / request.trial
    folder = RunFolder(out, overwrite=request.overwrite)
    gangs = plan_gangs(
        [local_node()],
        gangs=1,
        workers_per_gang=sweep["gangs"]["workers_per_gang"],
        gpus_per_worker=sweep["gangs"]["gpus_per_worker"],
    )
    # Threads change the order of additions, so they stay what they were.
    gangs = dataclasses.replace(gangs, threads_per_worker=sweep["gangs"]["threads_per_worker"])
    console = Console()
    console.print(f"training {request.trial} again: {row['epoch']} epochs", highlight=False)
    folder.create()
    folder.write_json(SWEEP_FILE, {**sweep, "reproduces": request.trial})
    with quiet(folder.log_path) as shown, local_cluster(gangs) as cluster:
        with hold_gangs(gangs, data, cluster, str(folder.path)) as desk:
            result = _follow(desk, request.trial, row, folder.path, shown)
    console.print(f"checkpoint {result['checkpoint']}", highlight=False, soft_wrap=True)
    differs = [name for name in COMPARED if result[name] != row[name]]
    for name in COMPARED:
        verdict = "DIFFERS" if name in differs else "equal"
        console.print(f"{name} {result[name]!r}, recorded {row[name]!r}: {verdict}")
    return 1 if differs else 0


def _read(run: Path, trial: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of `sweep.json` and the trial's row."""
    if not (run / SWEEP_FILE).is_file():
        raise InputError(f"RUN must be a run folder, got {run} without {SWEEP_FILE}; name another")
    try:
        sweep = json.loads((run / SWEEP_FILE).read_text(encoding="utf-8"))
        rows = {row["trial_id"]: row for row in pq.read_table(run / TRIALS_FILE).to_pylist()}
    except (OSError, ValueError) as error:  # ArrowInvalid and JSONDecodeError are ValueErrors
        raise InputError(f"RUN must be a whole run folder, got {run} ({error})") from None
    if trial not in rows:
        raise InputError(
            f"TRIAL must be a trial of {run}, got {trial!r}; it has {', '.join(list(rows)[:8])} …"
        )
    if rows[trial]["epoch"] < 1:
        raise InputError(
            f"TRIAL must be one that trained, got {trial!r} ({rows[trial]['status']}); name another"
        )
    return sweep, rows[trial]


def segments(row: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each config of a trial's lineage with the epoch up to which it was used."""
    steps = row["lineage"]
    ends = [step["from_epoch"] for step in steps[1:]] + [row["epoch"]]
    for step, end in zip(steps, ends, strict=True):
        yield json.loads(step["config"]), end


def _follow(
    desk: ray.actor.ActorHandle, trial: str, row: Mapping[str, Any], out: Path, shown: Console
) -> dict[str, Any]:
    """Carry out a lineage on a gang; return the last epoch's result."""
    ticket = ray.get(desk.lease.remote(trial))

    def carry_out(order: Order) -> dict[str, Any]:
        reply = ray.get(desk.order.remote(ticket, order))
        if not isinstance(reply, Finished):
            raise RuntimeError(f"training again failed: {reply}")
        return dict(reply.result)

    result: dict[str, Any] = {}
    checkpoint = None
    for config, end in segments(row):
        epoch = carry_out(Start(config, checkpoint))["epoch"]
        while epoch < end:
            checkpoint = str(out / f"epoch_{epoch + 1:04d}") if epoch + 1 == end else None
            result = carry_out(TrainEpoch(checkpoint))
            epoch = result["epoch"]
            shown.print(f"epoch {epoch}: val_accuracy {result['val_accuracy']:.4f}")
    return result


if __name__ == "__main__":
    main()
