"""How sure one can be of a trial's figures, as far as the run's data say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from analysis.certainty import Certainty
from analysis.estimates import (
    COUNTED,
    Z_95,
    Retraining,
    num_samples,
    part_interval,
    pooled_variance,
)
from analysis.finalists import Finalist
from analysis.labels import difference, format_value, format_with_unit, words_of
from analysis.load import Run
from analysis.ranking import RankedTrial, Ranking
from analysis.serving import ServingReport, Shipped

_COUNTED = tuple(f"val_{score}" for score in COUNTED)
"""Objectives that are fractions of validation samples, so that their count gives an interval."""

SURE = 0.95
"""Probability from which a place on the front is told as good news."""


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
        retrainings: finalists' further trainings, by trial id.
        certainty: what these say of the front.
    """

    run: Run
    ranking: Ranking
    finalists: Sequence[Finalist]
    serving: ServingReport
    retrainings: Mapping[str, Retraining] = field(default_factory=dict)
    certainty: Certainty | None = None

    def notes(self, trial: RankedTrial) -> list[Note]:
        """Return what is known of a trial's figures, the most important first."""
        notes = [*self._unfinished(), *self._shipped(trial), *self._test(trial)]
        return [*notes, *self._validation(trial), *self._seeds(trial)]

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
        interval = wilson_interval(accuracy, num_samples(self.run, "test"))
        if interval is not None:
            text += f" [{interval[0]:.4f}, {interval[1]:.4f}] (95 %)"
        if finalist.bias is not None:
            text += (
                f", {abs(100 * finalist.bias):.2f} points "
                f"{'below' if finalist.bias < 0 else 'above'} its validation accuracy, by which it "
                "was chosen"
            )
        seeds = self.test_words(trial.trial_id)
        text += f"; with further seeds {seeds} on average" if seeds else ""
        return [Note("good", f"{text}.")]

    def _validation(self, trial: RankedTrial) -> list[Note]:
        """Return how many members of the front can't be told from it by accuracy."""
        for index, objective in enumerate(self.ranking.objectives):
            num_val = num_samples(self.run, "val")
            interval = wilson_interval(trial.values[index], num_val)
            if objective.column not in _COUNTED or interval is None:
                continue
            low, high = interval
            others = [row for row in self.ranking.front if row is not trial]
            alike = sum(low <= row.values[index] <= high for row in others)
            words = words_of(objective.column)
            text = (
                f"Its {words} is of {num_val:,} samples: {trial.values[index]:.4f} "
                f"[{low:.4f}, {high:.4f}] (95 %)."
            )
            if others:
                text += f" Other members of the front that lie within: {alike} of {len(others)}."
            return [Note("plain", text)]
        return []

    def _seeds(self, trial: RankedTrial) -> list[Note]:
        """Return what its further trainings say, and how sure its place on the front is."""
        mine = self.retrainings.get(trial.trial_id)
        if mine is None:
            why = "it was not among the finalists that were trained again with further seeds"
            text = why if self.retrainings else "what another seed would change was not measured"
            return [Note("plain", f"Trained once: {text}.")]
        failed = f", {mine.num_failed} of them failed" if mine.num_failed else ""
        text = f"Trained again with {mine.num_seeds + mine.num_failed} further seeds{failed}"
        place = None if self.certainty is None else self.certainty.place(trial.trial_id)
        if self.certainty is None or place is None:
            return [Note("warn", f"{text}: too little to tell its place on the front.")]
        odds = float(self.certainty.on_front[place])
        tone: Literal["good", "plain", "warn"] = "plain" if odds >= 0.5 else "warn"
        told = [f"{text}. {self._means(place)}".rstrip()]
        told.append(
            f"Among {len(self.certainty.on_front)} finalists it is {self.front_words(trial)}."
        )
        return [Note("plain", told[0]), Note("good" if odds >= SURE else tone, told[1])]

    def _means(self, place: int) -> str:
        """Return a finalist's means over seeds, and how far its own score was off."""
        assert self.certainty is not None
        estimates = self.certainty.estimates
        low, high = estimates.intervals()[:, place]
        texts = []
        for index, objective in enumerate(estimates.objectives):
            column = objective.column
            if not estimates.seed_dof[index]:
                continue
            mean, first = (v[place, index] for v in (estimates.values, estimates.chosen_by))
            ends = f"[{format_value(column, low[index])}, {format_value(column, high[index])}]"
            gap = difference(objective, first - mean)
            texts.append(
                f"Mean {words_of(column)} {format_with_unit(column, mean)} {ends} (95 %); the one "
                f"that it was chosen by is off by {gap}."
            )
        return " ".join(texts)

    def front_words(self, trial: RankedTrial) -> str:
        """Return how probably it lies on the finalists' true front; empty where nobody knows."""
        place = None if self.certainty is None else self.certainty.place(trial.trial_id)
        if self.certainty is None or place is None:
            return ""
        on_front = format_odds(float(self.certainty.on_front[place]))
        is_knee = format_odds(float(self.certainty.is_knee[place]))
        return f"on the true front with probability {on_front}, its knee with {is_knee}"

    def test_words(self, trial_id: str) -> str:
        """Return the mean test accuracy over further seeds with its interval; empty without."""
        known = {
            key: one.scores["test_accuracy"]
            for key, one in self.retrainings.items()
            if one.num_seeds and np.isfinite(one.scores["test_accuracy"]).all()
        }
        if trial_id not in known or sum(len(one) - 1 for one in known.values()) < 1:
            return ""
        variance, dof = pooled_variance(list(known.values()))
        scores = known[trial_id]
        low, high = part_interval(scores, variance, dof, num_samples(self.run, "test"))
        return f"{scores.mean():.4f} [{low:.4f}, {high:.4f}]"


def format_odds(probability: float) -> str:
    """Return a probability that was found by draws: none is 0 or 1.

    Example:
        >>> format_odds(0.123), format_odds(0.9999)
        ('12 %', '> 99 %')
    """
    if probability > 0.99:
        return "> 99 %"
    return "< 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def wilson_interval(fraction: float, count: int | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a fraction of samples; None where their number is not known.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Example:
        >>> low, high = wilson_interval(0.9, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if not count or not 0 <= fraction <= 1:
        return None
    spread = Z_95**2 / count
    middle = (fraction + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(fraction * (1 - fraction) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


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
