"""Time of one suggestion of the searcher with a known latency, its refits included.

Draws a synthetic pool, searches it until there are so many observations, and then times rounds of
one suggestion and one trial that reports at once. Prints, of several seeds, the mean of all rounds
and the median and greatest of a round. Set OMP_NUM_THREADS=1 to time one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analysis.records import Objective
from sweeps.searchers.known_latency import KnownLatencyOptions, KnownLatencySearcher
from sweeps.searchers.pool import CandidatePool, make_pool

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")
MAX_EPOCHS = 27


def draw_pool(num_candidates: int, num_known: int, seed: int) -> CandidatePool:
    """Return cells of six operations with a width and a learning rate."""
    generator = np.random.default_rng(seed)
    operations = generator.integers(len(OPERATIONS), size=(num_candidates, 6))
    widths = generator.integers(8, 129, size=num_candidates)
    rates = 10 ** generator.uniform(-4, -1, size=num_candidates)
    configs = [
        {f"op_{place}": OPERATIONS[number] for place, number in enumerate(row)}
        | {"width": int(width), "learning_rate": float(rate)}
        for row, width, rate in zip(operations, widths, rates, strict=True)
    ]
    work = (1 + operations.sum(axis=1)) * widths
    names = ("latency_ms", "num_parameters")[:num_known]
    known = {name: work * generator.lognormal(0, 0.3, num_candidates) for name in names}
    return make_pool(configs, known, [Objective(name, "min") for name in names])


def train(searcher: KnownLatencySearcher, pool: CandidatePool, index: int) -> int:
    """Report a trial, of which two thirds stop after one epoch; return the observations."""
    error = 0.1 + 0.4 * pool.features[index].mean() + 0.1 / (1 + pool.known[index, 0])
    epochs = (1,) if index % 3 else (1, 3, 9, 27)
    for epoch in epochs:
        values = {"val_error": error + 0.3 / epoch, "seconds": 2.0 * epoch}
        searcher.on_report(index, epoch, values)
    searcher.on_complete(index, is_whole=epochs[-1] == MAX_EPOCHS)
    return len(epochs)


def time_rounds(arguments: argparse.Namespace, seed: int) -> np.ndarray:
    """Return [num_rounds] milliseconds of a suggestion."""
    pool = draw_pool(arguments.candidates, arguments.known, seed)
    options = KnownLatencyOptions(max_epochs=MAX_EPOCHS, seed=seed)
    searcher = KnownLatencySearcher(pool, Objective("val_error", "min"), options)
    num_seen = 0
    while num_seen < arguments.observations:
        index = searcher.suggest()
        assert index is not None
        num_seen += train(searcher, pool, index)
    spent_ms = []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        index = searcher.suggest()
        spent_ms.append(1e3 * (time.perf_counter() - start))
        assert index is not None
        train(searcher, pool, index)
    return np.array(spent_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--known", type=int, default=1, choices=(1, 2))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    runs = [time_rounds(arguments, seed) for seed in range(arguments.seeds)]
    means = [run.mean() for run in runs]
    print(f"{arguments.candidates} candidates, from {arguments.observations} observations on")
    print(
        f"  mean of a suggestion    {np.median(means):.1f} ms ({min(means):.1f}-{max(means):.1f})"
    )
    print(f"  median of a suggestion  {np.median([np.median(run) for run in runs]):.1f} ms")
    print(f"  greatest, with a refit  {np.median([run.max() for run in runs]):.0f} ms")


if __name__ == "__main__":
    main()
