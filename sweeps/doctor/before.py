"""Before a sweep: whether it fits this machine or cluster, and what it would fill."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from pathlib import Path

from sweeps.checkpoint_quota import check_quota, expected_bytes
from sweeps.cluster import cluster_nodes, local_node, running_cluster
from sweeps.doctor.cluster_probe import ask_nodes
from sweeps.doctor.finding import Finding
from sweeps.doctor.machine import check_clocks, check_disk, check_shared_memory, check_versions
from sweeps.doctor.probe import disk_free_bytes, examine_machine, examine_storage, own_versions
from sweeps.draw import draw_trials
from sweeps.plan import SweepPlan, check_hardware, default_limit_train, plan_sweep
from sweeps.prices import PriceRequest, find_price
from sweeps.resources import GangPlan, Node, plan_gangs
from sweeps.spec import POPULATION, SweepSpec
from trainables.complexity import measure_complexity
from trainables.data.dataset import SplitData
from trainables.data.load import load_dataset
from trainables.errors import InputError


def examine_before(spec: SweepSpec) -> list[Finding]:
    """Look at all that a sweep with these flags will need; nothing is started or kept.

    Raises:
        InputError: if there is no such cluster, or no such data: nothing more can be said then.
    """
    with contextlib.ExitStack() as stack:
        findings = []
        nodes = [local_node()]
        data_nodes = []
        if spec.address is not None:
            stack.enter_context(running_cluster(spec.address))
            nodes, data_nodes = cluster_nodes(), ask_nodes()
            findings += check_versions(data_nodes, own_versions()) + check_clocks(data_nodes)
        gangs, finding = _fit_gangs(spec, nodes)
        findings.append(finding)
        limit = None
        if gangs is not None:
            limit = default_limit_train(spec, gangs, sum(node.num_cpus for node in nodes))
        data, _ = load_dataset(
            spec.dataset, spec.data_dir, seed=spec.seed, limit_train=limit, thesaurus=spec.thesaurus
        )
        num_bytes = data_bytes(data)
        findings += examine_machine(num_bytes)
        findings += [
            check_shared_memory(node.shm_free_bytes, num_bytes, node.name) for node in data_nodes
        ]
        if gangs is not None:
            findings.append(_examine_price(spec, nodes, gangs))
            findings += _examine_plan(spec, gangs, data, limit)
    return findings


def data_bytes(data: SplitData) -> int:
    """Return what a node's workers share of the data: all but the test part."""
    parts = (data.train, data.val)
    return sum(part.inputs.nbytes + part.labels.nbytes for part in parts)


def _fit_gangs(spec: SweepSpec, nodes: Sequence[Node]) -> tuple[GangPlan | None, Finding]:
    try:
        gangs = plan_gangs(
            list(nodes),
            gangs=spec.gangs,
            workers_per_gang=spec.workers_per_trial,
            gpus_per_worker=spec.gpus_per_worker,
        )
    except InputError as error:
        what, _, step = str(error).partition("; ")
        return None, Finding("fault", "gangs", what, step)
    num_cpus = sum(node.num_cpus for node in nodes)
    num_gpus = sum(node.num_gpus for node in nodes)
    value = (
        f"{gangs.num_gangs} x {gangs.workers_per_gang} workers of {gangs.cpus_per_worker:g} CPUs "
        f"and {gangs.gpus_per_worker:g} GPUs fit {num_cpus:g} CPUs and {num_gpus:g} GPUs on "
        f"{len(nodes)} nodes"
    )
    return gangs, Finding("ok", "gangs", value)


def _examine_price(spec: SweepSpec, nodes: Sequence[Node], gangs: GangPlan) -> Finding:
    if not spec.asks_for_price:
        step = "give --price-usd-per-hour, --instance or --budget-usd to be shown dollars"
        return Finding("ok", "price", "none is asked for", step)
    request = PriceRequest(spec.price_usd_per_hour, spec.instance, spec.prices, spec.spot)
    try:
        price = find_price(request, nodes, gangs, datetime.date.today())
    except InputError as error:
        what, _, step = str(error).partition("; ")
        return Finding("fault", "price", what, step)
    return Finding("ok", "price", f"USD {price.usd_per_gang_hour:g} a gang and hour: {price.note}")


def _examine_plan(
    spec: SweepSpec, gangs: GangPlan, data: SplitData, limit: int | None
) -> list[Finding]:
    try:
        plan = plan_sweep(spec, gangs, data, limit)
        if spec.address is None:
            check_hardware(plan)
        sizes = checkpoint_sizes(plan, data)
        check_quota(spec.checkpoint_quota_gb, sizes, gangs.num_gangs)
    except InputError as error:
        what, _, step = str(error).partition("; ")
        return [Finding("fault", "plan", what, step)]
    findings = [Finding("ok", "plan", f"{plan.num_trials} trials x {plan.num_epochs} epochs")]
    if spec.storage is not None:
        findings.append(examine_storage(spec.storage))
    if spec.storage is None or "://" not in spec.storage:
        where = Path(spec.storage or spec.out or "runs").absolute()
        findings.append(check_disk(disk_free_bytes(where), _kept_bytes(plan, sizes), str(where)))
    return findings


def checkpoint_sizes(plan: SweepPlan, data: SplitData) -> list[int]:
    """Return how large a checkpoint of each trial will be."""
    weights: dict[str, int] = {}
    sizes = []
    for trial in draw_trials(plan, lambda config: None):
        key = repr(trial.config.architecture())
        if key not in weights:
            weights[key] = measure_complexity(trial.config, data.task).weights_bytes
        sizes.append(expected_bytes(trial.config, weights[key]))
    return sizes


def _kept_bytes(plan: SweepPlan, sizes: Sequence[int]) -> int:
    """Return what lies in storage at most: one of each trial, and one more of those that go on."""
    num_live = len(sizes) if plan.spec.scheduler in POPULATION else plan.gangs.num_gangs
    kept = sum(sizes) + sum(sorted(sizes)[-num_live:])
    if plan.spec.checkpoint_quota_gb is None:
        return kept
    return min(kept, int(plan.spec.checkpoint_quota_gb * 1e9))
