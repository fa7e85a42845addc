"""Calling a function in a process of its own, forked from this one before it did anything.

What is imported is imported already, and nothing else is shared: no thread, no warm cache of a
runtime, no memory that was used before.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from trainables.errors import InputError
from trainables.latency import LatencyError

T = TypeVar("T")

_FORK = multiprocessing.get_context("fork")


def call_isolated(function: Callable[..., T], *arguments: Any, limit_s: float) -> T:
    """Return what a function returns in a forked process.

    Args:
        function: its result is pickled.
        arguments: that it is given.
        limit_s: seconds after which it is given up.

    Raises:
        InputError: if the function raised one.
        LatencyError: if it raised anything else, died or took too long.
    """
    # A thread would not come along, and whatever lock it holds would stay locked.
    assert _num_threads() in (None, 1)
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            raise LatencyError(f"it took over {limit_s:.0f} s")
        try:
            outcome = receiver.recv()
        except EOFError:
            process.join()
            raise LatencyError(f"its process {_death(process.exitcode)}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(outcome, Exception):
        raise outcome
    result: T = outcome[0]
    return result


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    outcome: Any
    try:
        outcome = (function(*arguments),)
    except (InputError, LatencyError) as error:
        outcome = type(error)(str(error))  # without causes that can't be pickled
    except Exception as error:
        lines = str(error).strip().splitlines()
        outcome = LatencyError(": ".join([type(error).__name__, *lines[:1]]))
    sender.send(outcome)


def _death(exit_code: int | None) -> str:
    assert exit_code is not None
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit status {exit_code}"


def _num_threads() -> int | None:
    """Return how many threads this process has, or None where Linux isn't there to tell."""
    folder = Path("/proc/self/task")
    return len(os.listdir(folder)) if folder.is_dir() else None
