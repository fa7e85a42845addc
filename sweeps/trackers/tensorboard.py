"""TensorBoard: curves and hyperparameters, one event file a trial, and one of the whole sweep.

A trial must have a folder of its own, or the page of hyperparameters would not tell it apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from analysis.records import RANKED_STATUSES, REPORT_FOLDER, TRIALS_FILE, Objective
from sweeps.trackers.protocol import CURVES
from sweeps.trackers.trial_words import lineage_words

SWEEP_NAME: Final = "sweep"
"""Of the whole sweep, beside its trials."""

MAX_CLASSES: Final = 10
"""With a precision-recall curve: those that are told apart worst."""

_FRONT_FILE: Final = "front.png"
_DETAILS: Final = ("val_per_class", "val_roc_curve")

Row = Mapping[str, Any]


class TensorBoardTracker:
    """Writes each trial into a folder of its own.

    Args:
        folder: TensorBoard's log folder.
        objectives: columns shown as the trial's metrics.
    """

    def __init__(self, folder: Path, objectives: tuple[str, ...]) -> None:
        self._folder = folder
        self._objectives = objectives
        self._writers: dict[str, SummaryWriter] = {}

    def report(self, trial_id: str, config: Row, row: Row) -> None:
        """Add an epoch's numbers."""
        writer = self._writer(trial_id)
        for name in CURVES:
            if row.get(name) is not None:
                writer.add_scalar(name, row[name], row["epoch"])

    def finish(self, trial_id: str, config: Row, row: Row) -> None:
        """Add the hyperparameters with the objectives reached, and close the file."""
        metrics = {
            f"objective/{name}": row[name] for name in self._objectives if row.get(name) is not None
        }
        if metrics:
            writer = self._writer(trial_id)
            for summary in hparams(dict(config), metrics):  # type: ignore[no-untyped-call]
                writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
            for name, value in metrics.items():
                writer.add_scalar(name, value, row["epoch"])
        if trial_id in self._writers:
            self._writers.pop(trial_id).close()

    def examine(self, trial_id: str, scores: Mapping[str, float | None]) -> None:
        """Show nothing of the test part: what stands here invites comparison."""

    def conclude(self, run: Path, sweep: Row) -> None:
        """Add the front, the lineages, and precision-recall curves of the finalists."""
        trials = pq.read_table(run / TRIALS_FILE, columns=_columns(self._objectives)).to_pylist()
        with SummaryWriter(str(self._folder / SWEEP_NAME)) as writer:
            picture = run / REPORT_FOLDER / _FRONT_FILE
            if picture.is_file():
                writer._get_file_writer().add_summary(_picture(picture))
            lineages = [trial for trial in trials if len(trial["lineage"]) > 1]
            if lineages:
                writer.add_text("lineage", _lineage_table(lineages))
        chosen = _chosen(trials, Objective.parse(sweep["objectives"][0]))
        for trial_id in chosen:
            self._add_pr_curves(run, trial_id)

    def _add_pr_curves(self, run: Path, trial_id: str) -> None:
        rows = pq.read_table(
            run / TRIALS_FILE, columns=list(_DETAILS), filters=[("trial_id", "==", trial_id)]
        )
        ((per_class, curves),) = (row.values() for row in rows.to_pylist())
        if curves is None:
            return
        num_samples = sum(scores["support"] for scores in per_class)
        known = [label for label, curve in enumerate(curves) if curve["fpr"]]
        worst = sorted(known, key=lambda label: per_class[label]["roc_auc"])[:MAX_CLASSES]
        with SummaryWriter(str(self._folder / trial_id)) as writer:
            for label in sorted(worst):
                num_positive = per_class[label]["support"]
                counts = _counts(curves[label], num_positive, num_samples - num_positive)
                writer.add_pr_curve_raw(
                    f"val_precision_recall/class_{label}", *counts, num_thresholds=len(counts[0])
                )

    def _writer(self, trial_id: str) -> SummaryWriter:
        if trial_id not in self._writers:
            self._writers[trial_id] = SummaryWriter(str(self._folder / trial_id))
        return self._writers[trial_id]


def _columns(objectives: Iterable[str]) -> list[str]:
    names = ("trial_id", "status", "epoch", "lineage", "test_accuracy", *objectives)
    return list(dict.fromkeys(names))


def _chosen(trials: Sequence[Row], objective: Objective) -> list[str]:
    """Return the finalists; without any, the trial that is best by an objective."""
    finalists = [trial["trial_id"] for trial in trials if trial["test_accuracy"] is not None]
    ranked = [
        trial
        for trial in trials
        if trial["status"] in RANKED_STATUSES and trial[objective.column] is not None
    ]
    if finalists or not ranked:
        return finalists
    return [min(ranked, key=lambda trial: objective.loss(trial[objective.column]))["trial_id"]]


def _counts(curve: Row, num_positive: int, num_negative: int) -> tuple[NDArray[np.float64], ...]:
    """Return a ROC curve as TensorBoard takes one of precision and recall.

    Returns:
        True and false positives, true and false negatives, precision and recall: each [num_points],
        from the point of the greatest recall on.
    """
    recall = np.array(curve["tpr"])[::-1]
    true_positives = recall * num_positive
    false_positives = np.array(curve["fpr"])[::-1] * num_negative
    num_found = true_positives + false_positives
    precision = np.divide(true_positives, num_found, np.ones_like(recall), where=num_found > 0)
    true_negatives = num_negative - false_positives
    false_negatives = num_positive - true_positives
    return true_positives, false_positives, true_negatives, false_negatives, precision, recall


def _picture(path: Path) -> Summary:
    """Return a PNG file as it is: TensorBoard's own way decodes and encodes it again."""
    with Image.open(path) as image:
        width, height = image.size
    content = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=path.read_bytes()
    )
    return Summary(value=[Summary.Value(tag=path.stem, image=content)])


def _lineage_table(trials: Iterable[Row]) -> str:
    """Return whose weights each trial went on with, in Markdown."""
    rows = [f"| {t['trial_id']} | {t['epoch']} | {lineage_words(t)} |" for t in trials]
    return "\n".join(["| trial | epochs | weights of |", "|---|---|---|", *rows])
