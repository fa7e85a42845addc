"""From a spec to a run folder: plan, measure, train on gangs, report."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray
from rich.console import Console

from analysis.records import LATENCY_FILE, LATENCY_SCHEMA, SWEEP_FILE
from sweeps.checkpoint_keeper import CheckpointKeeper, Quota
from sweeps.checkpoint_quota import BYTES_PER_GB
from sweeps.cluster import Cluster, cluster_nodes, local_cluster, local_node, running_cluster
from sweeps.draw import tell_refusals
from sweeps.feeding import trials_to_come
from sweeps.fetched_run import STORED_AT, stored_location
from sweeps.finale import examine, time_finalists
from sweeps.front import front
from sweeps.gangs import hold_gangs, num_gangs_there
from sweeps.held_sweep import HeldSweep
from sweeps.journal import Journal, lock_journal
from sweeps.journal_mirror import JournalMirror
from sweeps.ledger_watch import LedgerWatch
from sweeps.measuring import describe_serving, say_latencies
from sweeps.node_types import choose_nodes, read_node_types, read_nodes_to_come
from sweeps.prepared_sweep import PreparedSweep, prepare_sweep
from sweeps.processes import describe_driver, remove_left_folder
from sweeps.progress import Progress
from sweeps.quiet import quiet, say_on
from sweeps.recorder import SweepRecorder
from sweeps.resources import Node
from sweeps.resumption import Resumption, parse_sweep, read_resumption
from sweeps.run_claim import claim_run, open_store
from sweeps.run_folder import RunFolder, default_run_path
from sweeps.run_store import RunStore
from sweeps.search import search
from sweeps.signals import stop_signals
from sweeps.spec import SweepSpec
from sweeps.sweep_file import describe_sweep
from sweeps.trackers.choose import check_trackers, start_trackers
from sweeps.trial_record import Pricing, TrialRecord
from sweeps.tune_callback import ending_of
from trainables.errors import EXIT_BAD_INPUT, InputError
from trainables.latency import LatencyError

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130


def main(default: SweepSpec) -> None:
    """Read the flags, run the sweep, and exit: 0, 1 all failed, 2 bad input, 130 interrupted."""
    try:
        sys.exit(launch(parse_sweep(default)))
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
    check_trackers(spec.track)
    resumption = read_resumption(spec) if spec.resume else None
    folder = _run_folder(spec, resumption)
    store = open_store(
        folder.stored_at, is_resumed=resumption is not None, overwrite=spec.overwrite
    )
    # What copies the run to its storage ends after all the rest.
    with contextlib.ExitStack() as last, contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(spec.address)) if spec.address else None
        console = Console()
        if cluster is not None and spec.node_types is not None:
            types = read_node_types(spec.cluster_file, spec.node_types)
            cluster = replace(cluster, node_types=types, node_wait_s=spec.node_wait_s)
        nodes = _nodes(spec, cluster, console) if cluster else [local_node()]
        sweep = prepare_sweep(spec, nodes, folder, console, started_s, resumption)
        told = [] if resumption is None else resumption.lines
        if spec.dry_run:
            _say_plan(console, sweep, told)
            return 0
        # Everything that can be wrong has been looked at; from here on things are written.
        content = describe_sweep(sweep.plan, sweep.data, sweep.note, nodes, time.time())
        content |= {"serving": describe_serving(sweep.architectures.latencies, sweep.data)}
        content[STORED_AT] = folder.stored_at
        if resumption is not None:
            content |= resumption.kept(content)
            _remove_left(resumption, console)
            last.callback(_remove_left, resumption, console)  # what still ended at the start
        mirror = None if store is None else _mirror(store, folder, resumption)
        folder.create()
        journal = Journal(
            folder.journal, 0 if resumption is None else resumption.next_number, mirror
        )
        stack.callback(journal.close)
        claim = None if mirror is None else mirror.claim.name
        journal.append("process", command=content["command"], unix_s=time.time(), claim=claim)
        for event in () if resumption is None else resumption.reopened:
            journal.append(event.kind, is_synced=True, **event.fields)
        folder.write_json(SWEEP_FILE, content)
        folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, sweep.architectures.latencies.rows())
        _say_plan(console, sweep, told)
        recorder = _recorder(sweep, journal)
        with quiet(folder.log_path) as shown:
            recorder.follow(start_trackers(spec.track, content, folder.path, say_on(shown)))
            if cluster is None:
                cluster = stack.enter_context(local_cluster(sweep.plan.gangs))
            job = ray.get_runtime_context().get_job_id()
            content["driver"] = {**describe_driver(cluster.scratch), "ray_job": job}
            folder.write_json(SWEEP_FILE, content)
            with stop_signals() as stop:  # after ray.init, which sets handlers of its own
                if mirror is not None:
                    mirror.start(say_on(shown), stop.set)
                    last.callback(mirror.close)
                ending = _run(sweep, recorder, journal, cluster, shown, stop)
            stack.close()  # Ray's last words belong into the log too
        status = "interrupted" if stop.is_set() else "finished"
        content |= {"status": status, "ended_unix_s": time.time(), **ending}
        folder.write_json(SWEEP_FILE, content)
    # In a process of its own: analysis stands without Ray and Torch, and here that is proven.
    report = subprocess.run([sys.executable, "-m", "analysis.report", str(folder.path)])
    recorder.conclude(content)
    if not stop.is_set():
        return report.returncode
    again = shlex.join(["python", sys.argv[0], "--resume", str(folder.path)])
    print(f"interrupted; go on with:\n{again}")
    if store is not None:
        print(f"or on another machine: --resume {store.location}")
    return EXIT_INTERRUPTED


def _run_folder(spec: SweepSpec, resumption: Resumption | None) -> RunFolder:
    """Return the run folder, and where in a storage the run lies; nothing is written yet."""
    out = spec.resume or spec.out
    path = Path(out) if out else default_run_path(spec.name)
    if resumption is None:
        stored_at = stored_location(spec.storage, path)
    else:
        stored_at = resumption.sweep.get(STORED_AT)
    return RunFolder(
        path, overwrite=spec.overwrite, is_resumed=resumption is not None, stored_at=stored_at
    )


def _mirror(store: RunStore, folder: RunFolder, resumption: Resumption | None) -> JournalMirror:
    """Claim the run and return what will copy its journal."""
    if resumption is None:
        claim = claim_run(store, None, overwrite=folder.overwrite)
        return JournalMirror(store, claim, folder.path)
    with contextlib.closing(lock_journal(folder.journal)):  # nobody here is driven out
        claim = claim_run(store, resumption.past.all_events)
    return JournalMirror(store, claim, folder.path)


def _remove_left(resumption: Resumption, console: Console) -> None:
    """Remove the temporary folder of the process that the run goes on from, if it was killed."""
    removed = remove_left_folder(resumption.sweep.get("driver"))
    if removed is not None:
        console.print(f"removed {removed}, which a killed driver had left", highlight=False)


def _nodes(spec: SweepSpec, cluster: Cluster, console: Console) -> list[Node]:
    """Return the cluster's nodes that the sweep is planned on; some may not be up yet."""
    present = cluster_nodes(cluster.node_types)
    # What ray up left on this machine is of the cluster that `auto` finds, and of no other.
    is_known = spec.cluster_file is not None or spec.address == "auto"
    nodes = choose_nodes(
        present,
        read_nodes_to_come(spec.cluster_file, cluster_nodes(), spec.node_types) if is_known else [],
        gangs=spec.gangs,
        workers_per_gang=spec.workers_per_trial,
        gpus_per_worker=spec.gpus_per_worker,
    )
    if len(nodes) > len(present):
        console.print(f"nodes      {len(present)} up, {len(nodes) - len(present)} to come")
    return nodes


def _recorder(sweep: PreparedSweep, journal: Journal) -> SweepRecorder:
    """Return the recorder, which knows of all trials, and of what became of them before."""
    gpus, usd = sweep.plan.gangs.gpus_per_gang, sweep.spending.usd_per_gang_hour
    pricing = Pricing(gpus, usd, sweep.plan.spec.carbon_kg_per_kwh)
    columns = tuple(objective.column for objective in sweep.plan.objectives)
    recorder = SweepRecorder(
        sweep.folder, sweep.architectures.describe, pricing, columns, write=journal.append
    )
    if sweep.past is not None:
        recorder.replay(sweep.past.events)
        for trial_id in sweep.past.ends:
            recorder.finish(trial_id, *ending_of(recorder.trials[trial_id], sweep.plan))
        for trial_id in sweep.past.standstills:
            recorder.set_status(trial_id, "pending")
    if sweep.search is None:
        new = [trial for trial in sweep.trials if trial.trial_id not in recorder.trials]
        for trial in new:
            recorder.add(trial.trial_id, trial.config.to_dict())
        tell_refusals(new, recorder)
    journal.append("drawn", is_synced=True)
    return recorder


def _run(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    journal: Journal,
    cluster: Cluster,
    shown: Console,
    stop: threading.Event,
) -> dict[str, Any]:
    """Search, then examine the finalists, on gangs held for both; return what `sweep.json` says."""
    finalists: list[TrialRecord] = []
    tell = say_on(shown)
    with contextlib.ExitStack() as stack:
        desk = stack.enter_context(
            hold_gangs(
                sweep.plan.gangs,
                sweep.data,
                cluster,
                sweep.storage,
                sweep.spending.budget,
                first_lease=max(journal.first_lease, sweep.past.first_lease if sweep.past else 1),
            )
        )
        watch = LedgerWatch(
            desk,
            sweep.spending,
            sweep.folder,
            trials_to_come(sweep, recorder),
            cluster.links,
            write=journal.append,
            num_there=lambda: num_gangs_there(sweep.plan.gangs, cluster),
            past=() if sweep.past is None else sweep.past.spans,
            tell=tell,
        )
        keeper = CheckpointKeeper(_quota(sweep, recorder, tell), journal.is_ours)
        held = HeldSweep(sweep, recorder, journal, desk, watch, keeper, cluster.scratch, tell, stop)
        progress = _progress(sweep, recorder, watch, shown, stop)
        try:
            progress.start()
            try:
                search(held)
            finally:
                progress.stop()
            finalists = examine(held)
        finally:
            errors = keeper.close()
            recorder.close()
            stack.close()  # the gangs are held no longer
            account = watch.stop()
            if errors:
                tell(f"{len(errors)} checkpoints could not be deleted: {errors[0]}")
    if watch.spent is not None:
        tell(f"budget spent: {sweep.spending.spent_words(account)}; {watch.spent}")
    time_finalists(sweep, finalists, shown, stop)
    return sweep.spending.describe(account, list(recorder.trials.values()))


def _quota(
    sweep: PreparedSweep, recorder: SweepRecorder, tell: Callable[[str], None]
) -> Quota | None:
    """Return what the checkpoints may take; None: what there is."""
    quota_gb = sweep.plan.spec.checkpoint_quota_gb
    if quota_gb is None:
        return None
    return Quota(
        int(quota_gb * BYTES_PER_GB),
        lambda: {t.trial_id for t in front(recorder.trials.values(), sweep.plan.objectives)},
        recorder.forget_checkpoint,
        tell,
    )


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


def _say_plan(console: Console, sweep: PreparedSweep, resumed: list[str]) -> None:
    """Tell what was found and chosen, a line each, and of a run that goes on what is left."""
    plan, data, gangs = sweep.plan, sweep.data, sweep.plan.gangs
    num_refused = sum(trial.refusal is not None for trial in sweep.trials)
    refused = f", {num_refused} refused (latency)" if num_refused else ""
    search = sweep.search
    chosen = f", {search.words}; the forecast is of stand-ins" if search is not None else ""
    unit = f"{gangs.gpus_per_worker:g} GPU" if gangs.gpus_per_worker else "CPU"
    num_again = min(plan.spec.finalists, len(sweep.trials)) * plan.spec.seeds
    sizes = f"{len(data.train)} train, {len(data.val)} validation, {len(data.test)} test"
    for line in (
        f"data       {sweep.note}: {sizes} {data.task.kind}s of {data.task.num_classes} classes",
        f"space      {', '.join(plan.space) or 'nothing varies'}",
        *([f"           {plan.note}"] if plan.note else []),
        f"trials     {len(sweep.trials)} x {plan.num_epochs} epochs, {plan.spec.scheduler}"
        f"{refused}{chosen}",
        f"gangs      {gangs.num_gangs} x {gangs.workers_per_gang} workers ({unit}, "
        f"{gangs.threads_per_worker} threads each)",
        f"latency    {say_latencies(sweep.architectures, plan.architectures)}",
        f"objectives {' '.join(str(objective) for objective in plan.objectives)}",
        *([f"seeds      {num_again} further trainings of finalists"] if num_again else []),
        f"run folder {sweep.folder.path}",
        *resumed,
        *sweep.spending.describe_plan(),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
