"""What runs inside the controllers of gangs: Ray Train's actors that start a gang's workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import ray

# Told when a run's controller starts; Ray has no public way to reach that actor, nor to choose the
# nodes of a group of workers anew each time that it starts.
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback

from trainables.node_turns import NodeTurns, NodeType


def gang_callbacks(
    gang: int, desk: ray.actor.ActorHandle, node_types: Sequence[NodeType], node_wait_s: float
) -> list[ControllerCallback]:
    """Return what a gang's controller is given.

    Args:
        gang: its number at the desk.
        desk: handle of the lease desk.
        node_types: that may hold the workers, in their order; empty: any.
        node_wait_s: how long nodes of a type are waited for.
    """
    notice = ControllerNotice(gang, desk)
    if not node_types:
        return [notice]
    return [notice, NodeTypeChoice(gang, desk, NodeTurns(node_types, node_wait_s))]


class ControllerNotice(ControllerCallback):  # type: ignore[misc]  # Ray's classes are untyped
    """Tells the desk of the actor that restarts a gang's workers, so that it can be ended."""

    def __init__(self, gang: int, desk: ray.actor.ActorHandle) -> None:
        self._gang = gang
        self._desk = desk

    def after_controller_start(self, train_run_context: Any) -> None:
        """Hand in the handle; runs inside the controller."""
        controller = ray.get_runtime_context().current_actor
        if not ray.get(self._desk.enter_controller.remote(self._gang, controller)):
            ray.kill(controller)


class NodeTypeChoice(ControllerCallback, WorkerGroupCallback):  # type: ignore[misc]
    """Lets a gang ask for one type of nodes after the other; runs inside the controller."""

    def __init__(self, gang: int, desk: ray.actor.ActorHandle, turns: NodeTurns) -> None:
        self._gang = gang
        self._desk = desk
        self._turns = turns

    def on_controller_start_worker_group(self, **_: Any) -> dict[str, str]:
        """Return the labels of the nodes to ask for; Ray Train asks again after a while."""
        node_type, words = self._turns.ask()
        if words is not None:
            self._desk.enter_notice.remote(f"gang {self._gang}: {words}")
        return dict(node_type.labels)

    def after_worker_group_start(self, worker_group: Any) -> None:
        """Hear that the nodes are there."""
        self._turns.come()


def limit_group_start(seconds: float) -> None:
    """Let Ray Train's controllers ask for a gang's nodes anew after so long, for ever."""
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = f"{seconds:g}"
