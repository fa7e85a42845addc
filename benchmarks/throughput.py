"""Images per second of our training step, against the usual loop and against the bound.

(a) usual: a torchvision data set, transforms per sample, a DataLoader with its best number of
workers, `loss.item()` at every step. (b) bound: the same model and fused optimizer fed with one
constant batch on the device. All run in turn, round after round, in one process; each round gives
one ratio, and the medians of these are printed with their spread.
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


def compare(variants: dict[str, Callable[[int], float]], num_steps: int, rounds: int) -> None:
    """Run all in turn; print images per second, and ours as a share of each other."""
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run(num_steps)  # warm up
    for _ in range(rounds):
        for name, run in variants.items():
            speeds[name].append(run(num_steps))
    for name, values in speeds.items():
        ratios = [ours / other for ours, other in zip(speeds["ours"], values, strict=True)]
        print(f"  {name:16} {spread(values, '.0f')} images/s; ours / it {spread(ratios, '.3f')}")


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


def run_rank(rank: int, folder: str, config: TrialConfig, num_steps: int, rounds: int) -> None:
    """Train on one of two workers, a round whenever the parent says so."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, torch.device("cpu"), dist.group.WORLD)
    run = time_ours(config, random_images(num_steps * BATCH_SIZE * 5 // 3), ranks)
    alone = None
    if rank == 0:
        alone = time_ours(
            config,
            random_images(num_steps * BATCH_SIZE * 5 // 3),
            Ranks(0, 1, torch.device("cpu"), None),
        )
        alone_speeds, together_speeds = [], []
    for number in range(rounds + 1):  # the first warms up
        dist.barrier()
        together = run(num_steps)
        if rank == 0 and alone is not None:
            torch.set_num_threads(2)
            speed = alone(num_steps)
            torch.set_num_threads(1)
            if number:
                alone_speeds.append(speed)
                together_speeds.append(together)
        dist.barrier()
    if rank == 0:
        ratios = [t / a for t, a in zip(together_speeds, alone_speeds, strict=True)]
        print(f"  1 worker, 2 threads  {spread(alone_speeds, '.0f')} images/s")
        print(f"  2 workers, 1 thread  {spread(together_speeds, '.0f')} images/s")
        print(f"  2 workers / 1 worker {spread(ratios, '.3f')}", flush=True)
    dist.destroy_process_group()


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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    data = random_images(arguments.steps * BATCH_SIZE * 5 // 3)
    steps = len(data.train) // BATCH_SIZE
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, batch 128")
    for model in arguments.models:
        base = sized_config(model, arguments.precision)
        workers = best_num_workers(base, data, device)
        for stack in arguments.stacks:
            config = TrialConfig.from_dict({**base.to_dict(), **STACKS[stack]})
            print(f"{model}, {stack}, DataLoader with {workers} workers")
            variants = {
                "ours": time_ours(config, data, Ranks(0, 1, device, None)),
                "usual (a)": time_usual(config, data, device, stack, workers),
                "bound (b)": time_bound(config, data, device),
            }
            compare(variants, steps, arguments.rounds)
    if device.type == "cpu":
        config = sized_config(arguments.models[0], arguments.precision)
        print(f"{arguments.models[0]}, crop+flip, DDP over gloo")
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(
                run_rank, (folder, config, steps, arguments.rounds), nprocs=2
            )


if __name__ == "__main__":
    main()
