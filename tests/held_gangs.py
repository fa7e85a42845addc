"""For how long the gangs of a sweep were held, by a clock that is not the ledger's."""

from __future__ import annotations

import time
from typing import Any

from sweeps import gangs


def watched_gang(seconds: list[float]) -> type[gangs.Gang]:
    """Return a gang that adds to `seconds`, at its end, for how long it was held."""

    class WatchedGang(gangs.Gang):
        def __init__(self, *arguments: Any) -> None:
            self._asked_s = time.monotonic()
            super().__init__(*arguments)

        def _keep_running(self) -> None:
            super()._keep_running()
            seconds.append(time.monotonic() - self._asked_s)

    return WatchedGang
