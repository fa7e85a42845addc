"""Which process writes a run that lies in a storage: the one that claimed it last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from sweeps.fetched_run import last_claim
from sweeps.journal import Event
from sweeps.run_store import Claim, RunStore
from trainables.errors import InputError


def open_store(location: str | None, *, is_resumed: bool, overwrite: bool) -> RunStore | None:
    """Return where a run will lie besides its folder; None: nowhere.

    Args:
        location: STORAGE/NAME; None without a storage.
        is_resumed: the run that lies there goes on.
        overwrite: a run that lies there will be deleted.

    Raises:
        InputError: if it can't be read, or holds another run.
    """
    if location is None:
        return None
    store = RunStore(location)
    with _readable(store):
        if not is_resumed and not overwrite and not store.is_empty():
            raise InputError(
                f"--storage must hold no run of the same name, got {location} in use; give another "
                f"--out, add --overwrite to delete it, or go on with it: --resume {location}"
            )
        if overwrite and not _is_run(store):
            raise InputError(
                f"--overwrite must name a run, got {location} in --storage without one; delete it "
                "by hand if that is meant"
            )
    return store


def _is_run(store: RunStore) -> bool:
    """Tell whether a run lies there, or nothing."""
    return store.is_empty() or store.newest_claim() is not None


def claim_run(store: RunStore, events: Sequence[Event] | None, *, overwrite: bool = False) -> Claim:
    """Say that this process writes the run from now on, and see that no other does.

    Args:
        store: of the run.
        events: of its journal, as this process goes on from them; None: it is a new one.
        overwrite: delete what lies where a new one will.

    Raises:
        InputError: if another process writes it.
    """
    with _readable(store):
        if events is None:
            if overwrite:
                store.delete_all()
            claim = store.claim(None, 0)
        else:
            before = store.claims()[-1]
            num_stored = store.num_records(before)
            is_same = before.name == last_claim(list(events)) and num_stored <= len(events)
            is_silent = num_stored == before.first == len(events)  # it ended before it began
            if not is_same and not is_silent:
                raise _taken(store, before)
            claim = store.claim(before, num_stored)
        newest = store.claims()[-1]
    if newest != claim:
        raise _taken(store, newest)
    return claim


def _taken(store: RunStore, claim: Claim) -> InputError:
    return InputError(
        f"--resume must name a run that has ended, got {store.location}, which another process "
        f"(host {claim.host}) is writing; wait for it or stop it"
    )


@contextlib.contextmanager
def _readable(store: RunStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        line = str(error).partition("\n")[0]
        raise InputError(
            f"--storage must be one that can be read and written, got {store.location} ({line}); "
            "check that it is there, and the credentials"
        ) from None
