"""The nodes that a cluster's autoscaler may still bring up, read from the file of `ray up`.

Ray itself doesn't tell a driver how far its cluster can grow. `ray up` leaves the file on the head,
with the resources of every type filled in. A gang asks for its nodes by being started (Ray Train
hands its needs to the autoscaler), so all that is done here is arithmetic, before the start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from sweeps.resources import Node, plan_gangs
from trainables.errors import InputError
from trainables.node_turns import NodeType

BOOTSTRAP_FILE: Final = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves it on the head."""


def read_nodes_to_come(
    path: str | None, present: Sequence[Node], types: Sequence[str] | None = None
) -> list[Node]:
    """Return the nodes that may still come, those of the first type first.

    Args:
        path: of a cluster file; None: that of this machine's `ray up`, if there is one.
        present: those that are up.
        types: that may come, in their order; None: all of the file.

    Raises:
        InputError: if the file that was named can't be read.
    """
    file = _cluster_file(path)
    if path is None and not file.exists():
        return []
    with _as_input_error(file):
        return nodes_to_come(yaml.safe_load(file.read_text()), present, types)


def read_node_types(path: str | None, names: Sequence[str]) -> tuple[NodeType, ...]:
    """Return types of nodes by their names in a cluster file.

    Raises:
        InputError: if the file can't be read, or has no such type with labels of its own.
    """
    file = _cluster_file(path)
    with _as_input_error(file):
        config = yaml.safe_load(file.read_text())
        head = config["head_node_type"]
        labels = {
            name: {key: str(value) for key, value in (node_type.get("labels") or {}).items()}
            for name, node_type in config["available_node_types"].items()
            if name != head
        }
    for name in names:
        if name not in labels:
            raise InputError(
                f"--node-types must be types of workers in {file}, got {name}; choose from "
                f"{', '.join(labels)}"
            )
        same = [o for o in labels if o != name and labels[name].items() <= labels[o].items()]
        if same:
            raise InputError(
                f"--node-types must be types with labels of their own, got {name}, whose labels "
                f"{labels[name] or 'are none'} fit {', '.join(same)} too; add one in {file} and "
                "run ray up again"
            )
    return tuple(NodeType(name, labels[name]) for name in names)


def _cluster_file(path: str | None) -> Path:
    return (BOOTSTRAP_FILE if path is None else Path(path)).expanduser()


@contextlib.contextmanager
def _as_input_error(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"--cluster-file must be the file that the cluster was started with by ray up, got "
            f"{file} ({error!r}); name another"
        ) from None


def nodes_to_come(
    config: Mapping[str, Any], present: Sequence[Node], types: Sequence[str] | None = None
) -> list[Node]:
    """Return what a cluster file allows beside the nodes that are up; see `read_nodes_to_come`."""
    room = int(config["max_workers"]) - len(present)
    up = [(node.num_cpus, node.num_gpus) for node in present]
    nodes: list[Node] = []
    for name in config["available_node_types"] if types is None else types:
        node_type = config["available_node_types"][name]
        node = _node(node_type["resources"])
        if name == config["head_node_type"] or not node.num_cpus:
            continue  # it trains nothing, or what it has is not known before it is up
        num_more = int(node_type.get("max_workers", config["max_workers"]))
        nodes += [node] * (num_more - up.count((node.num_cpus, node.num_gpus)))
    return nodes[: max(0, room)]


def _node(resources: Mapping[str, float]) -> Node:
    return Node(
        float(resources.get("CPU", 0)),
        float(resources.get("GPU", 0)),
        accelerator_of(resources),
    )


def accelerator_of(resources: Mapping[str, float]) -> str | None:
    """Return the type of a node's accelerators, which Ray keeps as the name of a resource."""
    prefix = "accelerator_type:"
    names = [name.removeprefix(prefix) for name in resources if name.startswith(prefix)]
    return names[0] if names else None


def choose_nodes(
    present: list[Node],
    to_come: list[Node],
    *,
    gangs: int | None,
    workers_per_gang: int | None,
    gpus_per_worker: float | None,
) -> list[Node]:
    """Return the nodes that a sweep is planned on.

    Those that are up; and as many of those to come as the gangs that were asked for need, with a
    whole CPU for each worker. Where none is up, and no number of gangs was given, all.

    Args:
        present: nodes that are up.
        to_come: that may come.
        gangs: as asked for.
        workers_per_gang: as asked for.
        gpus_per_worker: as asked for.
    """
    if gangs is None:
        return present or to_come
    for count in range(len(to_come)):
        nodes = [*present, *to_come[:count]]
        try:
            plan = plan_gangs(
                nodes,
                gangs=gangs,
                workers_per_gang=workers_per_gang,
                gpus_per_worker=gpus_per_worker,
            )
        except InputError:
            continue
        if plan.gpus_per_worker or plan.cpus_per_worker >= 1:
            return nodes
    return [*present, *to_come]
