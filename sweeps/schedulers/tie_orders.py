"""In which order the members of one front are taken, where not all can go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sweeps.schedulers.losses import normalised

Losses = NDArray[np.float64]
Positions = NDArray[np.int64]


def epsnet_order(losses: Losses) -> Positions:
    """Return an order in which each next member is the farthest from all before it.

    Farthest-first traversal on objectives normalised to the front's ranges (Schmucker et al. 2021,
    "Multi-objective asynchronous successive halving", section 4); it begins with the best of the
    first objective, and equal distances go to the earlier member.

    Args:
        losses: [num_members, num_objectives]; lower is better; finite.

    Returns:
        [num_members] indices, first taken first.
    """
    num = len(losses)
    if num == 0:
        return np.zeros(0, dtype=np.int64)
    points = normalised(losses)
    order = [int(np.lexsort(losses.T[::-1])[0])]
    distances = np.full(num, np.inf)
    for _ in range(num - 1):
        distances = np.minimum(distances, ((points - points[order[-1]]) ** 2).sum(axis=1))
        distances[order[-1]] = -1.0
        order.append(int(distances.argmax()))
    return np.array(order, dtype=np.int64)


def crowding_order(losses: Losses) -> Positions:
    """Return an order by falling crowding distance (Deb et al. 2002, NSGA-II, section III B).

    Args:
        losses: [num_members, num_objectives]; lower is better; finite.

    Returns:
        [num_members] indices, first taken first; equal distances stay in their order.
    """
    num = len(losses)
    distances = np.zeros(num)
    points = normalised(losses)
    for column in points.T:
        order = np.argsort(column, kind="stable")
        distances[order[[0, -1]] if num else order] = np.inf
        if num > 2:
            distances[order[1:-1]] += column[order[2:]] - column[order[:-2]]
    return np.argsort(-distances, kind="stable")


TIE_ORDERS: Final[dict[str, Callable[[Losses], Positions]]] = {
    "epsnet": epsnet_order,
    "crowding": crowding_order,
}
