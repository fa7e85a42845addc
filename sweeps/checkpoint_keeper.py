"""Deletes checkpoints that nothing needs any more, and holds them to one quota for the sweep.

Ray's own `num_to_keep` deletes what a PBT exploit is about to copy, so it stays off. Here each
checkpoint counts its references by lineage:

- its trial ends with it, or would go on from it;
- another trial will resume from it or copy it (`needed`);
- the newest of a trial that may go on, or one that is needed, came from it: should that one be
  damaged, this one takes its place.

One without a reference is deleted at once. Over the quota more goes, oldest first: what trials
ended with that are not of the front, then what is kept for the case of damage alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from trainables.checkpoint_store import (
    checkpoint_bytes,
    checkpoint_key,
    checkpoints_of,
    delete_checkpoint,
    previous_checkpoint,
)

FREED_FRACTION: Final = 0.1
"""Of the quota, that is freed at a time: the front is looked up for it."""


@dataclass(frozen=True)
class Quota:
    """What all checkpoints of a sweep may take, and who is asked and told.

    Attributes:
        num_bytes: > 0.
        front: returns the trials of the front as it stands.
        forget: hears of a trial whose last checkpoint was deleted.
        tell: hears once that what can't be deleted takes more than the quota.
    """

    num_bytes: int
    front: Callable[[], set[str]]
    forget: Callable[[str], None]
    tell: Callable[[str], None]


@dataclass(frozen=True)
class _Kept:
    """A checkpoint that lies in storage."""

    location: str
    previous: str | None  # key of the one that it came from
    num_bytes: int  # 0 without a quota


class CheckpointKeeper:
    """Knows every checkpoint that lies in storage.

    Args:
        quota: None: they may take what there is.
        is_ours: asked before each deletion: another process may have taken the run over.
    """

    def __init__(
        self, quota: Quota | None = None, is_ours: Callable[[], bool] = lambda: True
    ) -> None:
        self._quota = quota
        self._is_ours = is_ours
        self._kept: dict[str, _Kept] = {}  # by key, oldest first
        self._newest: dict[str, str] = {}  # trial that may go on -> key
        self._final: dict[str, str] = {}  # trial that ended -> key, the first that ended first
        self._others: dict[str, None] = {}  # keys of what is neither
        self._num_bytes = 0
        self._is_told = False
        self._deleter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._deletions: list[Future[None]] = []

    def add(
        self, trial_id: str, location: str, needed: set[str], previous: str | None = None
    ) -> None:
        """Enter a trial's newest checkpoint; delete what became superfluous.

        Args:
            trial_id: whose it is.
            location: as `write_checkpoint` took it.
            needed: locations, or paths without a scheme, that trials will resume from or copy.
            previous: the checkpoint that the trial came from when it wrote this one.
        """
        key = checkpoint_key(location)
        origin = None if previous is None else checkpoint_key(previous)
        if previous is not None and origin is not None and origin not in self._kept:
            # Written while epochs were trained again, and told of by no result.
            self._enter(origin, previous, None)
            self._others[origin] = None
        superseded = self._newest.get(trial_id)
        if superseded is not None and superseded != key:
            self._others[superseded] = None
        self._others.pop(key, None)  # after an exploit a trial can pass an epoch a second time
        self._enter(key, location, origin)
        self._newest[trial_id] = key
        self._clean({checkpoint_key(path) for path in needed})

    def _enter(self, key: str, location: str, previous: str | None) -> None:
        num_bytes = 0
        if self._quota is not None:
            with contextlib.suppress(OSError):  # a storage that is out: it counts as nothing
                num_bytes = checkpoint_bytes(location)
        replaced = self._kept.pop(key, None)
        self._kept[key] = _Kept(location, previous, num_bytes)
        self._num_bytes += num_bytes - (0 if replaced is None else replaced.num_bytes)

    def knows(self, location: str) -> bool:
        """Return whether a checkpoint was entered and not deleted since."""
        return checkpoint_key(location) in self._kept

    def end(self, trial_id: str) -> None:
        """Note that a trial won't go on: nothing needs what its last checkpoint came from."""
        key = self._newest.pop(trial_id, None)
        if key is not None:
            self._final[trial_id] = key

    def _clean(self, needed: set[str]) -> None:
        in_use = needed | set(self._newest.values())
        spares = {self._kept[key].previous for key in in_use if key in self._kept}
        for key in list(self._others):
            if key not in in_use and key not in spares:
                self._delete(key)
        if self._quota is not None and self._num_bytes > self._quota.num_bytes:
            self._free(self._quota, in_use, spares)

    def _free(self, quota: Quota, in_use: set[str], spares: set[str | None]) -> None:
        """Delete what can be spared, until there is some room under the quota."""
        enough = quota.num_bytes * (1 - FREED_FRACTION)
        front = quota.front()
        for trial_id, key in list(self._final.items()):
            if self._num_bytes <= enough:
                return
            if trial_id not in front and key not in in_use and key not in spares:
                del self._final[trial_id]
                self._delete(key)
                quota.forget(trial_id)
        for key in list(self._others):
            if self._num_bytes <= quota.num_bytes:
                return
            if key not in in_use:
                self._delete(key)
        if self._num_bytes > quota.num_bytes and not self._is_told:
            self._is_told = True
            quota.tell(
                f"checkpoints that are needed take {self._num_bytes / 1e9:.3g} GB, more than "
                f"--checkpoint-quota-gb {quota.num_bytes / 1e9:g}: none of them is deleted"
            )

    def _delete(self, key: str) -> None:
        self._others.pop(key, None)
        kept = self._kept.pop(key)
        self._num_bytes -= kept.num_bytes
        self._deletions = [d for d in self._deletions if not _succeeded(d)]
        self._deletions.append(self._deleter.submit(self._remove, kept.location))

    def _remove(self, location: str) -> None:
        if self._is_ours():
            delete_checkpoint(location)

    def adopt(
        self,
        root: str,
        newest: Mapping[str, str | None],
        needed: Iterable[str],
        ended: Collection[str],
    ) -> None:
        """Enter the checkpoints of an earlier process of the sweep; delete what it left over.

        Args:
            root: under which they lie.
            newest: of each trial that had begun; None: none that counts.
            needed: what trials will go on from.
            ended: trials that won't go on.
        """
        for trial_id, location in newest.items():
            for found in checkpoints_of(root, trial_id):
                origin = None
                with contextlib.suppress(OSError):
                    origin = previous_checkpoint(found)
                self._enter(checkpoint_key(found), found, origin and checkpoint_key(origin))
                self._others[checkpoint_key(found)] = None
            key = None if location is None else checkpoint_key(location)
            if key is not None and key in self._kept:
                del self._others[key]
                (self._final if trial_id in ended else self._newest)[trial_id] = key
        self._clean({checkpoint_key(location) for location in needed})

    def close(self) -> list[BaseException]:
        """Wait for the last deletion; return what went wrong with any of them.

        Where trials were interrupted, what they may go on from stays, and what that came from.
        """
        if not self._newest:
            self._clean(set())
        self._deleter.shutdown(wait=True)
        errors = (deletion.exception() for deletion in self._deletions)
        return [error for error in errors if error is not None]


def _succeeded(deletion: Future[None]) -> bool:
    return deletion.done() and deletion.exception() is None
