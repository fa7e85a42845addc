"""How sure one can be of a trial's figures, as far as the run's data say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.finalists import Finalist
from analysis.labels import format_value, words_of
from analysis.load import Run
from analysis.ranking import RankedTrial, Ranking
from analysis.serving import ServingReport, Shipped

Z_95 = 1.959964
"""Standard deviations to both sides that hold 95 % of a normal distribution."""

_COUNTED = ("val_accuracy", "val_top5_accuracy")
"""Objectives that are fractions of validation samples, so that their count gives an interval."""


@dataclass(frozen=True)
class Note:
    """A sentence on how sure one can be; `tone` says how it bears on the choice."""

    tone: Literal["good", "plain", "warn"]
    text: str


@dataclass(frozen=True)
class Evidence:
    """What a run holds beside the ranking that bears on its figures.

    Attributes:
        run: from `load_run`.
        ranking: its ranking.
        finalists: those that met the test part.
        serving: what the run tells of latencies.
    """

    run: Run
    ranking: Ranking
    finalists: Sequence[Finalist]
    serving: ServingReport

    def notes(self, trial: RankedTrial) -> list[Note]:
        """Return what is known of a trial's figures, the most important first."""
        notes = [*self._unfinished(), *self._shipped(trial), *self._test(trial)]
        return [*notes, *self._validation(trial), self._seeds()]

    def _unfinished(self) -> list[Note]:
        status = self.ranking.sweep_status
        if status == "finished":
            return []
        return [Note("warn", f"The sweep had not finished when this was read (status: {status}).")]

    def _shipped(self, trial: RankedTrial) -> list[Note]:
        """Return what was measured from the trained weights, as they would be shipped."""
        mine = [s for s in self.serving.shipped if s.trial_id == trial.trial_id]
        plain = next((one for one in mine if one.compression is None), None)
        if plain is None:
            return [Note("plain", "Not measured from its trained weights as it would be shipped.")]
        return [_shipped_note(plain)]

    def _test(self, trial: RankedTrial) -> list[Note]:
        """Return what the trial did on the test part, which the search did not see."""
        finalist = next((f for f in self.finalists if f.trial_id == trial.trial_id), None)
        accuracy = None if finalist is None else finalist.scores["test_accuracy"]
        if finalist is None or accuracy is None:
            return [Note("warn", "Not examined on the test part: its validation score is of what "
                                 "it was chosen by, so likely a little too good.")]  # fmt: skip
        text = f"Test accuracy {accuracy:.4f}"
        interval = wilson_interval(accuracy, _num_samples(self.run, "num_test"))
        if interval is not None:
            text += f" [{interval[0]:.4f}, {interval[1]:.4f}] (95 %)"
        if finalist.bias is not None:
            text += (
                f", {abs(100 * finalist.bias):.2f} points "
                f"{'below' if finalist.bias < 0 else 'above'} its validation accuracy, by which it "
                "was chosen"
            )
        return [Note("good", f"{text}.")]

    def _validation(self, trial: RankedTrial) -> list[Note]:
        """Return how many members of the front can't be told from it by accuracy."""
        for index, objective in enumerate(self.ranking.objectives):
            num_samples = _num_samples(self.run, "num_val")
            interval = wilson_interval(trial.values[index], num_samples)
            if objective.column not in _COUNTED or interval is None:
                continue
            low, high = interval
            others = [row for row in self.ranking.front if row is not trial]
            alike = sum(low <= row.values[index] <= high for row in others)
            words = words_of(objective.column)
            text = (
                f"Its {words} is of {num_samples:,} samples: {trial.values[index]:.4f} "
                f"[{low:.4f}, {high:.4f}] (95 %)."
            )
            if others:
                text += f" Other members of the front that lie within: {alike} of {len(others)}."
            return [Note("plain", text)]
        return []

    def _seeds(self) -> Note:
        return Note("plain", "Trained once: what another seed would change was not measured.")


def wilson_interval(fraction: float, num_samples: int | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a fraction of samples; None where their number is not known.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Example:
        >>> low, high = wilson_interval(0.9, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if not num_samples or not 0 <= fraction <= 1:
        return None
    spread = Z_95**2 / num_samples
    middle = (fraction + spread / 2) / (1 + spread)
    half = (
        Z_95
        * math.sqrt(fraction * (1 - fraction) / num_samples + spread / (4 * num_samples))
        / (1 + spread)
    )
    return middle - half, middle + half


def _num_samples(run: Run, key: str) -> int | None:
    dataset = run.spec.get("dataset")
    known: dict[str, Any] = dataset if isinstance(dataset, dict) else {}
    count = known.get(key)
    return count if isinstance(count, int) and count > 0 else None


def _shipped_note(one: Shipped) -> Note:
    """Return what a finalist is as shipped."""
    kind = f"{one.runtime} {one.precision}"
    if one.status == "failed":
        return Note("warn", f"It can't be shipped in {kind}: {one.reason or 'it failed'}.")
    parts = []
    if one.latency_ms is not None:
        parts.append(f"latency {format_value('latency_ms', one.latency_ms)} ms")
        if one.low_ms is not None and one.high_ms is not None:
            parts[-1] += f" [{one.low_ms:.4g}, {one.high_ms:.4g}]"
    if one.status == "uncertain":
        parts.append("an uncertain figure")
    if one.slo is not None:
        parts.append({"meets": "meets the SLO", "misses": "misses the SLO"}.get(
            one.slo, "SLO undecided"))  # fmt: skip
    if one.accuracy is not None:
        parts.append(f"accuracy {one.accuracy:.4f}")
    if one.is_accepted is False:
        parts.append(f"not accepted in {one.precision}")
    is_good = not one.objections and one.status == "exact" and one.slo in (None, "meets")
    text = f"As shipped ({kind}, from its trained weights): {', '.join(parts) or 'no figures'}."
    return Note("good" if is_good else "warn", text)
