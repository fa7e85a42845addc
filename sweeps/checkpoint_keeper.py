"""Deletes checkpoints that nothing needs any more.

Ray's own `num_to_keep` deletes what a PBT exploit is about to copy, so it stays off. Here a
checkpoint goes only when it is neither its trial's newest, nor the one a trial will resume from,
nor a donor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from trainables.checkpoint_store import checkpoints_of, delete_checkpoint


class CheckpointKeeper:
    """Knows every checkpoint that lies in storage, by trial."""

    def __init__(self) -> None:
        self._kept: dict[str, list[str]] = {}  # trial -> locations, oldest first
        self._deleter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._deletions: list[Future[None]] = []

    def add(self, trial_id: str, location: str, needed: set[str]) -> None:
        """Enter a trial's newest checkpoint; delete what became superfluous.

        Args:
            trial_id: whose it is.
            location: as `write_checkpoint` took it.
            needed: paths that trials will resume from or copy.
        """
        locations = self._kept.setdefault(trial_id, [])
        if location in locations:  # after an exploit a trial can pass an epoch a second time
            locations.remove(location)
        locations.append(location)
        for trial, kept in self._kept.items():
            superfluous = [old for old in kept[:-1] if not _is_needed(old, needed)]
            self._kept[trial] = [old for old in kept if old not in superfluous]
            for old in superfluous:
                self._deletions = [d for d in self._deletions if not _succeeded(d)]
                self._deletions.append(self._deleter.submit(delete_checkpoint, old))

    def adopt(self, root: str, kept: Mapping[str, set[str]]) -> None:
        """Enter the checkpoints of an earlier process of the sweep; delete what it left over.

        Args:
            root: under which they lie.
            kept: what is needed, by trial.
        """
        for trial_id, needed in kept.items():
            found = checkpoints_of(root, trial_id)
            self._kept[trial_id] = [location for location in found if location in needed]
            for location in set(found) - needed:
                self._deletions.append(self._deleter.submit(delete_checkpoint, location))

    def close(self) -> list[BaseException]:
        """Wait for the last deletion; return what went wrong with any of them."""
        self._deleter.shutdown(wait=True)
        errors = (deletion.exception() for deletion in self._deletions)
        return [error for error in errors if error is not None]


def _succeeded(deletion: Future[None]) -> bool:
    return deletion.done() and deletion.exception() is None


def _is_needed(location: str, needed: set[str]) -> bool:
    """Tell whether a path ends a location: a URI's path lacks its scheme."""
    return any(location.endswith(path) for path in needed)
