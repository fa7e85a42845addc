"""How many gangs of how many workers fit, decided before anything starts.

A gang's workers are reserved as one placement group. Trial actors take `trial_slot`s and no CPU,
so no trial can hold what a gang waits for; what remains is arithmetic, done here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trainables.errors import InputError

MIN_CPUS_PER_WORKER = 0.25
"""Workers may share cores down to this; fewer would mostly wait for one another."""

_TOLERANCE = 1e-6  # of sums of fractions


@dataclass(frozen=True)
class Node:
    """What one machine offers to workers; `accelerator` is Ray's name of its GPUs' type."""

    num_cpus: float
    num_gpus: float = 0.0
    accelerator: str | None = None


@dataclass(frozen=True)
class GangPlan:
    """Gangs, their workers and what each worker reserves."""

    num_gangs: int
    workers_per_gang: int
    cpus_per_worker: float
    gpus_per_worker: float
    threads_per_worker: int

    @property
    def gpus_per_gang(self) -> float:
        """GPUs that one gang holds."""
        return self.gpus_per_worker * self.workers_per_gang


def plan_gangs(
    nodes: list[Node],
    *,
    gangs: int | None = None,
    workers_per_gang: int | None = None,
    gpus_per_worker: float | None = None,
) -> GangPlan:
    """Fill in what was not asked for, and check that all gangs fit at the same time.

    One GPU per worker where there are GPUs. On CPUs a gang has two workers, one gang for every
    four cores, and workers share the cores evenly.

    Args:
        nodes: at least one.
        gangs: >= 1; None: as many as the hardware suits.
        workers_per_gang: >= 1; None: 2, or 1 where there is only one GPU or core.
        gpus_per_worker: >= 0; None: 1 where the nodes have GPUs, else 0.

    Raises:
        InputError: if they don't fit; the message shows the arithmetic.
    """
    total_cpus = sum(node.num_cpus for node in nodes)
    if not total_cpus:
        raise InputError(
            "the cluster must have nodes with CPUs for workers when a sweep starts, got none; "
            "raise min_workers in cluster.yaml and run ray up again"
        )
    total_gpus = sum(node.num_gpus for node in nodes)
    gpus = (1.0 if total_gpus else 0.0) if gpus_per_worker is None else gpus_per_worker
    if gpus > 1 and gpus != int(gpus):
        raise InputError(
            f"--gpus-per-worker must be whole above 1, got {gpus:g}; a fraction shares one GPU"
        )
    slots = total_gpus / gpus if gpus else total_cpus
    workers = workers_per_gang or (2 if slots >= 2 else 1)
    if gangs is None:
        gangs = max(1, int(slots // workers) if gpus else int(total_cpus // 4))
    num_workers = gangs * workers
    share = total_cpus / num_workers
    plan = GangPlan(gangs, workers, min(share, 1.0), gpus, max(1, int(share)))
    if share < MIN_CPUS_PER_WORKER:
        raise _does_not_fit(plan, f"{MIN_CPUS_PER_WORKER:g} CPUs each", f"{total_cpus:g} CPUs")
    if num_workers * gpus > total_gpus + _TOLERANCE:
        raise _does_not_fit(plan, f"{gpus:g} GPUs each", f"{total_gpus:g} GPUs")
    # Workers sit whole on a node: take the largest share of the CPUs with which all find a place.
    for cpus in _shares(share, has_gpus=gpus > 0):
        plan = replace(
            plan, cpus_per_worker=cpus, threads_per_worker=max(1, int(share if gpus else cpus))
        )
        if sum(_num_placed(node, plan) for node in nodes) >= num_workers:
            return plan
    num_placed = sum(_num_placed(node, plan) for node in nodes)
    need = f"{plan.cpus_per_worker:g} CPUs and {gpus:g} GPUs each, whole on one node"
    raise _does_not_fit(plan, need, f"room for {num_placed} on {len(nodes)} nodes")


def num_gangs_on(nodes: list[Node], plan: GangPlan) -> int:
    """Return how many of a plan's gangs find their places on these nodes."""
    num_workers = sum(_num_placed(node, plan) for node in nodes)
    return min(plan.num_gangs, num_workers // plan.workers_per_gang)


def _shares(share: float, *, has_gpus: bool) -> list[float]:
    """Return the CPUs that a worker may reserve, the most first; a GPU's worker needs one."""
    most = 1 if has_gpus else int(share)
    whole = [float(cpus) for cpus in range(most, 0, -1)] if share >= 1 else []
    parts = [share, 0.5, MIN_CPUS_PER_WORKER]
    return whole + [part for part in parts if part < 1 and part <= share]


def _num_placed(node: Node, plan: GangPlan) -> int:
    """Return how many workers fit on a node; a fraction of a GPU lies on a single one."""
    by_cpu = int((node.num_cpus + _TOLERANCE) // plan.cpus_per_worker)
    gpus = plan.gpus_per_worker
    if not gpus:
        return by_cpu
    by_gpu = node.num_gpus // gpus if gpus >= 1 else node.num_gpus * int(1 / gpus + _TOLERANCE)
    return min(by_cpu, int(by_gpu))


def _does_not_fit(plan: GangPlan, need: str, there_is: str) -> InputError:
    num_workers = plan.num_gangs * plan.workers_per_gang
    return InputError(
        f"gangs x workers must fit the hardware, got {plan.num_gangs} gangs x "
        f"{plan.workers_per_gang} workers = {num_workers} workers that need {need}, and there "
        f"is {there_is}; lower --gangs or --workers-per-trial"
    )
