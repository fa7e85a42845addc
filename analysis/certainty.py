"""How sure a front is: which finalists truly lie on it, its hypervolume, and its knee.

Drawn many times: what the finalists may truly be, given their estimates (`analysis.estimates`).
Each draw has a front and a knee. Counting them as they are would take every order of the finalists
for equally likely beforehand, so that a long front is all but ruled out: of eight one in 40,320 is
whole. Taking every length for equally likely instead trusts the search too much. Draws are weighted
half-way between (the geometric mean): by one over the root of how often fronts of their length come
about when what they reached is shuffled among them. `benchmarks/coverage.py` measures what that is
worth.

The hypervolume of estimates is too large on average, for it takes the best of what is uncertain.
Its interval is the basic bootstrap's (Davison and Hinkley, "Bootstrap methods and their
application", 1997, section 5.2), which turns the same bias of draws about the estimates round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import moocore
import numpy as np
from numpy.typing import NDArray

from analysis.decision import find_objections
from analysis.estimates import SHARED_FRACTION, Estimates, estimate_finalists
from analysis.load import Run
from analysis.ranking import Ranking
from analysis.serving import gather_serving

NUM_DRAWS: Final = 4000
LEVEL: Final = 0.95
ORDER_WEIGHT: Final = 0.5
"""Exponent of the weight of draws; 0 takes all orders for equally likely, 1 all lengths."""


@dataclass(frozen=True)
class Certainty:
    """What is known of the finalists' true front.

    Attributes:
        estimates: that it follows from.
        on_front: [num_finalists] probabilities to lie on it.
        is_knee: [num_finalists] probabilities to be its knee.
        fronts: the fewest fronts, [num_fronts, num_finalists] bool, that the true one is among with
            a probability of 95 %, the most probable first.
        front_odds: [num_fronts] their probabilities.
        hypervolume: of the true front, to the ranking's reference point, the bias taken off.
        hypervolume_low: lower end of its 95 % interval.
        hypervolume_high: upper end.
    """

    estimates: Estimates
    on_front: NDArray[np.float64]
    is_knee: NDArray[np.float64]
    fronts: NDArray[np.bool_]
    front_odds: NDArray[np.float64]
    hypervolume: float
    hypervolume_low: float
    hypervolume_high: float

    @property
    def surely_on(self) -> tuple[str, ...]:
        """Finalists that lie on all of `fronts`."""
        return self._named(np.asarray(self.fronts.all(axis=0)))

    @property
    def surely_off(self) -> tuple[str, ...]:
        """Finalists that lie on none of `fronts`."""
        return self._named(np.asarray(~self.fronts.any(axis=0)))

    def place(self, trial_id: str) -> int | None:
        """Return the finalist's place in the arrays; None if it is none of these."""
        known = self.estimates.trial_ids
        return known.index(trial_id) if trial_id in known else None

    def _named(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(np.array(self.estimates.trial_ids, dtype=object)[chosen].tolist())


def weigh_finalists(run: Run, ranking: Ranking) -> Certainty | None:
    """Return how sure the front of a run's finalists is, by their further trainings.

    Finalists that turned out not to fit when they were measured as shipped are no candidates, as
    for `analysis.decision`.

    Args:
        run: from `load_run`.
        ranking: its ranking; finalists that it has left out are no candidates.

    Returns:
        None where `estimate_finalists` finds nothing.

    Raises:
        RunError: if seeds or latencies are of no trial of the run.
    """
    if not len(run.seeds) or ranking.reference is None:
        return None
    estimates = estimate_finalists(run, ranking, find_objections(gather_serving(run)))
    if estimates is None:
        return None
    point = zip(ranking.objectives, ranking.reference, strict=True)
    return find_certainty(estimates, np.array([one.loss(value) for one, value in point]))


def find_certainty(
    estimates: Estimates, reference: NDArray[np.float64], *, seed: int = 0
) -> Certainty:
    """Return how sure the front of finalists is.

    Args:
        estimates: from `estimate_finalists`.
        reference: [num_objectives] the hypervolume's reference point, as losses.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    signs = np.array([-1.0 if o.direction == "max" else 1.0 for o in estimates.objectives])
    losses = signs * draw_truths(estimates, generator)
    is_member = fronts_of(losses)
    weights = _weights(losses, is_member, estimates.seed_dof > 0, generator)
    knees = knees_of(losses, is_member)
    fronts, odds = likely_fronts(is_member, weights)
    low, middle, high = _hypervolume(signs * estimates.values, losses, reference)
    return Certainty(
        estimates=estimates,
        on_front=weights @ is_member,
        is_knee=_total(knees, weights, losses.shape[1]),
        fronts=fronts,
        front_odds=odds,
        hypervolume=middle,
        hypervolume_low=low,
        hypervolume_high=high,
    )


def draw_truths(estimates: Estimates, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return [NUM_DRAWS, num_finalists, num_objectives] of what the finalists may truly be."""
    num_finalists, num_objectives = estimates.values.shape
    shape = (NUM_DRAWS, num_finalists, num_objectives)
    dof = np.maximum(estimates.seed_dof, 1)
    spread = np.sqrt(dof / generator.chisquare(dof, (NUM_DRAWS, 1, num_objectives)))
    common = generator.standard_normal((NUM_DRAWS, 1, num_objectives))
    own = generator.standard_normal(shape)
    samples = np.sqrt(SHARED_FRACTION) * common + np.sqrt(1 - SHARED_FRACTION) * own
    error = estimates.seed_sd * spread * generator.standard_normal(shape)
    measured = np.exp(estimates.relative_sd * generator.standard_normal(shape))
    return np.asarray((estimates.values + error + estimates.sample_sd * samples) * measured)


def fronts_of(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of the finalists nothing dominates in each draw.

    Args:
        losses: [num_draws, num_finalists, num_objectives].

    Returns:
        [num_draws, num_finalists] bool.
    """
    num_draws, num_finalists, _ = losses.shape
    found = np.ones((num_draws, num_finalists), dtype=bool)
    for index in range(num_finalists):
        mine = losses[:, index : index + 1]
        beats = np.asarray((losses <= mine).all(axis=2) & (losses < mine).any(axis=2))
        found[:, index] = ~beats.any(axis=1)
    return found


def knees_of(losses: NDArray[np.float64], is_member: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return which finalist is the knee (`ideal`) of each draw's front, as `knee_index` finds it.

    Args:
        losses: [num_draws, num_finalists, num_objectives].
        is_member: from `fronts_of`.

    Returns:
        [num_draws] indices of finalists.
    """
    members = is_member[:, :, None]
    ideal = np.where(members, losses, np.inf).min(axis=1, keepdims=True)
    span = np.where(members, losses, -np.inf).max(axis=1, keepdims=True) - ideal
    distances = np.linalg.norm((losses - ideal) / np.where(span > 0, span, 1.0), axis=2)
    return np.asarray(np.where(is_member, distances, np.inf).argmin(axis=1))


def likely_fronts(
    is_member: NDArray[np.bool_], weights: NDArray[np.float64], level: float = LEVEL
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the fewest fronts that have a probability of `level` together, and theirs.

    Args:
        is_member: [num_draws, num_finalists] fronts.
        weights: [num_draws] sum to 1.
        level: at least reached; by more where the last front needed is a probable one.
    """
    fronts, inverse = np.unique(is_member, axis=0, return_inverse=True)
    odds = _total(inverse.ravel(), weights, len(fronts))
    order = np.argsort(-odds, kind="stable")
    needed = int(np.searchsorted(np.cumsum(odds[order]), level * odds.sum())) + 1
    return fronts[order[:needed]], odds[order[:needed]]


def _total(
    keys: NDArray[np.int64], weights: NDArray[np.float64], num_keys: int
) -> NDArray[np.float64]:
    """Return [num_keys] the weights of each key together."""
    return np.asarray(np.bincount(keys, weights, minlength=num_keys), dtype=np.float64)


def _weights(
    losses: NDArray[np.float64],
    is_member: NDArray[np.bool_],
    is_learnt: NDArray[np.bool_],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return [num_draws] weights that sum to 1; see the module."""
    num_draws, num_finalists, _ = losses.shape
    shuffled = losses.copy()
    for index in np.flatnonzero(is_learnt):
        shuffled[:, :, index] = generator.permuted(losses[:, :, index], axis=1)
    lengths = fronts_of(shuffled).sum(axis=1)
    counts = np.bincount(lengths, minlength=num_finalists + 1) + 1.0
    weights = (counts / num_draws) ** -ORDER_WEIGHT
    chosen = weights[is_member.sum(axis=1)]
    return np.asarray(chosen / chosen.sum())


def _hypervolume(
    estimated: NDArray[np.float64], losses: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return lower end, estimate and upper end by the basic bootstrap; none is below 0."""
    measure = moocore.Hypervolume(ref=reference)
    plain = float(measure(estimated))
    drawn = np.array([measure(one) for one in losses])
    tail = (1 - LEVEL) / 2
    ends = (np.quantile(drawn, 1 - tail), drawn.mean(), np.quantile(drawn, tail))
    low, middle, high = (max(0.0, 2 * plain - float(end)) for end in ends)
    return low, middle, high
