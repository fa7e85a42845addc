"""A gang: one long-lived Ray Train run whose DDP workers carry out the orders of trials.

The workers start once: process group up, data on the device, threads set. From then on a trial
begins, pauses or takes over another's weights inside them, in milliseconds. Ray Train owns the
workers: when one dies it starts the group again, which joins the desk as the next generation.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import ray
import ray.train
import ray.train.collective
import ray.train.torch
from ray.train.torch import TorchConfig, TorchTrainer

from trainables.errors import TrainingError
from trainables.gang_callbacks import gang_callbacks
from trainables.gang_state import Seat
from trainables.gate import Gate
from trainables.node_turns import NodeType
from trainables.orders import (
    Close,
    Done,
    Examine,
    Failed,
    Order,
    Outcome,
    Restart,
    Save,
    Start,
    TrainEpoch,
)
from trainables.pulse import Pulse
from trainables.watched_desk import LOOK_INTERVAL_S, WatchedDesk

if TYPE_CHECKING:
    from trainables.data.device import DeviceData
    from trainables.ranks import Ranks
    from trainables.train_loop import Training

HEALTH_CHECK_INTERVAL_S: Final = 1.0
"""How often Ray Train looks after the workers; results don't wait for it."""

NODE_LABEL: Final = "ray.io/node-id"
"""Ray's own label of each node."""

MAX_RUN_FAILURES: Final = 3
"""Train runs of one gang that may end by themselves before the gang is closed."""


@dataclass(frozen=True)
class GangSettings:
    """What every gang of a sweep looks like.

    Attributes:
        num_workers: DDP processes per gang.
        cpus_per_worker: reserved per worker; fractions let gangs share cores.
        gpus_per_worker: 0 or a count; workers run on CPU (gloo) or GPU (NCCL).
        threads_per_worker: torch's intra-op threads.
        storage_path: folder or URI that Ray Train may write to, reachable by every node.
        node_types: that may hold the workers, in the order in which they are asked for; empty: any.
        node_wait_s: how long nodes of a type are waited for.
    """

    num_workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    threads_per_worker: int
    storage_path: str
    node_types: tuple[NodeType, ...] = ()
    node_wait_s: float = 60.0


# --- the desk as an actor ------------------------------------------------------------------------


async def is_worker_alive(handle: Any) -> bool:
    """Tell whether the actor of a worker still answers; a slow one counts as alive."""
    try:
        await asyncio.wait_for(handle.__ray_ready__.remote(), timeout=1.0)
    except ray.exceptions.RayActorError:
        return False
    except TimeoutError:
        return True
    return True


class DeskActor(WatchedDesk):
    """The lease desk as an async Ray actor: no CPU reserved, one for the whole sweep."""

    def __init__(
        self,
        workers_per_gang: list[int],
        payload: Any,
        held_from_s: float,
        gate: Gate | None,
        first_lease: int,
        num_there: int | None,
    ) -> None:
        super().__init__(
            workers_per_gang,
            payload,
            is_worker_alive,
            held_from_s=held_from_s,
            gate=gate,
            first_lease=first_lease,
            num_there=num_there,
        )
        self._notices: dict[str, bool] = {}  # line -> whether the driver has it

    async def watch(self) -> None:
        """Look after the gangs until the actor ends."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                await self._look_after()
            except Exception as error:  # the next look may find a hang all the same
                why = f"{type(error).__name__}: {error}".partition("\n")[0]
                await self.enter_notice(f"gangs could not be looked after: {why}")

    async def _look_after(self) -> None:
        try:
            draining = await asyncio.to_thread(draining_nodes)
        except ray.exceptions.RayError:
            draining = {}  # Ray's head doesn't answer at the moment
        found = await self.look(draining)
        for line in found.lines:
            await self.enter_notice(line)
        for handle in found.doomed:
            ray.kill(handle)

    async def enter_notice(self, line: str) -> None:
        """Keep what a worker says, for the driver; what all ranks say is kept once."""
        self._notices.setdefault(line, False)

    async def take_notices(self) -> list[str]:
        """Return what workers have said since the last call."""
        new = [line for line, is_taken in self._notices.items() if not is_taken]
        self._notices |= dict.fromkeys(new, True)
        return new


def draining_nodes() -> dict[str, float]:
    """Return the ids of the nodes that go away, with the deadline [s since the Unix epoch]."""
    # As Ray Train's own watcher asks; there is no public name.
    deadlines_ms = ray._private.state.state.get_draining_nodes()
    return {node: deadline_ms / 1000 for node, deadline_ms in deadlines_ms.items()}


def start_desk(
    workers_per_gang: list[int],
    data: Any,
    held_from_s: float,
    gate: Gate | None = None,
    first_lease: int = 1,
    num_there: int | None = None,
) -> ray.actor.ActorHandle:
    """Start the desk on this node; workers fetch `data` once per node, from shared memory.

    Args:
        workers_per_gang: one entry per gang.
        data: for the workers.
        held_from_s: when the gangs are asked for, by `time.monotonic` on this machine, whose
            clock the desk shares.
        gate: asked before epochs are trained; None: all are.
        first_lease: the number of the first one.
        num_there: gangs whose nodes are there already; None: all.
    """
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    actor = ray.remote(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here)(DeskActor)
    reference = ray.put(data)
    desk = actor.remote(workers_per_gang, [reference], held_from_s, gate, first_lease, num_there)
    desk.watch.remote()
    return desk


# --- the driver's side ---------------------------------------------------------------------------


class Gang:
    """Holds one gang's Ray Train run open, in a thread of the driver.

    Args:
        index: the gang's number at the desk.
        settings: see `GangSettings`.
        desk: the handle that `start_desk` returned.
    """

    def __init__(self, index: int, settings: GangSettings, desk: ray.actor.ActorHandle) -> None:
        self._index = index
        self._settings = settings
        self._desk = desk
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._hold, name=f"gang-{index}", daemon=True)
        self._thread.start()

    def _trainer(self) -> TorchTrainer:
        settings = self._settings
        resources = {"CPU": settings.cpus_per_worker}
        if settings.gpus_per_worker:
            resources["GPU"] = settings.gpus_per_worker
        avoided = ray.get(self._desk.avoided.remote())
        return TorchTrainer(
            run_worker,
            train_loop_config={
                "gang": self._index,
                "desk": self._desk,
                "num_threads": settings.threads_per_worker,
            },
            torch_config=TorchConfig(backend="nccl" if settings.gpus_per_worker else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=settings.num_workers,
                use_gpu=settings.gpus_per_worker > 0,
                resources_per_worker=resources,
                label_selector={NODE_LABEL: f"!in({','.join(avoided)})"} if avoided else None,
            ),
            run_config=ray.train.RunConfig(
                # Ray Train resumes a run whose name it knows, so each start gets its own.
                name=f"gang-{self._index}-{uuid4().hex[:8]}",
                storage_path=settings.storage_path,
                failure_config=ray.train.FailureConfig(max_failures=-1),
                worker_runtime_env={"env_vars": worker_environment(settings)},
                callbacks=gang_callbacks(
                    self._index, self._desk, settings.node_types, settings.node_wait_s
                ),
            ),
        )

    def _hold(self) -> None:
        try:
            self._keep_running()
        finally:
            self._tell(self._desk.end_gang)

    def _keep_running(self) -> None:
        reason = ""
        for _ in range(MAX_RUN_FAILURES):
            try:
                self._trainer().fit()
                return
            except Exception as error:
                if self._is_closing.is_set() or not ray.is_initialized():
                    return
                reason = f"gang {self._index}'s Ray Train run ended: {error}"
                if not self._tell(self._desk.lose_gang, reason):
                    return
        self._tell(self._desk.close_gang, reason)

    def _tell(self, method: Any, *arguments: Any) -> Any:
        # A call after Ray's end would start another Ray.
        if not ray.is_initialized():
            return None
        with contextlib.suppress(ray.exceptions.RayError):
            return ray.get(method.remote(self._index, *arguments))
        return None

    def closing(self) -> None:
        """Say that the end of the run is wanted from now on."""
        self._is_closing.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the run to end; True if it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def worker_environment(settings: GangSettings) -> dict[str, str]:
    """Return the environment of a worker process: its threads are set on purpose.

    libgomp's spinning barriers slow workers that share cores by two orders of magnitude, so
    idle threads sleep.
    """
    threads = str(settings.threads_per_worker)
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}


# --- the worker's side ---------------------------------------------------------------------------


def run_worker(settings: Mapping[str, Any]) -> None:
    """Join the desk and take turns until the sweep is over: Ray Train's loop per worker."""
    gang, desk = settings["gang"], settings["desk"]
    try:
        worker, generation = _join(gang, desk, settings["num_threads"])
    except Exception:
        # It would fail again at every restart, so say it once and let the run end.
        reason = f"the workers of gang {gang} can't start: {traceback.format_exc()}"
        ray.get(desk.close_gang.remote(gang, reason))
        return
    outcome: Outcome | None = None
    worker.pulse.start()
    try:
        while True:
            order = ray.get(desk.turn.remote(gang, generation, worker.rank, outcome))
            if isinstance(order, Close):
                return
            if isinstance(order, Restart):
                raise RuntimeError(f"gang {gang} starts again: {order.reason}")
            outcome = worker.carry_out(order)
    finally:
        worker.pulse.stop()


def _join(gang: int, desk: ray.actor.ActorHandle, num_threads: int) -> tuple[Worker, int]:
    """Make this process ready to train and enter it at the desk; return its generation too."""
    import torch

    torch.set_num_threads(num_threads)
    context = ray.train.get_context()
    rank = context.get_world_rank()
    group_id = ray.train.collective.broadcast_from_rank_zero(uuid4().hex)
    here = ray.get_runtime_context()
    seat = Seat(socket.gethostname(), os.getpid(), here.current_actor, here.get_node_id())
    device = ray.train.torch.get_device()
    (reference,) = ray.get(desk.payload.remote())
    data = ray.get(reference).on_device(device)
    worker = Worker(rank, context.get_world_size(), device, data, desk.enter_notice.remote)
    generation = ray.get(desk.join.remote(gang, group_id, rank, seat))
    worker.pulse = Pulse(functools.partial(desk.beat.remote, gang, generation, rank))
    return worker, generation


class Worker:
    """One rank of a gang: carries out orders with the trial at hand.

    Args:
        rank: of this worker.
        world_size: workers of the gang.
        device: that it trains on.
        data: on that device.
        tell: hears what a person should know while it happens.
    """

    def __init__(
        self,
        rank: int,
        world_size: int,
        device: Any,
        data: DeviceData,
        tell: Callable[[str], Any] = print,
    ) -> None:
        self.rank = rank
        self._world_size = world_size
        self._device = device
        self._data = data
        self._tell = tell
        self.pulse = Pulse(lambda _: None)
        self._ranks = self._new_ranks()
        self._training: Training | None = None
        self._saved: str | None = None  # where the trial at hand was saved last

    def _new_ranks(self) -> Ranks:
        import torch.distributed as dist

        from trainables.ranks import Ranks

        group = dist.new_group() if self._world_size > 1 else None
        assert not isinstance(group, int), "every worker is a member"
        return Ranks(self.rank, self._world_size, self._device, group)

    def carry_out(self, order: Order) -> Outcome:
        """Return what came of an order; whatever a trial raises is that trial's failure."""
        try:
            return Done(self._execute(order))
        except Exception as error:
            self._training = None
            from trainables.checkpoint import CheckpointError

            is_bad_checkpoint = isinstance(error, CheckpointError)
            return Failed(failure_reason(error), traceback.format_exc(), is_bad_checkpoint)

    def _execute(self, order: Order) -> dict[str, Any]:
        if isinstance(order, Start):
            return self._start(order)
        assert self._training is not None, "an order other than Start needs a trial"
        if isinstance(order, TrainEpoch):
            result = self._training.train_epoch()
            saved = self._save(order.save_to) if order.save_to else None
            return {**result.to_dict(), "checkpoint": saved}
        if isinstance(order, Examine):
            return self._examine(order)
        assert isinstance(order, Save), order
        return {"checkpoint": self._save(order.save_to)}

    def _start(self, order: Start) -> dict[str, Any]:
        from trainables.checkpoint_store import read_checkpoint
        from trainables.train_loop import Training
        from trainables.trial_config import TrialConfig

        if order.is_after_failure:
            # A trial that failed half-way can leave collectives unmatched: begin a new group.
            self._ranks = self._new_ranks()
        self._training = None  # frees the last trial's memory before the next takes its own
        state = None
        if order.checkpoint is not None:
            with self.pulse.waiting():
                state = read_checkpoint(order.checkpoint, self._device, self._tell)
        self._saved = order.checkpoint
        config = TrialConfig.from_dict(order.config)
        self._training = Training(config, self._data, self._ranks, state, on_step=self.pulse.step)
        return {"epoch": self._training.epoch}

    def _examine(self, order: Examine) -> dict[str, Any]:
        from trainables.examine import examine

        assert self._training is not None
        (reference,) = order.test
        with self.pulse.waiting():
            test = self._data.place(ray.get(reference))
        return examine(self._training, self._data, test, self._ranks, order.options)

    def _save(self, location: str) -> str:
        from trainables.checkpoint_store import write_checkpoint

        assert self._training is not None
        if self.rank == 0:
            with self.pulse.waiting():
                write_checkpoint(self._training.state_dict(), location, self._saved, self._tell)
        self._saved = location
        return location


def failure_reason(error: Exception) -> str:
    """Return one line for a trial's row; out-of-memory is said as such."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text:
        return f"out of memory: {text}"
    if isinstance(error, TrainingError):
        return text
    return f"{type(error).__name__}: {text}"


def driver_environment() -> None:
    """Set what Ray Train's controllers take from the driver's environment."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(HEALTH_CHECK_INTERVAL_S))
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
