"""From a spec to a run folder: plan, measure, train on gangs, report."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune
from rich.console import Console

from analysis.records import (
    ATTRIBUTIONS_FILE,
    ATTRIBUTIONS_SCHEMA,
    LATENCY_FILE,
    LATENCY_SCHEMA,
    ROBUSTNESS_FILE,
    ROBUSTNESS_SCHEMA,
    SWEEP_FILE,
)
from sweeps.checkpoint_keeper import CheckpointKeeper
from sweeps.cluster import Cluster, cluster_nodes, local_cluster, local_node, running_cluster
from sweeps.compression import prune_finalists
from sweeps.draw import tell_refusals
from sweeps.finalists import (
    attribution_rows,
    choose_finalists,
    examine_finalists,
    robustness_rows,
)
from sweeps.gangs import hold_gangs
from sweeps.ledger_watch import LedgerWatch
from sweeps.measuring import describe_serving, say_latencies
from sweeps.node_types import choose_nodes, read_nodes_to_come
from sweeps.prepared_sweep import PreparedSweep, prepare_sweep
from sweeps.progress import Progress
from sweeps.quiet import quiet
from sweeps.recorder import Pricing, SweepRecorder, TrialRecord
from sweeps.resources import Node
from sweeps.run_folder import RunFolder, default_run_path
from sweeps.schedulers.choose import make_scheduler
from sweeps.shipping import finalist_limits, measure_finalists, subject_of
from sweeps.signals import stop_signals
from sweeps.spec import SweepSpec, parse_spec
from sweeps.sweep_file import describe_sweep
from sweeps.trial_feed import TrialFeed
from sweeps.tune_callback import StopOnRequest, SweepCallback
from trainables.errors import EXIT_BAD_INPUT, InputError
from trainables.examine import ExamineOptions
from trainables.gang_trial import TRIAL_SLOT, GangTrial, TrialSettings
from trainables.latency import LatencyError
from trainables.latency.samples import shipping_samples

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130


def main(default: SweepSpec) -> None:
    """Read the flags, run the sweep, and exit: 0, 1 all failed, 2 bad input, 130 interrupted."""
    try:
        sys.exit(launch(parse_spec(default)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except LatencyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
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
    started_s = time.monotonic()
    folder = RunFolder(
        Path(spec.out) if spec.out else default_run_path(spec.name), overwrite=spec.overwrite
    )
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(spec.address)) if spec.address else None
        console = Console()
        nodes = _nodes(spec, console) if cluster else [local_node()]
        sweep = prepare_sweep(spec, nodes, folder, console, started_s)
        if spec.dry_run:
            _say_plan(console, sweep)
            return 0
        # Everything that can be wrong has been looked at; from here on things are written.
        content = describe_sweep(sweep.plan, sweep.data, sweep.note, nodes, time.time())
        content |= {"serving": describe_serving(sweep.architectures.latencies, sweep.data)}
        folder.create()
        folder.write_json(SWEEP_FILE, content)
        folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, sweep.architectures.latencies.rows())
        _say_plan(console, sweep)
        recorder = _recorder(sweep)
        with quiet(folder.log_path) as shown:
            if cluster is None:
                cluster = stack.enter_context(local_cluster(sweep.plan.gangs))
            with stop_signals() as stop:  # after ray.init, which sets handlers of its own
                ending = _run(sweep, recorder, cluster, shown, stop)
            stack.close()  # Ray's last words belong into the log too
        status = "interrupted" if stop.is_set() else "finished"
        content |= {"status": status, "ended_unix_s": time.time(), **ending}
        folder.write_json(SWEEP_FILE, content)
    # In a process of its own: analysis stands without Ray and Torch, and here that is proven.
    report = subprocess.run([sys.executable, "-m", "analysis.report", str(folder.path)])
    return EXIT_INTERRUPTED if stop.is_set() else report.returncode


def _nodes(spec: SweepSpec, console: Console) -> list[Node]:
    """Return the cluster's nodes that the sweep is planned on; some may not be up yet."""
    present = cluster_nodes()
    # What ray up left on this machine is of the cluster that `auto` finds, and of no other.
    is_known = spec.cluster_file is not None or spec.address == "auto"
    nodes = choose_nodes(
        present,
        read_nodes_to_come(spec.cluster_file, present) if is_known else [],
        gangs=spec.gangs,
        workers_per_gang=spec.workers_per_trial,
        gpus_per_worker=spec.gpus_per_worker,
    )
    if len(nodes) > len(present):
        console.print(f"nodes      {len(present)} up, {len(nodes) - len(present)} to come")
    return nodes


def _recorder(sweep: PreparedSweep) -> SweepRecorder:
    gpus, usd = sweep.plan.gangs.gpus_per_gang, sweep.spending.usd_per_gang_hour
    pricing = Pricing(gpus, usd, sweep.plan.spec.carbon_kg_per_kwh)
    columns = tuple(objective.column for objective in sweep.plan.objectives)
    recorder = SweepRecorder(sweep.folder, sweep.architectures.describe, pricing, columns)
    for trial in sweep.trials:
        recorder.add(trial.trial_id, trial.config.to_dict())
    tell_refusals(sweep.trials, recorder)
    return recorder


def _run(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    cluster: Cluster,
    shown: Console,
    stop: threading.Event,
) -> dict[str, Any]:
    """Search, then examine the finalists, on gangs held for both; return what `sweep.json` says."""
    finalists: list[TrialRecord] = []
    with contextlib.ExitStack() as stack:
        desk = stack.enter_context(
            hold_gangs(sweep.plan.gangs, sweep.data, cluster, sweep.storage, sweep.spending.budget)
        )
        watch = LedgerWatch(desk, sweep.spending, sweep.folder, recorder.trials, cluster.links)
        keeper = CheckpointKeeper()
        progress = _progress(sweep, recorder, watch, shown, stop)
        try:
            progress.start()
            try:
                _search(sweep, recorder, keeper, watch, desk, cluster.scratch, stop)
            finally:
                progress.stop()
            if not stop.is_set():
                finalists = _choose_finalists(sweep, recorder, watch, shown)
            if finalists:
                _examine(sweep, recorder, finalists, desk, shown, stop)
        finally:
            errors = keeper.close()
            recorder.close()
            stack.close()  # the gangs are held no longer
            account = watch.stop()
            if errors:
                shown.print(f"{len(errors)} checkpoints could not be deleted: {errors[0]}")
    if watch.spent is not None:
        words = sweep.spending.spent_words(account)
        shown.print(f"budget spent: {words}; {watch.spent}", highlight=False, soft_wrap=True)
    _measure_finalists(sweep, finalists, shown, stop)  # no gang takes its cores any more
    return sweep.spending.describe(account, list(recorder.trials.values()))


def _progress(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    watch: LedgerWatch,
    shown: Console,
    stop: threading.Event,
) -> Progress:
    return Progress(
        recorder,
        shown,
        title=f"{sweep.plan.spec.name} on {sweep.data.name}",
        objectives=sweep.plan.objectives,
        num_trials=len(sweep.trials),
        num_epochs=sweep.plan.num_epochs,
        notice=lambda: "stopping: the running epochs are given up" if stop.is_set() else None,
        outlook=lambda: sweep.spending.text(watch.standing),
        gangs=lambda: watch.standing.gangs if watch.standing else (),
    )


def _search(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    keeper: CheckpointKeeper,
    watch: LedgerWatch,
    desk: ray.actor.ActorHandle,
    scratch: str,
    stop: threading.Event,
) -> None:
    """Train the trials as the scheduler decides, as far as the budget pays."""
    plan = sweep.plan
    random.seed(plan.spec.seed)  # Ray's PBT draws its donors from the global generator
    scheduler = make_scheduler(plan, sweep.architectures.known, recorder.exploit)
    callback = SweepCallback(
        recorder,
        keeper,
        donor_checkpoints=getattr(scheduler, "donor_checkpoints", set),
        release=desk.release_trial.remote,
        num_epochs=plan.num_epochs,
        scheduler_name=plan.spec.scheduler,
        denial=watch.denial,
    )
    settings = TrialSettings(
        desk,
        sweep.storage,
        plan.spec.checkpoint_epochs,
        tuple(objective.column for objective in plan.steering),
    )
    # Not tune.Tuner: it pickles schedulers and callbacks, which hold the run folder.
    tune.run(
        tune.with_resources(
            tune.with_parameters(GangTrial, settings=settings),
            tune.PlacementGroupFactory([{TRIAL_SLOT: 1}]),
        ),
        name="tune",
        storage_path=scratch,
        search_alg=TrialFeed(
            [(t.trial_id, t.config.to_dict()) for t in sweep.trials if t.refusal is None],
            is_refused=lambda trial_id, config: _is_unpaid(watch, recorder, trial_id, config),
        ),
        scheduler=scheduler,
        callbacks=[callback],
        stop=StopOnRequest(lambda: stop.is_set() or watch.spent is not None),
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
    )
    recorder.settle(ray.get(desk.account.remote()))
    if watch.spent is not None and not stop.is_set():
        recorder.end_all_unpaid(watch.denials(), "the budget was spent")


def _is_unpaid(
    watch: LedgerWatch, recorder: SweepRecorder, trial_id: str, config: Mapping[str, Any]
) -> bool:
    """Tell whether the budget can't pay a trial's first epochs, and enter it if so."""
    why = watch.refusal(trial_id, config)
    if why is not None:
        recorder.end_unpaid(trial_id, why)
    return why is not None


def _choose_finalists(
    sweep: PreparedSweep, recorder: SweepRecorder, watch: LedgerWatch, shown: Console
) -> list[TrialRecord]:
    num_finalists = sweep.plan.spec.finalists
    if not num_finalists:
        return []
    trials = list(recorder.trials.values())
    num_paid = sweep.spending.num_finalists(trials, watch.standing)
    if num_paid < num_finalists:
        shown.print(f"the budget pays for the examination of {num_paid} finalists")
    finalists = choose_finalists(trials, sweep.plan.objectives, num_paid)
    if num_paid and not finalists:
        shown.print("no finalists: no trial of the front was saved at its last epoch")
    return finalists


def _examine(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    finalists: list[TrialRecord],
    desk: ray.actor.ActorHandle,
    shown: Console,
    stop: threading.Event,
) -> None:
    """Let the finalists meet the test part, and write down what came out."""
    spec = sweep.plan.spec
    names = ", ".join(trial.trial_id for trial in finalists)
    shown.print(
        f"examining {len(finalists)} finalists on {len(sweep.data.test)} test samples: {names}",
        highlight=False,
        soft_wrap=True,
    )
    findings = examine_finalists(
        finalists,
        desk,
        sweep.data,
        ExamineOptions(spec.robustness_samples, spec.attribution_samples, spec.seed),
        locate=sweep.folder.locate,
        num_gangs=sweep.plan.gangs.num_gangs,
        is_stopping=stop.is_set,
    )
    for finding in findings:
        if finding.found is None:
            shown.print(f"{finding.trial_id} was not examined: {finding.failure}", markup=False)
        else:
            recorder.enter_test(finding.trial_id, finding.found["scores"])
    sweep.folder.write_table(ROBUSTNESS_FILE, ROBUSTNESS_SCHEMA, robustness_rows(findings))
    rows = attribution_rows(findings, sweep.data)
    sweep.folder.write_table(ATTRIBUTIONS_FILE, ATTRIBUTIONS_SCHEMA, rows)


def _measure_finalists(
    sweep: PreparedSweep, finalists: list[TrialRecord], shown: Console, stop: threading.Event
) -> None:
    """Measure the latency of the finalists' trained weights, pruned too if asked for."""
    if not finalists or not sweep.plan.spec.finalist_latency_seconds or stop.is_set():
        return
    latencies = sweep.architectures.latencies
    if latencies.target.machine is not None:
        machine = latencies.target.machine
        shown.print(f"finalists are not measured again: that must be done on {machine}")
        return
    subjects = [subject_of(trial, sweep.folder.locate) for trial in finalists]
    fraction = sweep.plan.spec.compress_fraction
    if fraction is not None:
        subjects += prune_finalists(
            finalists,
            sweep.data,
            fraction,
            locate=sweep.folder.locate,
            is_stopping=stop.is_set,
            tell=lambda line: shown.print(line, highlight=False, markup=False, soft_wrap=True),
        )
    latencies.progress.show_on(shown)
    try:
        failures = measure_finalists(
            subjects,
            latencies,
            shipping_samples(sweep.data),
            finalist_limits(sweep.plan.spec.finalist_latency_seconds),
            is_stopping=stop.is_set,
        )
    finally:
        latencies.progress.end()
    for name, why in failures.items():
        shown.print(f"{name} was not measured again: {why}", markup=False)
    sweep.folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, latencies.rows())


def _say_plan(console: Console, sweep: PreparedSweep) -> None:
    """Tell what was found and chosen, a line each."""
    plan, data, gangs = sweep.plan, sweep.data, sweep.plan.gangs
    num_refused = sum(trial.refusal is not None for trial in sweep.trials)
    refused = f", {num_refused} refused (latency)" if num_refused else ""
    unit = f"{gangs.gpus_per_worker:g} GPU" if gangs.gpus_per_worker else "CPU"
    sizes = f"{len(data.train)} train, {len(data.val)} validation, {len(data.test)} test"
    for line in (
        f"data       {sweep.note}: {sizes} {data.task.kind}s of {data.task.num_classes} classes",
        f"space      {', '.join(plan.space) or 'nothing varies'}",
        *([f"           {plan.note}"] if plan.note else []),
        f"trials     {len(sweep.trials)} x {plan.num_epochs} epochs, {plan.spec.scheduler}"
        f"{refused}",
        f"gangs      {gangs.num_gangs} x {gangs.workers_per_gang} workers ({unit}, "
        f"{gangs.threads_per_worker} threads each)",
        f"latency    {say_latencies(sweep.architectures, plan.architectures)}",
        f"objectives {' '.join(str(objective) for objective in plan.objectives)}",
        f"run folder {sweep.folder.path}",
        *sweep.spending.describe_plan(),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
