"""Images per second of our training step, against the usual loop and against the bound.

(a) usual: a torchvision data set, transforms per sample, a DataLoader with its best number of
workers, `loss.item()` at every step. (b) bound: the same model and fused optimizer fed with one
constant batch on the device. Ours runs in one process as these do, and on several cores also as a
gang does it there: a worker with one thread on each, joined by DDP. All take turns, round after
round, while the others wait; each round gives one ratio, and the medians of these are printed with
their spread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from trainables.data.dataset import ImageData, Part, Source
from trainables.data.splits import split_source
from trainables.models import create_model
from trainables.optimizers import build_optimizer
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

BATCH_SIZE = 128
GANG, OURS, USUAL, BOUND = "ours, as a gang", "ours, one process", "usual (a)", "bound (b)"
STACKS = {
    "none": {"crop_padding_px": 0, "flip_probability": 0.0},
    "crop+flip": {},
    "full": {
        "rotation_degrees": 15.0,
        "color_jitter": 0.4,
        "cutout_px": 8,
        "mixup_alpha": 0.2,
        "randaugment_magnitude": 9,
    },
}


def sized_config(model: str, precision: str) -> TrialConfig:
    """Return the config of NAME:WIDTH."""
    name, _, width = model.partition(":")
    return TrialConfig(model=name, width=int(width), batch_size=BATCH_SIZE, precision=precision)


def random_images(num_samples: int, seed: int = 0) -> ImageData:
    """Return random images of CIFAR's shape: their content doesn't change the speed."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (num_samples, 3, 32, 32), dtype=np.uint8)
    part = Part(images, np.arange(num_samples, dtype=np.int64) % 10)
    data = split_source(Source("random", part, None, tuple("0123456789")), seed=seed)
    tiny = data.val.take(np.arange(10))  # the validation isn't timed, so keep it short
    return replace(data, val=tiny)


class PilImages(Dataset[tuple[Image.Image, int]]):
    """The train part as torchvision's CIFAR10 gives it out."""

    def __init__(self, data: ImageData, transform: transforms.Compose) -> None:
        self._images = np.ascontiguousarray(data.train.inputs.transpose(0, 2, 3, 1))
        self._labels, self._transform = data.train.labels, transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        image = Image.fromarray(self._images[index])
        return self._transform(image), int(self._labels[index])


def usual_transform(data: ImageData, stack: str) -> transforms.Compose:
    """Return the transforms of a stack; mixing is left out, which the usual loop leaves out too."""
    steps: list[nn.Module] = []
    if stack != "none":
        steps += [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    if stack == "full":
        jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
        steps += [transforms.RandomRotation(15), jitter, transforms.RandAugment()]
    steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return transforms.Compose(steps)


def time_usual(
    config: TrialConfig, data: ImageData, device: torch.device, stack: str, num_workers: int
) -> Callable[[int], float]:
    """Return a function from a number of steps to images per second."""
    model = create_model(config, data.task).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loader = DataLoader(
        PilImages(data, usual_transform(data, stack)),
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=device.type == "cuda",
    )

    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def run(num_steps: int) -> float:
        next(batches)  # workers are up, and have begun to fetch
        start_s, total = time.perf_counter(), 0.0
        for images, labels in islice(batches, num_steps):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return num_steps * BATCH_SIZE / (time.perf_counter() - start_s)

    return run


def time_bound(
    config: TrialConfig, data: ImageData, device: torch.device
) -> Callable[[int], float]:
    """Return a function from a number of steps to images per second."""
    model = create_model(config, data.task).to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(model, config)
    placed = data.on_device(device)
    images = placed.model_inputs(placed.train.inputs[:BATCH_SIZE])
    labels = placed.train.labels[:BATCH_SIZE]

    def run(num_steps: int) -> float:
        start_s = time.perf_counter()
        for _ in range(num_steps):
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return num_steps * BATCH_SIZE / (time.perf_counter() - start_s)

    return run


def time_ours(config: TrialConfig, data: ImageData, ranks: Ranks) -> Callable[[int], float]:
    """Return a function that trains one epoch and returns images per second."""
    training = Training(config, data.on_device(ranks.device), ranks)

    def run(num_steps: int) -> float:
        assert len(data.train) // BATCH_SIZE == num_steps
        result = training.train_epoch()
        return result.num_train_samples / result.train_seconds

    return run


def take_turns(
    alone: dict[str, Callable[[int], float]],
    gang: Callable[[int], float] | None,
    ranks: Ranks,
    arguments: argparse.Namespace,
) -> dict[str, list[float]]:
    """Run all in turn, the first round to warm up; return rank 0's images per second by name.

    Args:
        alone: run on rank 0 with a thread on every core, while the other ranks wait.
        gang: runs on all ranks with a thread each; None where there is one rank.
        ranks: of this process.
        arguments: of the command line.
    """
    speeds: dict[str, list[float]] = {name: [] for name in [GANG, *alone]}
    for number in range(arguments.rounds + 1):
        measured: dict[str, float] = {}
        if gang is not None:
            dist.barrier()
            torch.set_num_threads(1)
            measured[GANG] = gang(arguments.steps)
            dist.barrier()
        if ranks.rank == 0:
            torch.set_num_threads(num_cores())
            measured |= {name: run(arguments.steps) for name, run in alone.items()}
        for name, speed in measured.items():
            if number:
                speeds[name].append(speed)
    return {name: values for name, values in speeds.items() if values}


def report(speeds: dict[str, list[float]]) -> None:
    """Print images per second, and each of ours as a share of the others."""
    for name, values in speeds.items():
        print(f"  {name:17} {spread(values, '.0f')} images/s")
    for ours, others in ((OURS, (USUAL, BOUND)), (GANG, (USUAL, OURS))):
        for other in others if ours in speeds else ():
            ratios = [a / b for a, b in zip(speeds[ours], speeds[other], strict=True)]
            print(f"  {ours} / {other}: {spread(ratios, '.3f')}", flush=True)


def spread(values: list[float], form: str) -> str:
    """Return median, least and greatest."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} [{low:{form}}, {high:{form}}]"


def best_num_workers(config: TrialConfig, data: ImageData, device: torch.device) -> int:
    """Return the DataLoader's quickest number of workers with crop and flip."""
    speeds = {
        num: time_usual(config, data, device, "crop+flip", num)(20)
        for num in (0, 1, 2, *([4, 8] if device.type == "cuda" else []))
    }
    print(
        "DataLoader workers: "
        + ", ".join(f"{num}: {speed:.0f} images/s" for num, speed in speeds.items())
    )
    return max(speeds, key=lambda num: speeds[num])


def run_rank(rank: int, world_size: int, folder: str, arguments: argparse.Namespace) -> None:
    """Compare everything; ranks other than the first only train along."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    group = None
    if world_size > 1:
        store = f"file://{folder}/store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
        group = dist.group.WORLD
    ranks = Ranks(rank, world_size, device, group)
    data = random_images(arguments.steps * BATCH_SIZE * 5 // 3)
    assert len(data.train) // BATCH_SIZE == arguments.steps
    for model in arguments.models:
        base = sized_config(model, arguments.precision)
        torch.set_num_threads(num_cores())
        workers = best_num_workers(base, data, device) if rank == 0 else 0
        for stack in arguments.stacks:
            config = TrialConfig.from_dict({**base.to_dict(), **STACKS[stack]})
            gang = time_ours(config, data, ranks) if world_size > 1 else None
            alone: dict[str, Callable[[int], float]] = {}
            if rank == 0:
                print(f"{model}, {stack}, DataLoader with {workers} workers")
                alone = {
                    OURS: time_ours(config, data, Ranks(0, 1, device, None)),
                    USUAL: time_usual(config, data, device, stack, workers),
                    BOUND: time_bound(config, data, device),
                }
            speeds = take_turns(alone, gang, ranks, arguments)
            if rank == 0:
                report(speeds)
    if world_size > 1:
        dist.destroy_process_group()


def num_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="training steps a round")
    parser.add_argument(
        "--models", nargs="+", default=["resnet20:16", "small_cnn:8"], help="NAME:WIDTH"
    )
    parser.add_argument("--stacks", nargs="+", default=["crop+flip", "full"], choices=STACKS)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    world_size = 1 if has_gpu else num_cores()
    print(f"torch {torch.__version__}, {'cuda' if has_gpu else 'cpu'}, {num_cores()} cores")
    # As the workers of a gang have it: threads that spin would take the others' cores.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run_rank, (world_size, folder, arguments), nprocs=world_size)


if __name__ == "__main__":
    main()
