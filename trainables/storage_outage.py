"""Waits until a storage that is full or out takes what was meant for it."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0

Result = TypeVar("Result")

_PASSING: Final = {
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "its quota is used up",
    errno.ESTALE: "it is out",
    errno.EIO: "it is out",
    errno.ETIMEDOUT: "it doesn't answer",
    errno.ECONNREFUSED: "it doesn't answer",
    errno.ECONNRESET: "it doesn't answer",
    errno.EHOSTUNREACH: "it can't be reached",
    errno.ENETUNREACH: "it can't be reached",
    errno.ENETDOWN: "it can't be reached",
}
"""Errors of the system that end by themselves, or when somebody makes room."""

_PASSING_AWS: Final = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|THROTTLING)|HTTP status (429|500|502|503|504)"
)
"""What pyarrow says of an object store that is out; others (no such bucket, no rights) stay."""


def outage(error: OSError) -> str | None:
    """Return in a few words what ails a storage; None where waiting would not help."""
    if error.errno in _PASSING:
        return _PASSING[error.errno]
    return "it doesn't answer" if _PASSING_AWS.search(str(error)) else None


def ride_out(
    action: Callable[[], Result],
    what: str,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Return what `action` returns, which is tried until the storage is there.

    Args:
        action: writes to a storage, or reads; may be done again after it failed.
        what: it does, for the user.
        tell: hears once that it waits, and once that it goes on.
        sleep: waits so many seconds.

    Raises:
        OSError: for one that no waiting will mend.
    """
    wait_s, reason = FIRST_WAIT_S, None
    while True:
        try:
            result = action()
        except OSError as error:
            found = outage(error)
            if found is None:
                raise
            if reason is None:
                reason = found
                tell(f"{what} waits for the storage: {reason} ({str(error).splitlines()[0]})")
            sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            continue
        if reason is not None:
            tell(f"{what} goes on: the storage is there again")
        return result
