"""All that is found, chosen and measured before a sweep starts and anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console

from sweeps.architectures import Architectures
from sweeps.checkpoint_quota import check_quota, expected_bytes
from sweeps.compression import check_prunable
from sweeps.draw import DrawnTrial, draw_trials
from sweeps.measuring import measure_architectures
from sweeps.past import Past
from sweeps.plan import SweepPlan, check_hardware, default_limit_train, plan_sweep
from sweeps.resources import Node, plan_gangs
from sweeps.resumption import Resumption
from sweeps.run_folder import RunFolder
from sweeps.searchers.choose import Search, make_search
from sweeps.spec import SweepSpec
from sweeps.spending import Spending, make_spending, price_of
from trainables.data.dataset import SplitData
from trainables.data.load import load_dataset


@dataclass(frozen=True)
class PreparedSweep:
    """All that is known of a sweep before it starts.

    Attributes:
        trials: of the sweep; stand-ins for them where they are chosen while it runs.
        search: chooses the trials while the sweep runs; None: they were drawn.
    """

    plan: SweepPlan
    data: SplitData
    note: str
    nodes: list[Node]
    architectures: Architectures
    trials: list[DrawnTrial]
    search: Search | None
    folder: RunFolder
    spending: Spending
    past: Past | None = None

    @property
    def storage(self) -> str:
        """Where checkpoints go: a URI or an absolute path."""
        return self.folder.checkpoint_root


def prepare_sweep(
    spec: SweepSpec,
    nodes: list[Node],
    folder: RunFolder,
    console: Console,
    started_s: float,
    resumption: Resumption | None = None,
) -> PreparedSweep:
    """Find what fits, load the data, choose what the spec leaves open, and draw the trials.

    Args:
        spec: as given.
        nodes: that may hold workers.
        folder: that will be written; nothing is yet.
        console: for progress.
        started_s: when the command began.
        resumption: of a run that goes on.

    Raises:
        InputError: if anything about the spec, the data or the hardware is wrong.
        LatencyError: if measuring latencies broke down.
    """
    gangs = plan_gangs(
        nodes,
        gangs=spec.gangs,
        workers_per_gang=spec.workers_per_trial,
        gpus_per_worker=spec.gpus_per_worker,
    )
    price = price_of(spec, nodes, gangs)
    limit = default_limit_train(spec, gangs, sum(node.num_cpus for node in nodes))
    data, note = load_dataset(
        spec.dataset,
        spec.data_dir,
        seed=spec.seed,
        limit_train=limit,
        thesaurus=spec.thesaurus,
    )
    plan = plan_sweep(spec, gangs, data, limit)
    if resumption is not None:
        resumption.check_plan(plan, data)
    if spec.address is None:
        check_hardware(plan)  # a cluster's workers aren't the machine that we run on
    if spec.compress_fraction is not None:
        check_prunable(plan.architectures, data.task, spec.compress_fraction)
    known = [] if resumption is None else resumption.latencies()
    architectures = measure_architectures(plan, data, console, known)
    search = make_search(plan, architectures.refusal, architectures.known)
    trials = _trials(plan, architectures, search, resumption)
    check_quota(spec.checkpoint_quota_gb, _checkpoint_bytes(trials, architectures), gangs.num_gangs)
    past = None if resumption is None else resumption.past
    with console.status("timing a few steps of every architecture"):
        held_s = 0.0 if past is None else past.held_seconds
        spending = make_spending(plan, data, price, trials, started_s, held_s)
    return PreparedSweep(
        plan, data, note, nodes, architectures, trials, search, folder, spending, past
    )


def _trials(
    plan: SweepPlan,
    architectures: Architectures,
    search: Search | None,
    resumption: Resumption | None,
) -> list[DrawnTrial]:
    """Return the trials: those of a run that goes on, drawn ones, and stand-ins for the rest."""
    trials = [] if resumption is None else resumption.trials(architectures.latencies.figure)
    if search is not None:
        stand_ins = list(enumerate(search.stand_ins))[len(trials) :]
        return trials + [DrawnTrial(f"trial_{n:04d}", config, None) for n, config in stand_ins]
    if len(trials) < plan.num_trials:  # a new sweep, or one that is to have more
        trials += draw_trials(plan, architectures.refusal)[len(trials) :]
    return trials


def _checkpoint_bytes(trials: Sequence[DrawnTrial], architectures: Architectures) -> Iterator[int]:
    """Yield how large a checkpoint of each trial that trains will be."""
    for trial in trials:
        if trial.refusal is None:
            yield expected_bytes(trial.config, architectures.weights_bytes(trial.config))
