"""Puts names beside points of a chart so that none covers another, a marker or the frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

DISTANCES = (8.0, 13.0, 20.0, 30.0)
"""From the point to the label's edge, in typographic points."""
FAR_DISTANCES = (*DISTANCES, 45.0, 65.0, 90.0)
"""For a label that must stand."""
LEADER_DISTANCE = 14.0
"""A label farther away than this gets a thin line to its point."""

# What a label may spoil, in typographic points of distance that it is worth to avoid it.
FAINT_COST = 3.0
DOUBT_COST = 6.0
LINE_COST = 40.0
TURN_COST = 1.0


@dataclass
class LabelPlacer:
    """Places labels on one axes whose layout and limits no longer change.

    Args:
        axes: a matplotlib Axes, drawn once.
        solid: [n, 2] pixels of markers, which no label and no leader may cover.
        ring: [n, 2] pixels that no label may cover.
        faint: [n, 2] pixels that labels should rather not cover.
        line: [n, 2] pixels along a path that labels should rather not cross.
        free_degrees: the direction in which there is most room.
    """

    axes: Any
    solid: NDArray[np.float64]
    ring: NDArray[np.float64]
    faint: NDArray[np.float64]
    line: NDArray[np.float64]
    free_degrees: float
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    """[4] pixels each: left, bottom, right, top of the labels that stand."""
    leaders: list[NDArray[np.float64]] = field(default_factory=list)
    """[n, 2] pixels along each line from a label to its point."""

    def place(
        self, text: str, point: tuple[float, float], *, must_stand: bool = False, **style: Any
    ) -> bool:
        """Draw one label near its point (data coordinates).

        One that must stand may be farther away, and its leader may pass over markers.

        Returns:
            False if there was no free place; then nothing is drawn.
        """
        scale = self.axes.figure.dpi / 72
        label = self._annotate(text, point, (0.0, 0.0), style, has_leader=False)
        extent = label.get_window_extent(self.axes.figure.canvas.get_renderer())
        label.remove()
        half = np.array([extent.width, extent.height]) / 2
        anchor = self.axes.transData.transform(point)
        best_cost, best = np.inf, None
        for distance in FAR_DISTANCES if must_stand else DISTANCES:
            has_leader = distance > LEADER_DISTANCE
            for turn in (0, -45, 45, -90, 90, -135, 135, 180):
                degrees = self.free_degrees + turn
                way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
                offset = way * (distance * scale + half)
                box = np.concatenate([anchor + offset - half, anchor + offset + half])
                leader = anchor + way * scale * np.linspace(4, distance, 12)[:, None]
                cost = self._cost(box, leader if has_leader else leader[:0], anchor)
                if cost is None or (
                    has_leader and not must_stand and self._is_near_marker(leader, anchor)
                ):
                    continue
                cost += distance + TURN_COST * abs(turn) / 45
                if cost < best_cost:
                    best_cost, best = cost, (offset / scale, box, leader, has_leader)
        if best is None:
            return False
        offset, box, leader, has_leader = best
        self._annotate(text, point, offset, style, has_leader=has_leader)
        self.boxes.append(box)
        self.leaders.append(leader)
        return True

    def _annotate(
        self, text: str, point: tuple[float, float], offset: Any, style: Any, *, has_leader: bool
    ) -> Any:
        leader = {
            "arrowstyle": "-",
            "linewidth": 0.7,
            "color": "#8a929c",
            "shrinkA": 1,
            "shrinkB": 5,
        }
        return self.axes.annotate(
            text,
            point,
            xytext=tuple(offset),
            textcoords="offset points",
            ha="center",
            va="center",
            zorder=6,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
            arrowprops=leader if has_leader else None,
            **style,
        )

    def _cost(
        self, box: NDArray[np.float64], leader: NDArray[np.float64], anchor: NDArray[np.float64]
    ) -> float | None:
        """Return what a label in this box would spoil; None if it may not stand there."""
        frame = self.axes.get_window_extent()
        if box[0] < frame.x0 or box[1] < frame.y0 or box[2] > frame.x1 or box[3] > frame.y1:
            return None
        gap = 3.0
        for other in self.boxes:
            if (box[:2] - gap < other[2:]).all() and (other[:2] < box[2:] + gap).all():
                return None
            if _num_inside(other, leader, gap):
                return None
        if any(_num_inside(box, other, gap) for other in self.leaders):
            return None
        if _num_inside(box, self.solid, 7.0) or _num_inside(box, self.ring, 2.0):
            return None
        doubtful = self.solid[np.linalg.norm(self.solid - anchor, axis=1) > 1]
        return (
            FAINT_COST * _num_inside(box, self.faint, 2.0)
            + DOUBT_COST * _num_inside(box, doubtful, 14.0)
            + LINE_COST * (_num_inside(box, self.line, 1.0) > 0)
        )

    def _is_near_marker(self, leader: NDArray[np.float64], anchor: NDArray[np.float64]) -> bool:
        """Return whether a leader would pass over the marker of another point."""
        gaps = np.linalg.norm(self.solid - anchor, axis=1)
        others = self.solid[(gaps > 1) & (gaps < 200)]
        gaps = np.linalg.norm(others[:, None] - leader[None], axis=2)
        return bool((gaps < 8).any())


def _num_inside(box: NDArray[np.float64], pixels: NDArray[np.float64], margin: float) -> int:
    """Return how many of the points lie in the box, or nearer to it than the margin."""
    inside = (pixels >= box[:2] - margin) & (pixels <= box[2:] + margin)
    return int(inside.all(axis=1).sum())
