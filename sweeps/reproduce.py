"""Train one trial of a run again, alone, and compare: `python -m sweeps.reproduce RUN TRIAL`.

A trial's lineage says which config was used from which epoch on, through all the donors that its
weights came from. Followed on one gang of as many workers, with the same seeds, it gives the same
weights bit for bit on the same hardware and versions.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import ray
import tyro
from rich.console import Console

from analysis.records import SWEEP_FILE, TRIALS_FILE, TRIALS_SCHEMA
from sweeps.cluster import local_cluster, local_node
from sweeps.gangs import hold_gangs
from sweeps.lineage import LineageTraining, segments
from sweeps.quiet import quiet
from sweeps.recorded_run import check_trial_id, number, read_rows, read_sweep
from sweeps.resources import plan_gangs
from sweeps.run_folder import RunFolder
from trainables.data.dataset import SplitData
from trainables.data.load import load_recorded
from trainables.errors import InputError
from trainables.orders import Finished, Order
from trainables.trial_config import TrialConfig

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
    workers, gpus, threads = _recorded_gang(sweep)
    data = _load_data(sweep, request.data_dir)
    out = request.out or request.run / "reproduced" / request.trial
    folder = RunFolder(out, overwrite=request.overwrite)
    gangs = plan_gangs(
        [local_node()],
        gangs=1,
        workers_per_gang=workers,
        gpus_per_worker=gpus,
    )
    # Threads change the order of additions, so they stay what they were.
    gangs = dataclasses.replace(gangs, threads_per_worker=threads)
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
    sweep = read_sweep(run)
    rows = {row["trial_id"]: row for row in read_rows(run, TRIALS_FILE, TRIALS_SCHEMA)}
    check_trial_id(trial)
    if trial not in rows:
        raise InputError(
            f"TRIAL must be a trial of {run}, got {trial!r}; it has {', '.join(list(rows)[:8])} …"
        )
    if (rows[trial]["epoch"] or 0) < 1:
        raise InputError(
            f"TRIAL must be one that trained, got {trial!r} ({rows[trial]['status']}); name another"
        )
    for config, _ in segments(rows[trial]):
        TrialConfig.from_dict(config)
    return sweep, rows[trial]


def _recorded_gang(sweep: Mapping[str, Any]) -> tuple[int, float, int]:
    """Return the workers of a gang of the run, the GPUs of each and its threads.

    Raises:
        InputError: if they are not recorded.
    """
    gangs = sweep["gangs"] if isinstance(sweep.get("gangs"), dict) else {}
    workers = number(gangs, "workers_per_gang", 0)
    gpus, threads = number(gangs, "gpus_per_worker", -1), number(gangs, "threads_per_worker", 0)
    if not (1 <= workers < math.inf and 0 <= gpus < math.inf and 1 <= threads < math.inf):
        raise InputError(
            f"gangs in {SWEEP_FILE} must say workers_per_gang, gpus_per_worker and "
            f"threads_per_worker, got {str(sweep.get('gangs'))[:80]}; copy RUN again"
        )
    return int(workers), gpus, int(threads)


def _load_data(sweep: Mapping[str, Any], data_dir: str | None) -> SplitData:
    try:
        return load_recorded(sweep, data_dir)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"spec and dataset in {SWEEP_FILE} must say which data the run used, got none "
            f"({type(error).__name__}: {error}); copy RUN again"
        ) from None


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

    def show(result: Mapping[str, Any]) -> None:
        shown.print(f"epoch {result['epoch']}: val_accuracy {result['val_accuracy']:.4f}")

    training = LineageTraining(list(segments(row)), show)
    training.go_on(carry_out, lambda epoch: str(out / f"epoch_{epoch:04d}"))
    return training.result


if __name__ == "__main__":
    main()
