"""What was found out of the finalists on the test part, checked and gathered by trial."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.load import Run, RunError
from analysis.records import ATTRIBUTIONS_FILE, ROBUSTNESS_FILE, TEST_SCORES, TRIALS_FILE

TEST_COLUMNS = tuple(field.name for field in TEST_SCORES)
SEVERITIES_OF_KIND = {"corruption": (1, 2, 3, 4, 5), "attack": (1, 2, 3, 4)}


@dataclass(frozen=True)
class RobustnessCurve:
    """Accuracy under one corruption or attack, by severity."""

    kind: str
    """A key of `SEVERITIES_OF_KIND`."""
    name: str
    severities: tuple[int, ...]
    """Ascending."""
    accuracies: tuple[float, ...]
    """[num_severities] fractions."""
    num_samples: int
    """Test samples measured; the fewest of the severities."""


@dataclass(frozen=True, eq=False)
class AttributedSample:
    """A test sample, an image or a text, and what the predicted class rests on."""

    sample: int
    """Position in the test part."""
    label: str
    predicted: str
    attribution: NDArray[np.float64]
    """[height, width] or [num_tokens], from 0 to 1."""
    pixels: NDArray[np.uint8] | None
    """[height, width, 3]; None for a text."""
    tokens: tuple[str, ...] | None
    """[num_tokens]; None for an image."""


@dataclass(frozen=True, eq=False)
class Finalist:
    """A trial that met the test part."""

    trial_id: str
    val_accuracy: float | None
    scores: dict[str, float | None]
    """By `TEST_COLUMNS`."""
    curves: tuple[RobustnessCurve, ...]
    """In the order in which they were measured."""
    samples: tuple[AttributedSample, ...]
    """By position in the test part."""

    @property
    def bias(self) -> float | None:
        """Test minus validation accuracy: what choosing by the latter has flattered, if negative.

        The best of many trials by a noisy measure is in part the luckiest (Cawley and Talbot,
        "On over-fitting in model selection", 2010).
        """
        accuracy = self.scores["test_accuracy"]
        if accuracy is None or self.val_accuracy is None:
            return None
        return accuracy - self.val_accuracy

    def mean_accuracy(self, kind: str) -> float | None:
        """Return the mean over a kind's corruptions or attacks and their severities."""
        values = [value for c in self.curves if c.kind == kind for value in c.accuracies]
        return math.fsum(values) / len(values) if values else None


def gather_finalists(run: Run) -> tuple[Finalist, ...]:
    """Return the trials that met the test part, the best by validation accuracy first.

    They are those with test scores, robustness or attributions.

    Raises:
        RunError: if robustness or attributions are of no trial of the run, stand there twice, or
            hold values that cannot be: accuracies out of 0 to 1, images or attributions of
            another size than they say.
    """
    curves = _curves(run.robustness.to_pylist())
    samples = _samples(run.attributions.to_pylist())
    columns = ["trial_id", "val_accuracy", *TEST_COLUMNS]
    trials = {row["trial_id"]: row for row in run.trials.select(columns).to_pylist()}
    for name, found in ((ROBUSTNESS_FILE, curves), (ATTRIBUTIONS_FILE, samples)):
        for trial_id in found:
            if trial_id not in trials:
                raise _error(f"trial_id in {name}", f"a trial of {TRIALS_FILE}", repr(trial_id))
    finalists = [
        Finalist(
            trial_id=trial_id,
            val_accuracy=row["val_accuracy"],
            scores={column: row[column] for column in TEST_COLUMNS},
            curves=tuple(curves.get(trial_id, ())),
            samples=tuple(samples.get(trial_id, ())),
        )
        for trial_id, row in trials.items()
        if any(row[column] is not None for column in TEST_COLUMNS)
        or trial_id in curves
        or trial_id in samples
    ]
    # By what they were chosen by: an order by test scores would choose by these.
    return tuple(sorted(finalists, key=lambda f: (-_or_worst(f.val_accuracy), f.trial_id)))


def num_robustness_samples(finalists: Sequence[Finalist]) -> str:
    """Return how many test samples the curves rest on: a number, or the least and the most."""
    counts = {curve.num_samples for finalist in finalists for curve in finalist.curves}
    return " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))


def _or_worst(accuracy: float | None) -> float:
    return -math.inf if accuracy is None or math.isnan(accuracy) else accuracy


def _curves(rows: Sequence[dict[str, Any]]) -> dict[str, list[RobustnessCurve]]:
    """Return each trial's curves, in order of appearance."""
    grouped: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        _check_robustness(row)
        of_severity = grouped[row["trial_id"], row["kind"], row["name"]]
        if row["severity"] in of_severity:
            raise _error(
                f"{row['name']} of trial {row['trial_id']} in {ROBUSTNESS_FILE}",
                "a row a severity",
                f"severity {row['severity']} twice",
            )
        of_severity[row["severity"]] = row
    curves = defaultdict(list)
    for (trial_id, kind, name), of_severity in grouped.items():
        ordered = [of_severity[severity] for severity in sorted(of_severity)]
        curves[trial_id].append(
            RobustnessCurve(
                kind=kind,
                name=name,
                severities=tuple(row["severity"] for row in ordered),
                accuracies=tuple(row["accuracy"] for row in ordered),
                num_samples=min(row["num_samples"] for row in ordered),
            )
        )
    return dict(curves)


def _check_robustness(row: dict[str, Any]) -> None:
    where = f"of trial {row['trial_id']} in {ROBUSTNESS_FILE}"
    if row["kind"] not in SEVERITIES_OF_KIND:
        raise _error(f"kind {where}", " or ".join(SEVERITIES_OF_KIND), repr(row["kind"]))
    severities = SEVERITIES_OF_KIND[row["kind"]]
    if row["severity"] not in severities:
        rule = f"1 to {severities[-1]} for {row['kind']}s"
        raise _error(f"severity {where}", rule, row["severity"])
    if not 0 <= row["accuracy"] <= 1:
        raise _error(f"accuracy {where}", "a fraction from 0 to 1", row["accuracy"])


def _samples(rows: Sequence[dict[str, Any]]) -> dict[str, list[AttributedSample]]:
    """Return each trial's samples, by position in the test part."""
    if len({row["tokens"] is None for row in rows}) > 1:
        raise _error(f"samples in {ATTRIBUTIONS_FILE}", "all images or all texts", "both")
    samples: dict[str, list[AttributedSample]] = defaultdict(list)
    seen = set()
    for row in sorted(rows, key=lambda row: int(row["sample"])):
        where = f"of sample {row['sample']} of trial {row['trial_id']} in {ATTRIBUTIONS_FILE}"
        if (row["trial_id"], row["sample"]) in seen:
            raise _error(f"attribution {where}", "there once", "it twice")
        seen.add((row["trial_id"], row["sample"]))
        pixels = None if row["tokens"] is not None else _pixels(row, where)
        samples[row["trial_id"]].append(
            AttributedSample(
                sample=row["sample"],
                label=row["label"],
                predicted=row["predicted"],
                attribution=_attribution(row, where),
                pixels=pixels,
                tokens=None if row["tokens"] is None else _tokens(row["tokens"], where),
            )
        )
    return dict(samples)


def _pixels(row: dict[str, Any], where: str) -> NDArray[np.uint8]:
    """Return the image, [height, width, 3], if it has the size that it says."""
    height, width, image = row["height"], row["width"], row["image"]
    if image is None or not height or not width or min(height, width) < 1:
        raise _error(
            f"image {where}",
            "there with height and width of 1 pixel or more, or tokens instead",
            f"{'no' if image is None else 'an'} image, height {height}, width {width}",
        )
    if len(image) != height * width * 3:
        rule = f"{height} x {width} x 3 = {height * width * 3} bytes"
        raise _error(f"image {where}", rule, f"{len(image)} bytes")
    return np.frombuffer(image, np.uint8).reshape(height, width, 3)


def _tokens(tokens: Sequence[str], where: str) -> tuple[str, ...]:
    if None in tokens:
        raise _error(f"tokens {where}", "text", "null")
    return tuple(tokens)


def _attribution(row: dict[str, Any], where: str) -> NDArray[np.float64]:
    """Return a value a pixel or token, as [height, width] or [num_tokens]."""
    tokens = row["tokens"]
    shape = (row["height"], row["width"]) if tokens is None else (len(tokens),)
    values = np.array(row["attribution"], dtype=np.float64)  # a null becomes NaN
    if values.size != math.prod(shape):
        per = "pixel" if tokens is None else "token"
        rule = f"{math.prod(shape)} values, one a {per}"
        raise _error(f"attribution {where}", rule, values.size)
    is_valid = (values >= 0) & (values <= 1)
    if not is_valid.all():
        raise _error(f"attribution {where}", "from 0 to 1", values[~is_valid][0])
    return values.reshape(shape)


def _error(name: str, rule: str, got: object) -> RunError:
    return RunError(
        f"{name} must be {rule}, got {got}; copy the file again from where the sweep wrote it"
    )
