"""Which nodes lose gangs again and again. Pure.

A node is avoided while it has lost `MAX_LOSSES` gangs or more in the last hour and another node
in use has lost none: so never the last one, and never all after a fault that strikes everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

MAX_LOSSES: Final = 3
WINDOW_S: Final = 3600.0


class NodeLosses:
    """Counts losses by node."""

    def __init__(self) -> None:
        self._lost_s: dict[str, list[float]] = defaultdict(list)

    def enter(self, nodes: Iterable[str], now_s: float) -> None:
        """Count one loss on each of some nodes."""
        for node in set(nodes):
            self._lost_s[node].append(now_s)

    def avoided(self, in_use: Iterable[str], now_s: float) -> set[str]:
        """Return the nodes to avoid, given those on which workers are now."""
        for node, times_s in list(self._lost_s.items()):
            self._lost_s[node] = [lost_s for lost_s in times_s if now_s - lost_s <= WINDOW_S]
        bad = {node for node, times_s in self._lost_s.items() if len(times_s) >= MAX_LOSSES}
        has_good = any(not self._lost_s.get(node) for node in in_use)
        return bad if has_good else set()
