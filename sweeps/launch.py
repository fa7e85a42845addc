"""From a spec to a run folder: plan, measure, train on gangs, report."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune
from rich.console import Console

from analysis.records import LATENCY_FILE, LATENCY_SCHEMA, SWEEP_FILE
from sweeps.architectures import Architectures
from sweeps.checkpoint_keeper import CheckpointKeeper
from sweeps.cluster import Cluster, cluster_nodes, local_cluster, local_node, running_cluster
from sweeps.draw import DrawnTrial, draw_trials
from sweeps.gangs import hold_gangs
from sweeps.plan import SweepPlan, default_limit_train, plan_sweep
from sweeps.progress import Progress
from sweeps.quiet import quiet
from sweeps.recorder import Pricing, SweepRecorder
from sweeps.resources import Node, plan_gangs
from sweeps.run_folder import RunFolder, default_run_path
from sweeps.schedulers.from_ray import make_scheduler
from sweeps.signals import stop_signals
from sweeps.spec import SweepSpec, parse_spec
from sweeps.sweep_file import describe_sweep
from sweeps.trial_feed import TrialFeed
from sweeps.tune_callback import StopOnRequest, SweepCallback
from trainables.data.dataset import ImageData
from trainables.data.load import load_dataset
from trainables.errors import InputError
from trainables.gang_trial import TRIAL_SLOT, GangTrial, TrialSettings

EXIT_BAD_INPUT: Final = 2
EXIT_INTERRUPTED: Final = 130


def main(default: SweepSpec) -> None:
    """Read the flags, run the sweep, and exit: 0, 1 all failed, 2 bad input, 130 interrupted."""
    try:
        sys.exit(launch(parse_spec(default)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted before anything was started", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def launch(spec: SweepSpec) -> int:
    """Run a sweep and write its run folder.

    Returns:
        The exit code: 0, 1 if no trial trained, or 130 if it was interrupted.

    Raises:
        InputError: if anything about the spec, the data or the hardware is wrong; nothing was
            started or written by then.
    """
    folder = RunFolder(
        Path(spec.out) if spec.out else default_run_path(spec.name), overwrite=spec.overwrite
    )
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(spec.address)) if spec.address else None
        nodes = cluster_nodes() if cluster else [local_node()]
        plan, data, note = _prepare(spec, nodes)
        console = Console()
        with console.status("measuring the latency of every architecture"):
            architectures = Architectures(data)
            architectures.measure(plan.architectures)
        architectures.check_slo(plan.architectures, spec.latency_slo_ms)
        trials = draw_trials(plan, lambda c: architectures.refusal(c, spec.latency_slo_ms))
        # Everything that can be wrong has been looked at; from here on things are written.
        folder.create()
        content = describe_sweep(plan, data, note, nodes, time.time())
        folder.write_json(SWEEP_FILE, content)
        folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, architectures.rows())
        _say_plan(console, plan, data, note, trials, folder)
        recorder = _recorder(plan, folder, architectures, trials)
        with quiet(folder.log_path) as shown:
            if cluster is None:
                cluster = stack.enter_context(local_cluster(plan.gangs))
            with stop_signals() as stop:  # after ray.init, which sets handlers of its own
                totals = _train(plan, data, trials, recorder, folder, cluster, shown, stop)
            stack.close()  # Ray's last words belong into the log too
        status = "interrupted" if stop.is_set() else "finished"
        content |= {"status": status, "ended_unix_s": time.time(), "totals": totals}
        folder.write_json(SWEEP_FILE, content)
    # In a process of its own: analysis stands without Ray and Torch, and here that is proven.
    report = subprocess.run([sys.executable, "-m", "analysis.report", str(folder.path)])
    return EXIT_INTERRUPTED if stop.is_set() else report.returncode


def _prepare(spec: SweepSpec, nodes: list[Node]) -> tuple[SweepPlan, ImageData, str]:
    """Find out how many gangs fit, load the data, and choose what the spec leaves open."""
    gangs = plan_gangs(
        nodes,
        gangs=spec.gangs,
        workers_per_gang=spec.workers_per_trial,
        gpus_per_worker=spec.gpus_per_worker,
    )
    limit = default_limit_train(spec, gangs, sum(node.num_cpus for node in nodes))
    data, note = load_dataset(spec.dataset, spec.data_dir, seed=spec.seed, limit_train=limit)
    return plan_sweep(spec, gangs, data, limit), data, note


def _recorder(
    plan: SweepPlan, folder: RunFolder, architectures: Architectures, trials: list[DrawnTrial]
) -> SweepRecorder:
    pricing = Pricing(
        plan.gangs.gpus_per_gang, plan.gangs.workers_per_gang, plan.spec.price_usd_per_hour
    )
    columns = tuple(objective.column for objective in plan.objectives)
    recorder = SweepRecorder(folder, architectures.describe, pricing, columns)
    for trial in trials:
        recorder.add(trial.trial_id, trial.config.to_dict())
        if trial.refusal is not None:
            recorder.refuse(trial.trial_id, trial.refusal)
    return recorder


def _train(
    plan: SweepPlan,
    data: ImageData,
    trials: list[DrawnTrial],
    recorder: SweepRecorder,
    folder: RunFolder,
    cluster: Cluster,
    shown: Console,
    stop: threading.Event,
) -> dict[str, Any]:
    """Train the trials on gangs; return the sweep's totals."""
    storage = plan.spec.storage or str(folder.checkpoints)
    if "://" not in storage:  # each process has its own working folder
        storage = str(Path(storage).absolute())
    progress = Progress(
        recorder,
        shown,
        title=f"{plan.spec.name} on {data.name}",
        objectives=plan.objectives,
        num_trials=len(trials),
        num_epochs=plan.num_epochs,
        notice=lambda: "stopping: the running epochs are given up" if stop.is_set() else None,
    )
    with hold_gangs(plan.gangs, data, cluster, storage) as desk:
        progress.start()
        keeper = CheckpointKeeper()
        try:
            random.seed(plan.spec.seed)  # Ray's PBT draws its donors from the global generator
            scheduler = make_scheduler(plan, recorder.exploit)
            callback = SweepCallback(
                recorder,
                keeper,
                donor_checkpoints=getattr(scheduler, "donor_checkpoints", set),
                release=desk.release_trial.remote,
                num_epochs=plan.num_epochs,
                scheduler_name=plan.spec.scheduler,
            )
            settings = TrialSettings(desk, storage, plan.spec.checkpoint_epochs)
            # Not tune.Tuner: it pickles schedulers and callbacks, which hold the run folder.
            tune.run(
                tune.with_resources(
                    tune.with_parameters(GangTrial, settings=settings),
                    tune.PlacementGroupFactory([{TRIAL_SLOT: 1}]),
                ),
                name="tune",
                storage_path=cluster.scratch,
                search_alg=TrialFeed(
                    [(t.trial_id, t.config.to_dict()) for t in trials if t.refusal is None]
                ),
                scheduler=scheduler,
                callbacks=[callback],
                stop=StopOnRequest(stop.is_set),
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )
            recorder.settle(ray.get(desk.ledger.remote()))
        finally:
            errors = keeper.close()
            recorder.close()
            progress.stop()
            if errors:
                shown.print(f"{len(errors)} checkpoints could not be deleted: {errors[0]}")
    return {"gang_seconds": sum(t.gang_seconds for t in recorder.trials.values())}


def _say_plan(
    console: Console,
    plan: SweepPlan,
    data: ImageData,
    note: str,
    trials: list[DrawnTrial],
    folder: RunFolder,
) -> None:
    """Tell what was found and chosen, a line each."""
    num_refused = sum(trial.refusal is not None for trial in trials)
    refused = f", {num_refused} refused by the SLO" if num_refused else ""
    gangs = plan.gangs
    unit = f"{gangs.gpus_per_worker:g} GPU" if gangs.gpus_per_worker else "CPU"
    sizes = f"{len(data.train)} train, {len(data.val)} validation, {len(data.test)} test"
    for line in (
        f"data       {note}: {sizes} images of {data.num_classes} classes",
        f"trials     {len(trials)} x {plan.num_epochs} epochs, {plan.spec.scheduler}{refused}",
        f"gangs      {gangs.num_gangs} x {gangs.workers_per_gang} workers ({unit}, "
        f"{gangs.threads_per_worker} threads each)",
        f"objectives {' '.join(str(objective) for objective in plan.objectives)}",
        f"run folder {folder.path}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
