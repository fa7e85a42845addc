"""Whether the intervals of finalists cover the truth, and whether probabilities mean what they say.

    python benchmarks/coverage.py [--scenario plain] [--seeds 3] [--finalists 5] [--sweeps 500]

Sweeps are drawn whose truth is known, and read by the code that reads real ones. A sweep has 60
trials. Their latency grows with size from 1 to 8 ms; accuracy grows with size and levels off (in
probits), less an exponential amount for a bad config. A sample of the validation part is got right
or not: its difficulty has a part that all trials share, one of the trial, and one of the training;
a training's seed also moves the accuracy on all samples. Trials are scored once by one training,
timed in five processes that vary by 2 %, and finalists are chosen by these noisy figures: from
the front, spread along it, then from the next ranks. They are trained again with further seeds on
the same validation part, and timed again. Truth: expected accuracy over seeds and samples.

Printed: how often 95 % intervals held the truth (of the hypervolume; of accuracy, with the seeds'
variance pooled and by a finalist's own; the front among the likely fronts: as shown, so at least
95 %, and with the last one counted in part, so that it is exactly 95 % if the probabilities are
right), and of finalists with a probability p of lying on the front, or of being the knee, which
share truly was. In brackets: two standard errors of a share, by the number of sweeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import moocore
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import norm

from analysis import records
from analysis.certainty import LEVEL, Certainty, find_certainty, fronts_of, knees_of
from analysis.choice import knee_index
from analysis.estimates import estimate_finalists, gather_retrainings, part_interval
from analysis.load import Run
from analysis.pareto import nondominated_ranks
from analysis.ranking import rank_trials

NUM_TRIALS = 60
NUM_PROCESSES = 5
PROCESS_SD = 0.02
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0 + 1e-9)


@dataclass(frozen=True)
class Scenario:
    """How sweeps are drawn. Variances of difficulty are fractions; what is left is a training's."""

    num_samples: int = 2000
    seed_sd: float = 0.002  # of accuracy on all samples, by the seed
    shared_variance: float = 0.65
    trial_variance: float = 0.17
    gain: float = 0.7  # of the largest model over the smallest, in probits
    penalty: float = 0.25  # of a config, mean, in probits


SCENARIOS = {
    "plain": Scenario(),
    "small_part": Scenario(num_samples=500, seed_sd=0.01),
    "unstable": Scenario(seed_sd=0.01),
    "ties": Scenario(gain=0.1, penalty=0.05),
    "unlike": Scenario(shared_variance=0.4, trial_variance=0.35),
    "large_part": Scenario(num_samples=10_000, seed_sd=0.0005),
}


@dataclass(frozen=True)
class Drawn:
    """A sweep: what was measured, and the truth."""

    first: NDArray[np.float64]  # [num_trials] scores
    timed_ms: NDArray[np.float64]  # [num_trials]
    finalists: NDArray[np.int64]
    again: NDArray[np.float64]  # [num_finalists, num_seeds] scores
    quartiles_ms: NDArray[np.float64]  # [3, num_finalists]
    truth: NDArray[np.float64]  # [num_trials, 2] losses: accuracy and latency


def draw_sweep(
    scenario: Scenario, num_finalists: int, num_seeds: int, generator: np.random.Generator
) -> Drawn:
    size = generator.random(NUM_TRIALS)
    course = (1 - np.exp(-2.5 * size)) / (1 - np.exp(-2.5))
    skill = 1.0 + scenario.gain * course - generator.exponential(scenario.penalty, NUM_TRIALS)
    seed_probits = scenario.seed_sd / norm.pdf(1.2)
    latency_ms = np.exp(np.log(8) * size)
    shape = (NUM_TRIALS, scenario.num_samples)
    shared = generator.standard_normal(shape[1], dtype=np.float32)
    of_trial = generator.standard_normal(shape, dtype=np.float32)
    ease = np.sqrt(scenario.shared_variance) * shared + np.sqrt(scenario.trial_variance) * of_trial
    left_sd = np.sqrt(1 - scenario.shared_variance - scenario.trial_variance)

    def score(trials: NDArray[np.int64]) -> NDArray[np.float64]:
        moved = skill[trials] + seed_probits * generator.standard_normal(len(trials))
        noise = generator.standard_normal((len(trials), shape[1]), dtype=np.float32)
        return (moved[:, None] + ease[trials] + left_sd * noise > 0).mean(axis=1)

    def time_ms(trials: NDArray[np.int64]) -> NDArray[np.float64]:
        noise = PROCESS_SD * generator.standard_normal((NUM_PROCESSES, len(trials)))
        return np.quantile(latency_ms[trials] * np.exp(noise), (0.25, 0.5, 0.75), axis=0)

    everyone = np.arange(NUM_TRIALS)
    first, timed_ms = score(everyone), time_ms(everyone)[1]
    chosen = choose(np.stack([-first, timed_ms], axis=1), num_finalists)
    accuracy = norm.cdf(skill / np.sqrt(1 + seed_probits**2))
    return Drawn(
        first=first,
        timed_ms=timed_ms,
        finalists=chosen,
        again=np.stack([score(chosen) for _ in range(num_seeds)], axis=1),
        quartiles_ms=time_ms(chosen),
        truth=np.stack([-accuracy, latency_ms], axis=1),
    )


def choose(losses: NDArray[np.float64], num_finalists: int) -> NDArray[np.int64]:
    """Return finalists: of the front, spread along it, then of the next ranks."""
    ranks = nondominated_ranks(losses)
    chosen: list[int] = []
    for rank in range(int(ranks.max()) + 1):
        members = np.flatnonzero(ranks == rank)
        members = members[np.argsort(losses[members, 1])]
        wanted = min(num_finalists - len(chosen), len(members))
        if wanted > 0:
            places = np.linspace(0, len(members) - 1, wanted).round().astype(int)
            chosen += members[places].tolist()
    return np.array(chosen)


def as_run(drawn: Drawn, num_samples: int) -> Run:
    """Return the sweep as it would stand in a run folder."""

    def table(schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist([{n: row.get(n) for n in schema.names} for row in rows], schema)

    trials = [
        {"trial_id": f"t{index:02d}", "status": "completed", "config": "{}", "lineage": [],
         "val_accuracy": drawn.first[index], "latency_ms": drawn.timed_ms[index]}
        for index in range(NUM_TRIALS)
    ]  # fmt: skip
    seeds = [
        {"trial_id": f"t{trial:02d}", "seed": seed, "status": "finished", "epoch": 1,
         "val_accuracy": score}
        for trial, scores in zip(drawn.finalists, drawn.again, strict=True)
        for seed, score in enumerate(scores)
    ]  # fmt: skip
    latency = [
        {"trial_id": f"t{trial:02d}", "architecture": "", "runtime": "", "precision": "",
         "batch_size": 1, "num_threads": 1, "device": "", "status": "exact",
         "latency_low_ms": low, "latency_ms": middle, "latency_high_ms": high}
        for trial, (low, middle, high) in zip(drawn.finalists, drawn.quartiles_ms.T, strict=True)
    ]  # fmt: skip
    return Run(
        path="drawn",
        spec={"objectives": ["val_accuracy:max", "latency_ms:min"],
              "dataset": {"num_val": num_samples}},
        trials=table(records.TRIALS_SCHEMA, trials),
        results=records.RESULTS_SCHEMA.empty_table(),
        latency=table(records.LATENCY_SCHEMA, latency),
        robustness=records.ROBUSTNESS_SCHEMA.empty_table(),
        attributions=records.ATTRIBUTIONS_SCHEMA.empty_table(),
        seeds=table(records.SEEDS_SCHEMA, seeds),
        ledger=records.LEDGER_SCHEMA.empty_table(),
    )  # fmt: skip


def judge(drawn: Drawn, scenario: Scenario, seed: int) -> dict[str, Any]:
    """Return what was claimed of one sweep beside what is true."""
    run = as_run(drawn, scenario.num_samples)
    ranking = rank_trials(run)
    estimates = estimate_finalists(run, ranking)
    assert estimates is not None
    assert ranking.reference is not None
    reference = np.array([-ranking.reference[0], ranking.reference[1]])
    found = find_certainty(estimates, reference, seed=seed)
    order = [int(trial_id[1:]) for trial_id in estimates.trial_ids]
    truth = drawn.truth[order]
    on_front = fronts_of(truth[None])[0]
    knee = int(knees_of(truth[None], on_front[None])[0])
    assert knee == np.flatnonzero(on_front)[knee_index(truth[on_front])]
    # What lies beyond the reference point has no volume.
    volume = moocore.hypervolume(truth, ref=reference)
    plain = moocore.hypervolume(np.array([-1, 1]) * estimates.values, ref=reference)
    low, high = estimates.intervals()[:, :, 0]
    own = [
        part_interval(one, float(one.var(ddof=1)), len(one) - 1, scenario.num_samples)
        for one in (gather_retrainings(run)[i].scores["val_accuracy"] for i in estimates.trial_ids)
    ]
    return {
        "hypervolume": found.hypervolume_low <= volume <= found.hypervolume_high,
        "accuracy": ((low <= -truth[:, 0]) & (-truth[:, 0] <= high)).mean(),
        "accuracy, own variance": np.mean(
            [a <= -t <= b for (a, b), t in zip(own, truth[:, 0], strict=True)]
        ),
        "width": (high - low).mean(),
        "own width": np.mean([b - a for a, b in own]),
        "bias": found.hypervolume / volume - 1,
        "plain bias": plain / volume - 1,
        "chosen by": np.mean(estimates.chosen_by[:, 0] + truth[:, 0]),
        "further": np.mean(estimates.values[:, 0] + truth[:, 0]),
        "front as shown": (found.fronts == on_front).all(axis=1).any(),
        "front in part": _in_part(found, on_front),
        "fronts": len(found.fronts),
        "surely": np.mean((found.fronts == found.fronts[0]).all(axis=0)),
        "on front": (found.on_front, on_front),
        "knee": (found.is_knee, np.arange(len(order)) == knee),
    }


def _in_part(found: Certainty, on_front: NDArray[np.bool_]) -> float:
    """Return 1 if the true front is among the likely ones, for the last one by its part of 95 %."""
    places = np.flatnonzero((found.fronts == on_front).all(axis=1))
    if not len(places):
        return 0.0
    if places[0] < len(found.fronts) - 1:
        return 1.0
    before = found.front_odds[:-1].sum()
    return float((LEVEL - before) / found.front_odds[-1])


def tell(judged: Sequence[dict[str, Any]]) -> None:
    count = len(judged)

    def mean(key: str) -> float:
        return float(np.mean([one[key] for one in judged]))

    for key in (
        "hypervolume", "front in part", "front as shown", "accuracy", "accuracy, own variance",
    ):  # fmt: skip
        share = mean(key)
        print(f"  {key}: {share:.1%} [{2 * np.sqrt(share * (1 - share) / count):.1%}]")
    print(f"  accuracy's interval: {100 * mean('width'):.2f} points; by own variance "
          f"{100 * mean('own width'):.2f}")  # fmt: skip
    print(f"  too good by: first score {100 * mean('chosen by'):.2f}, further seeds "
          f"{100 * mean('further'):.2f} points; hypervolume of estimates "
          f"{mean('plain bias'):.2%}, as told {mean('bias'):.2%}")  # fmt: skip
    print(f"  likely fronts: {mean('fronts'):.1f}; of the finalists {mean('surely'):.0%} surely on "
          "or off")  # fmt: skip
    for key in ("on front", "knee"):
        odds, is_true = (
            np.concatenate(parts) for parts in zip(*[one[key] for one in judged], strict=True)
        )
        cells = []
        for low, high in pairwise(BINS):
            inside = (odds >= low) & (odds < high)
            if inside.any():
                cells.append(f"{odds[inside].mean():.2f}: {is_true[inside].mean():.2f} "
                             f"({inside.sum()})")  # fmt: skip
        print(f"  {key}, p: share (finalists): {', '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=["plain"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[3])
    parser.add_argument("--finalists", nargs="+", type=int, default=[5])
    parser.add_argument("--samples", type=int, help="of the validation part")
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.scenario:
        scenario = SCENARIOS[name]
        if given.samples is not None:
            scenario = replace(scenario, num_samples=given.samples)
        for num_finalists in given.finalists:
            for num_seeds in given.seeds:
                generator = np.random.default_rng(given.seed)
                judged = [
                    judge(draw_sweep(scenario, num_finalists, num_seeds, generator), scenario, one)
                    for one in range(given.sweeps)
                ]
                print(f"{name}, {num_finalists} finalists, {num_seeds} seeds, "
                      f"{given.sweeps} sweeps", flush=True)  # fmt: skip
                tell(judged)


if __name__ == "__main__":
    main()
