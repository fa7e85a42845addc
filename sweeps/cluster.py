"""The Ray cluster of a sweep: our own on this machine, or one that is running already."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ray

from sweeps.node_types import accelerator_of
from sweeps.processes import make_folder
from sweeps.quiet import quiet
from sweeps.resources import GangPlan, Node
from trainables.errors import InputError
from trainables.gang import driver_environment
from trainables.gang_trial import TRIAL_SLOT
from trainables.node_turns import NodeType

START_HINT: Final = f"start it with ray start --head --resources='{{\"{TRIAL_SLOT}\": 8}}'"


@dataclass(frozen=True)
class Cluster:
    """A connected cluster.

    Attributes:
        scratch: where Ray Tune and Ray Train keep their own state for this session.
        is_local: started by us, on this machine alone.
        links: where a person or Prometheus looks: `dashboard_url`, `metrics_urls`.
        node_types: that may hold workers, in the order in which gangs ask for them; empty: all.
        node_wait_s: how long nodes of a type are waited for.
    """

    scratch: str
    is_local: bool
    links: Mapping[str, Any] = field(default_factory=dict)
    node_types: tuple[NodeType, ...] = ()
    node_wait_s: float = 0.0


def local_node() -> Node:
    """Return what this machine offers: the CPUs we may use, and its GPUs."""
    import torch

    # What Ray would call them, before there is a Ray; it has no public name.
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    num_gpus = torch.cuda.device_count()
    kind = NvidiaGPUAcceleratorManager.get_current_node_accelerator_type() if num_gpus else None
    return Node(len(os.sched_getaffinity(0)), num_gpus, kind)


def _set_environment(num_gangs: int) -> None:
    driver_environment()
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    os.environ.update(
        {
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # five files a trial
            "TUNE_DISABLE_SIGINT_HANDLER": "1",  # a signal is ours to handle
            "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # one whose first epoch isn't paid has none
            "TUNE_MAX_PENDING_TRIALS_PG": str(2 * num_gangs),
            "RAY_CHDIR_TO_TRIAL_DIR": "0",
            "RAY_DEDUP_LOGS": "0",
        }
    )


@contextlib.contextmanager
def local_cluster(plan: GangPlan) -> Iterator[Cluster]:
    """Start Ray on this machine; leave nothing of it at the end."""
    _set_environment(plan.num_gangs)
    folder = make_folder()
    node = local_node()
    try:
        context = ray.init(
            address="local",
            num_cpus=int(node.num_cpus),
            num_gpus=int(node.num_gpus),
            resources={TRIAL_SLOT: plan.num_gangs},
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.WARNING,
            configure_logging=False,
            _temp_dir=folder,
        )
        _protect_token()
        # Ray Train's helpers connect by address; another cluster on this host must not be taken.
        os.environ["RAY_ADDRESS"] = context.address_info["address"]
        yield Cluster(f"{folder}/scratch", is_local=True, links=_links(context))
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _protect_token() -> None:
    """Let nobody else read the token that Ray asks for: whoever has it runs code on the cluster.

    Ray turns token authentication on for a cluster of its own, and makes a token where there is
    none, in a file that all users of the machine can read.
    """
    path = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # none, or another user's
        path.chmod(0o600)


@contextlib.contextmanager
def running_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a cluster that is running; leave it as it was at the end.

    Raises:
        InputError: if there is none, or none of its nodes carries `trial_slot`.
    """
    _check_reachable(address)
    _set_environment(num_gangs=8)
    try:
        with quiet(Path(os.devnull)):  # Ray tries for 20 s and prints a line a second
            context = ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--address must be a running Ray cluster, got {address} ({error}); {START_HINT}, or "
            "set RAY_AUTH_MODE=token if it asks for a token"
        ) from None
    try:
        if not ray.cluster_resources().get(TRIAL_SLOT):
            raise InputError(
                f"--address must be a cluster whose head carries {TRIAL_SLOT}, got {address} "
                f"without; {START_HINT}"
            )
        scratch = make_folder()
        try:
            yield Cluster(scratch, is_local=False, links=_links(context))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Look whether something listens: Ray itself waits for minutes.

    Raises:
        InputError: if nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # `auto`, which Ray looks up at once
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(
            f"--address must be a running Ray cluster, got {address} ({error}); {START_HINT}"
        ) from None


def _links(context: Any) -> dict[str, Any]:
    """Return where Ray shows the cluster, and where each node of now exports its metrics."""
    nodes = (node for node in ray.nodes() if node["Alive"])
    metrics = [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes
    ]
    dashboard = context.dashboard_url  # without a scheme; empty where there is none
    return {"dashboard_url": f"http://{dashboard}" if dashboard else None, "metrics_urls": metrics}


def cluster_nodes(types: Sequence[NodeType] = ()) -> list[Node]:
    """Return the living nodes of the connected cluster that can hold workers.

    Args:
        types: of which they may be; empty: any.
    """
    nodes = (
        Node(
            n["Resources"].get("CPU", 0.0),
            n["Resources"].get("GPU", 0.0),
            accelerator_of(n["Resources"]),
        )
        for n in ray.nodes()
        if n["Alive"] and (not types or any(t.labels.items() <= n["Labels"].items() for t in types))
    )
    return [node for node in nodes if node.num_cpus > 0]
