"""How far a latency can be trusted on a busy host, and what each runtime makes of a network.

spread: the calibrated figure against the plain mean of 100 calls, each in fresh processes, without
load of ours and with a trainer on every core. Prints median, coefficient of variation (CV) and
bias against the figure without load. ranking: rank correlation of many architectures, measured
with and without load. runtimes: calibrated figures of every runtime and precision as a ratio to
eager in fp32, random weights.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from scipy.stats import kendalltau, spearmanr
from torch import nn

from trainables.errors import InputError
from trainables.latency import RUNTIMES
from trainables.latency.eager import module_runner
from trainables.latency.figure import LatencyFigure
from trainables.latency.measure import Subject, measure_all
from trainables.latency.protocol import Recipe
from trainables.latency.serving import Serving, check_serving
from trainables.models import create_model
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
TEXTS = Task(kind="text", input_shape=(128,), num_classes=4, vocab_size=8000)
_SPAWN = multiprocessing.get_context("spawn")
_PLAIN_CALLS = 100

SPREAD = [
    TrialConfig(model="resnet20"),
    TrialConfig(model="vit"),
    TrialConfig(model="mobilenet_v3", width=8),
]
RANKED = [
    *(TrialConfig(model=m, width=w) for m in ("resnet8", "resnet20") for w in (8, 16, 24, 32)),
    *(TrialConfig(model="resnet14", width=width) for width in (12, 20)),
    *(TrialConfig(model="wideresnet10", width=width) for width in (8, 16)),
    *(TrialConfig(model="vit", width=w, depth=d) for w in (32, 64, 96) for d in (2, 4)),
    *(TrialConfig(model="small_cnn", width=width) for width in (16, 32)),
    *(TrialConfig(model="convmixer", width=width) for width in (32, 64)),
]
NETWORKS = [
    (TrialConfig(model="resnet18", width=64), IMAGES),
    (TrialConfig(model="resnet20"), IMAGES),
    (TrialConfig(model="mobilenet_v3"), IMAGES),
    (TrialConfig(model="vit", width=192, depth=6, heads=3), IMAGES),
    (TrialConfig(model="text_transformer"), TEXTS),
    (TrialConfig(model="text_cnn"), TEXTS),
]

PARTS = ("spread", "ranking", "runtimes")

Figures = list[tuple[float, bool]]  # of each config: milliseconds, and whether to be trusted


def train_forever() -> None:
    """Train on one thread until killed."""
    torch.set_num_threads(1)
    model = create_model(TrialConfig(), IMAGES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.randn(128, 3, 32, 32), torch.zeros(128, dtype=torch.int64)
    while True:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


@contextlib.contextmanager
def trainers() -> Iterator[None]:
    """Keep a trainer on every core busy meanwhile."""
    processes = [_SPAWN.Process(target=train_forever, daemon=True) for _ in cpus()]
    for process in processes:
        process.start()
    time.sleep(15)  # until they train
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def plain_here(configs: Sequence[TrialConfig]) -> Figures:
    torch.set_num_threads(1)
    figures = []
    for config in configs:
        torch.manual_seed(0)
        model = create_model(config, IMAGES).eval().to(memory_format=torch.channels_last)
        example = example_inputs(IMAGES, 1)
        call = module_runner(model, Recipe("fp32", example, example))
        for _ in range(5):
            call(example)
        started_s = time.perf_counter()
        for _ in range(_PLAIN_CALLS):
            call(example)
        figures.append(((time.perf_counter() - started_s) * 1000 / _PLAIN_CALLS, True))
    return figures


def plain(configs: Sequence[TrialConfig]) -> Figures:
    """Return the plain means of 100 calls in a fresh process."""
    with _SPAWN.Pool(1) as pool:
        return pool.apply(plain_here, [configs])


def calibrated(configs: Sequence[TrialConfig]) -> Figures:
    """Return the calibrated figures of fresh processes."""
    found = measure_all([Subject(config) for config in configs], IMAGES, Serving())
    seconds = [figure.measure_seconds for figure in found]
    print(
        f"  measured in {statistics.median(seconds):.1f} s [{min(seconds):.1f}, "
        f"{max(seconds):.1f}] each"
    )
    return [(known_ms(figure), figure.status == "exact") for figure in found]


def known_ms(figure: LatencyFigure) -> float:
    assert figure.latency_ms is not None, figure.reason
    return figure.latency_ms


METHODS: dict[str, Callable[[Sequence[TrialConfig]], Figures]] = {
    "plain mean": plain,
    "calibrated": calibrated,
}


def name(config: TrialConfig) -> str:
    return f"{config.model} {config.width}"


def repeat(configs: Sequence[TrialConfig], num_runs: int) -> dict[str, list[Figures]]:
    """Return the figures of each method in each run, [num_runs, len(configs)]."""
    runs: dict[str, list[Figures]] = {method: [] for method in METHODS}
    for _ in range(num_runs):
        for method, measure in METHODS.items():
            runs[method].append(measure(configs))
    return runs


def measure_spread(configs: Sequence[TrialConfig], num_runs: int) -> None:
    quiet = repeat(configs, num_runs)
    with trainers():
        loaded = repeat(configs, num_runs)
    print(f"\nspread: {num_runs} fresh processes each; load average {os.getloadavg()[0]:.1f}")
    print(
        f"{'':18} {'':12} {'host':8} {'median ms':>9} {'CV':>7} {'bias':>7} {'worst':>7} unstable"
    )
    for number, config in enumerate(configs):
        for method in METHODS:
            truth_ms = statistics.median(run[number][0] for run in quiet[method])
            for host, runs in (("quiet", quiet), ("loaded", loaded)):
                figures = [run[number] for run in runs[method]]
                print_spread(f"{name(config):18} {method:12} {host:8}", figures, truth_ms)


def print_spread(label: str, figures: Figures, truth_ms: float) -> None:
    accepted = [ms for ms, is_stable in figures if is_stable]
    num_unstable = len(figures) - len(accepted)
    if len(accepted) < 2:
        print(f"{label} {'none accepted':>33} {num_unstable:>8}")
        return
    cv = statistics.stdev(accepted) / statistics.mean(accepted)
    bias = statistics.median(accepted) / truth_ms - 1
    worst = max(abs(ms / truth_ms - 1) for ms in accepted)
    print(
        f"{label} {statistics.median(accepted):9.3f} {cv:7.1%} {bias:+7.1%} {worst:7.1%} "
        f"{num_unstable:>8}"
    )


def measure_ranking(configs: Sequence[TrialConfig]) -> None:
    quiet = repeat(configs, 1)
    with trainers():
        started_s = time.monotonic()
        loaded = repeat(configs, 1)
        seconds = time.monotonic() - started_s
    print(f"\nranking of {len(configs)} architectures, without and with load ({seconds:.0f} s)")
    for method in METHODS:
        pairs = [
            (before, after)
            for (before, is_before), (after, is_after) in zip(
                quiet[method][0], loaded[method][0], strict=True
            )
            if is_before and is_after
        ]
        before, after = zip(*pairs, strict=True)
        print(
            f"{method:12} Spearman {spearmanr(before, after).statistic:.3f}, "
            f"Kendall {kendalltau(before, after).statistic:.3f}, "
            f"{len(configs) - len(pairs)} unstable"
        )


def servings() -> list[Serving]:
    """Return every runtime and precision of a CPU that this host has."""
    known = []
    for runtime, entry in RUNTIMES.items():
        for precision in entry.precisions.get("cpu", ()):
            serving = Serving(runtime=runtime, precision=precision)
            try:
                check_serving(serving)
            except InputError as error:
                print(f"{runtime} {precision}: {error}")
            else:
                known.append(serving)
    return known


def measure_runtimes(networks: Sequence[tuple[TrialConfig, Task]]) -> None:
    print("\nruntimes: one thread, batch 1; eager fp32 in ms, the others as a ratio to it")
    ways, notes = servings(), []
    for config, task in networks:
        eager_ms, ratios = 0.0, {}
        for serving in ways:
            (figure,) = measure_all([Subject(config)], task, serving)
            label = f"{serving.runtime} {serving.precision}"
            if figure.reason is not None:
                notes.append(f"{name(config)}, {label}, {figure.status}: {figure.reason}")
            if figure.latency_ms is None:
                continue
            eager_ms = eager_ms or figure.latency_ms
            mark = "" if figure.status == "exact" else "?"
            ratios[label] = (figure.latency_ms / eager_ms, mark)
        best = min(ratios, key=lambda label: ratios[label][0])
        print(f"{name(config):20} eager {eager_ms:.3f} ms; best: {best}")
        print("    " + ", ".join(f"{k} {v:.3f}{m}" for k, (v, m) in ratios.items()), flush=True)
    print("\n".join(["?: uncertain", *notes]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["spread", "runtimes"], choices=PARTS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one architecture, two runs")
    arguments = parser.parse_args()
    num = 1 if arguments.quick else None
    print(f"{len(cpus())} CPUs, Torch {torch.__version__}, load average {os.getloadavg()[0]:.1f}")
    if "spread" in arguments.parts:
        measure_spread(SPREAD[:num], 2 if arguments.quick else arguments.runs)
    if "ranking" in arguments.parts:
        measure_ranking(RANKED)
    if "runtimes" in arguments.parts:
        measure_runtimes(NETWORKS[-1:] if arguments.quick else NETWORKS)


if __name__ == "__main__":
    main()
