"""All that is found, chosen and measured before a sweep starts and anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sweeps.architectures import Architectures
from sweeps.compression import check_prunable
from sweeps.draw import DrawnTrial, draw_trials
from sweeps.measuring import measure_architectures
from sweeps.plan import SweepPlan, check_hardware, default_limit_train, plan_sweep
from sweeps.resources import Node, plan_gangs
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

    @property
    def storage(self) -> str:
        """Where checkpoints go: a URI or an absolute path."""
        storage = self.plan.spec.storage or str(self.folder.checkpoints)
        # Each process has its own working folder.
        return storage if "://" in storage else str(Path(storage).absolute())


def prepare_sweep(
    spec: SweepSpec, nodes: list[Node], folder: RunFolder, console: Console, started_s: float
) -> PreparedSweep:
    """Find what fits, load the data, choose what the spec leaves open, and draw the trials.

    Args:
        spec: as given.
        nodes: that may hold workers.
        folder: that will be written; nothing is yet.
        console: for progress.
        started_s: when the command began.

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
    if spec.address is None:
        check_hardware(plan)  # a cluster's workers aren't the machine that we run on
    if spec.compress_fraction is not None:
        check_prunable(plan.architectures, data.task, spec.compress_fraction)
    architectures = measure_architectures(plan, data, console)
    search = make_search(plan, architectures.refusal, architectures.known)
    trials = (
        draw_trials(plan, architectures.refusal)
        if search is None
        else [
            DrawnTrial(f"trial_{index:04d}", config, None)
            for index, config in enumerate(search.stand_ins)
        ]
    )
    with console.status("timing a few steps of every architecture"):
        spending = make_spending(plan, data, price, trials, started_s)
    return PreparedSweep(plan, data, note, nodes, architectures, trials, search, folder, spending)
