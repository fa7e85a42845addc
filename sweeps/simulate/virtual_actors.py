"""Tune's actors in virtual time: events in the place of `RayActorManager`.

`TuneController` schedules tasks on actors and is called back when they are done. Here an actor is
a plain object in this process: a task is computed at once, and its result is handed over when the
clock has come to the end of the seconds that it takes. A task whose end isn't known when it begins
gives a `Deferred` instead.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from ray.air.execution._internal.tracked_actor import TrackedActor

from sweeps.simulate.timeline import Timeline


class Deferred:
    """The result of a task that ends when `resolve` is called."""

    def __init__(self) -> None:
        self.on_result: Callable[[Any], None] | None = None

    def resolve(self, result: Any) -> None:
        """Hand over the result, or the exception that the task raises, unless it was forgotten."""
        if self.on_result is not None:
            self.on_result(result)


class VirtualActor(Protocol):
    """What a trial's actor does: a method a task, each returning its result and its seconds."""

    def perform(self, method: str, args: tuple[Any, ...]) -> tuple[Any, float] | Deferred:
        """Return a task's result, or the exception that it raises, and the seconds it takes."""
        ...

    def end(self) -> None:
        """Give back what the actor holds: it is over."""
        ...


@dataclass
class _Live:
    actor: VirtualActor
    events: set[int] = field(default_factory=set)  # scheduled and not discarded
    deferred: set[Deferred] = field(default_factory=set)  # not resolved and not forgotten


@dataclass
class _Pending:
    create: Callable[[], VirtualActor]
    tasks: list[tuple[Any, ...]] = field(default_factory=list)


class VirtualActors:
    """Has the methods of `RayActorManager` that `TuneController` uses.

    Args:
        num_workers: actors that live at the same time.
        create: makes an actor from the keyword arguments that Tune gives its class.
        timeline: when things happen.
    """

    def __init__(
        self,
        num_workers: int,
        create: Callable[[Mapping[str, Any]], VirtualActor],
        timeline: Timeline,
    ) -> None:
        self._num_workers = num_workers
        self._create = create
        self._timeline = timeline
        self._numbers = itertools.count()
        self._waiting: deque[TrackedActor] = deque()
        self._pending: dict[TrackedActor, _Pending] = {}
        self._live: dict[TrackedActor, _Live] = {}

    # What TuneController reads of an actor that lives: its handle, and resources that nobody asks.
    @property
    def _live_actors_to_ray_actors_resources(self) -> Mapping[TrackedActor, tuple[Any, None]]:
        return _Handles(self._live)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens before the horizon."""
        return self._timeline.is_over

    @property
    def num_live_actors(self) -> int:
        """Actors that live."""
        return len(self._live)

    @property
    def num_pending_actors(self) -> int:
        """Actors that wait for a worker."""
        return len(self._pending)

    @property
    def num_total_actors(self) -> int:
        """Both."""
        return len(self._live) + len(self._pending)

    @property
    def num_actor_tasks(self) -> int:
        """Tasks that run."""
        return self._timeline.num_events

    def next(self, timeout: float | None = None) -> bool:
        """Go on to the next event, and tell who waits for it; False if there is none."""
        self._start_waiting()
        has_happened = self._timeline.step()
        self._start_waiting()
        return has_happened

    def add_actor(
        self,
        cls: Any,
        kwargs: Mapping[str, Any],
        resource_request: Any,
        *,
        on_start: Callable[[TrackedActor], None],
        on_stop: Callable[[TrackedActor], None],
        on_error: Callable[[TrackedActor, Exception], None],
    ) -> TrackedActor:
        """Ask for an actor; it starts when a worker is free."""
        tracked = TrackedActor(
            next(self._numbers), on_start=on_start, on_stop=on_stop, on_error=on_error
        )
        self._pending[tracked] = _Pending(lambda: self._create(kwargs))
        self._waiting.append(tracked)
        return tracked

    def remove_actor(
        self, tracked_actor: TrackedActor, kill: bool = False, stop_future: Any = None
    ) -> bool:
        """End an actor; tell whether it lived, so that its end will be told."""
        if tracked_actor in self._live:
            self.clear_actor_task_futures(tracked_actor)
            self._live[tracked_actor].actor.end()
            self._after(0.0, lambda: self._stopped(tracked_actor), tracked_actor)
            return True
        self._pending.pop(tracked_actor, None)
        return False

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        """Tell whether an actor lives."""
        return tracked_actor in self._live

    def is_actor_failed(self, tracked_actor: TrackedActor) -> bool:
        """Tell whether an actor died: none does here, only its tasks fail."""
        return False

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        on_result: Callable[[TrackedActor, Any], None] | None = None,
        on_error: Callable[[TrackedActor, Exception], None] | None = None,
        _return_future: bool = False,
    ) -> None:
        """Let an actor do something; its result is told when the seconds have gone by."""
        task = (tracked_actor, method_name, args or (), on_result, on_error)
        if tracked_actor in self._pending:
            self._pending[tracked_actor].tasks.append(task)
        elif tracked_actor in self._live and method_name != "stop":
            self._perform(*task)

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        """Forget what an actor was to do."""
        live = self._live.get(tracked_actor)
        if live is None:
            return
        for number in live.events:
            self._timeline.discard(number)
        for deferred in live.deferred:
            deferred.on_result = None
        live.events.clear()
        live.deferred.clear()

    def get_live_actors_resources(self) -> dict[str, float]:
        """Return nothing: for a line of text that nobody reads here."""
        return {}

    def cleanup(self) -> None:
        """End all actors."""
        self._live.clear()
        self._pending.clear()
        self._timeline.clear()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._live) < self._num_workers:
            tracked = self._waiting.popleft()
            pending = self._pending.pop(tracked, None)
            if pending is None:
                continue  # it was removed before it began
            self._live[tracked] = _Live(pending.create())
            self._after(0.0, partial(self._started, tracked), tracked)
            for task in pending.tasks:
                self._perform(*task)

    def _started(self, tracked: TrackedActor) -> None:
        if tracked._on_start:
            tracked._on_start(tracked)

    def _stopped(self, tracked: TrackedActor) -> None:
        del self._live[tracked]
        if tracked._on_stop:
            tracked._on_stop(tracked)

    def _perform(
        self,
        tracked: TrackedActor,
        method: str,
        args: tuple[Any, ...],
        on_result: Callable[[TrackedActor, Any], None] | None,
        on_error: Callable[[TrackedActor, Exception], None] | None,
    ) -> None:
        live = self._live[tracked]

        def tell(result: Any) -> None:
            if isinstance(result, Exception):
                if on_error:
                    on_error(tracked, result)
            elif on_result:
                on_result(tracked, result)

        done = live.actor.perform(method, args)
        if isinstance(done, Deferred):
            live.deferred.add(done)
            done.on_result = partial(self._resolved, live, done, tell, tracked)
        else:
            result, seconds = done
            self._after(seconds, partial(tell, result), tracked)

    def _resolved(
        self,
        live: _Live,
        deferred: Deferred,
        tell: Callable[[Any], None],
        tracked: TrackedActor,
        result: Any,
    ) -> None:
        live.deferred.discard(deferred)
        self._after(0.0, partial(tell, result), tracked)

    def _after(self, seconds: float, tell: Callable[[], None], tracked: TrackedActor) -> None:
        events = self._live[tracked].events

        def fire() -> None:
            events.discard(number)
            tell()

        number = self._timeline.after(seconds, fire)
        events.add(number)


class _Handle:
    """What a trial takes for its actor, to ask it for the metrics of no result yet."""

    @property
    def get_auto_filled_metrics(self) -> _Handle:
        return self

    def remote(self, **_: Any) -> dict[str, Any]:
        return {}


_HANDLE = _Handle()


class _Handles(Mapping[TrackedActor, tuple[Any, None]]):
    def __init__(self, live: Mapping[TrackedActor, _Live]) -> None:
        self._live = live

    def __getitem__(self, tracked: TrackedActor) -> tuple[Any, None]:
        if tracked not in self._live:
            raise KeyError(tracked)
        return _HANDLE, None

    def __iter__(self) -> Any:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)
