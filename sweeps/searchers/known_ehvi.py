"""Expected hypervolume improvement where all objectives but one are known before training.

A candidate then lies on a line: its known losses x are exact, only its learnt loss Y is uncertain,
Normal(mean, std). The candidate improves the hypervolume by the integral, over all known losses
u >= x inside the reference point, of (h(u) - Y)^+, where h(u) is the least learnt loss that the
front has at u or below, and the reference where it has none. h is constant on cells, so that the
expectation is exact: a sum over the levels c of h of

    area of {u >= x: h(u) = c} * E[(c - Y)^+],    E[(c - Y)^+] = (c - mean) Phi(z) + std phi(z),

with z = (c - mean) / std: the expected improvement of Jones et al. 1998, once a level. (The
general case, with every objective uncertain, is Emmerich et al. 2006; it is not needed here.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

CHUNK: Final = 4096
"""Candidates that are computed at once, so that a pool of any size needs little memory."""


@dataclass(frozen=True)
class Staircase:
    """A front, seen as a step function of its known losses.

    One known loss is held as two, of which the second is 0 with a reference of 1.

    Attributes:
        levels: [num_levels] learnt losses that the step function takes, ascending; the last is the
            reference's.
        corners: the ascending first and second known losses at which it may step; the last of
            each is the reference's.
        covered: [num_first, num_second, num_levels - 1] area at or beyond both known losses in
            which the step function is at most the level.
    """

    levels: Floats
    corners: tuple[Floats, Floats]
    covered: Floats


def make_staircase(front: Floats, reference: Floats) -> Staircase:
    """Return the step function of a front.

    Args:
        front: [num_points, num_known + 1]; lower is better, the learnt loss last; no NaN. Points
            that are dominated, or outside the reference, change nothing.
        reference: [num_known + 1].

    Raises:
        ValueError: if there is neither one nor two known losses, or the shapes differ.
    """
    if reference.shape not in ((2,), (3,)) or front.shape[1:] != reference.shape:
        raise ValueError(
            "front must be [num_points, num_known + 1] with one or two known losses and a "
            f"reference as long, got shapes {front.shape} and {reference.shape}; leave out others"
        )
    inside = front[(front < reference).all(axis=1)]
    known, limits = _two_known(inside[:, :-1]), _two_limits(reference[:-1])
    levels, level_of = np.unique(inside[:, -1], return_inverse=True)
    first, first_of = np.unique(known[:, 0], return_inverse=True)
    second, second_of = np.unique(known[:, 1], return_inverse=True)
    step = np.full((len(first), len(second)), len(levels), dtype=np.int64)
    np.minimum.at(step, (first_of, second_of), level_of)
    step = np.minimum.accumulate(np.minimum.accumulate(step, axis=0), axis=1)
    first, second = np.append(first, limits[0]), np.append(second, limits[1])
    areas = np.outer(np.diff(first), np.diff(second))[:, :, None]
    is_covered = step[:, :, None] <= np.arange(len(levels))
    covered = np.zeros((len(first), len(second), len(levels)))
    covered[:-1, :-1] = np.where(is_covered, areas, 0.0)
    covered = covered[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    return Staircase(np.append(levels, reference[-1]), (first, second), covered)


def expected_improvement(staircase: Staircase, known: Floats, mean: Floats, std: Floats) -> Floats:
    """Return by how much each candidate is expected to improve the hypervolume.

    Args:
        staircase: the front's.
        known: [num, num_known] exact losses; lower is better.
        mean: [num] of the learnt loss.
        std: [num] of the learnt loss, >= 0.

    Returns:
        [num], >= 0; in the product of the losses' units; 0 for a candidate that is not inside the
        reference.
    """
    gains = np.zeros(len(mean))
    points = _two_known(known)
    for start in range(0, len(mean), CHUNK):
        part = slice(start, start + CHUNK)
        areas = _areas(staircase, points[part])
        excess = expected_excess(staircase.levels - mean[part, None], std[part, None])
        gains[part] = (areas * excess).sum(axis=1)
    return gains


def expected_excess(gap: Floats, std: Floats) -> Floats:
    """Return E[max(gap + std * Z, 0)] for a standard normal Z; std may be 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = gap / std
        excess = gap * ndtr(z) + std * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    # Far below the level the two terms cancel, and rounding may leave less than nothing.
    return np.maximum(np.where(std > 0, excess, gap), 0.0)


def _areas(staircase: Staircase, points: Floats) -> Floats:
    """Return the area beyond each point in which the step function takes each level.

    The covered area is bilinear inside a cell of the corners, so interpolating it is exact.
    """
    limits = np.array([corners[-1] for corners in staircase.corners])
    row, next_row, down = _position(staircase.corners[0], points[:, 0])
    column, next_column, right = _position(staircase.corners[1], points[:, 1])
    covered = np.zeros((len(points), len(staircase.levels) - 1))
    for weight, rows, columns in (
        ((1 - down) * (1 - right), row, column),
        (down * (1 - right), next_row, column),
        ((1 - down) * right, row, next_column),
        (down * right, next_row, next_column),
    ):
        if weight.any():
            covered += weight[:, None] * staircase.covered[rows, columns]
    total = np.maximum(limits - points, 0.0).prod(axis=1)
    areas = np.diff(covered, axis=1, prepend=0.0, append=total[:, None])
    return np.maximum(areas, 0.0)  # Rounding may leave less than nothing.


def _position(
    corners: Floats, values: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return each value's corners, at or before it and after it, and how far it is between them.

    Before the first corner nothing is covered, so there the first corner stands for the value.
    """
    inside = np.clip(values, corners[0], corners[-1])
    before = np.maximum(np.searchsorted(corners, inside, side="right") - 1, 0)
    after = np.minimum(before + 1, len(corners) - 1)
    width = corners[after] - corners[before]
    fraction = np.divide(
        inside - corners[before], width, out=np.zeros_like(inside), where=width > 0
    )
    return before, after, fraction


def _two_known(known: Floats) -> Floats:
    return known if known.shape[1] == 2 else np.column_stack([known, np.zeros(len(known))])


def _two_limits(limits: Floats) -> Floats:
    return limits if len(limits) == 2 else np.append(limits, 1.0)
