"""Times a few training steps of each architecture in a fresh process: `time_epochs`.

It knows nothing of the other workers of a gang, nor of other gangs: what they cost in messages
and in shared memory comes on top. Run as a module it is the process that does the timing.
"""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trainables.child_process import child_environment
from trainables.epoch_result import num_validated
from trainables.errors import TrainingError
from trainables.trial_config import TrialConfig

if TYPE_CHECKING:
    from trainables.data.dataset import SplitData

TIMED_STEPS: Final = 4
TIMED_VAL_SAMPLES: Final = 256
START_LIMIT_S: Final = 120.0
CONFIG_LIMIT_S: Final = 60.0


@dataclass(frozen=True)
class TimedWorker:
    """One worker of a gang, as it is timed.

    Attributes:
        num_workers: that share a batch.
        num_threads: of the worker.
        has_gpu: it trains on the first GPU.
    """

    num_workers: int
    num_threads: int
    has_gpu: bool


def time_epochs(
    configs: Sequence[TrialConfig], data: SplitData, worker: TimedWorker
) -> list[float]:
    """Return how long an epoch of each config would take a worker that is alone [s].

    Steps with its share of a batch and a part of the validation are timed twice; the second
    time counts.

    Returns:
        [len(configs)], in order.

    Raises:
        TrainingError: if the process failed or hung.
    """
    num_train = min(len(data.train), TIMED_STEPS * max(c.batch_size for c in configs))
    num_val = min(len(data.val), TIMED_VAL_SAMPLES)
    part = _part(data, num_train, num_val)
    request = pickle.dumps(([config.to_dict() for config in configs], part, worker))
    seconds = _ask(request, worker, START_LIMIT_S + CONFIG_LIMIT_S * len(configs))
    return [
        _epoch_seconds(config, data, worker, *timed)
        for config, timed in zip(configs, seconds, strict=True)
    ]


def _epoch_seconds(
    config: TrialConfig, data: SplitData, worker: TimedWorker, step_s: float, sample_s: float
) -> float:
    num_seen = num_validated(len(data.val), len(data.train))
    num_steps = len(data.train) // config.batch_size
    return num_steps * step_s + num_seen / worker.num_workers * sample_s


def _part(data: Any, num_train: int, num_val: int) -> Any:
    """Return the first samples of the training and validation parts."""
    import numpy as np

    return dataclasses.replace(
        data.without_test(),
        train=data.train.take(np.arange(num_train)),
        val=data.val.take(np.arange(num_val)),
    )


def _ask(request: bytes, worker: TimedWorker, limit_s: float) -> list[tuple[float, float]]:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "trainables.step_times"],
            input=request,
            env=child_environment(worker.num_threads),
            capture_output=True,
            timeout=limit_s,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise TrainingError(f"timing steps took over {limit_s:.0f} s") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {error.returncode}"
        raise TrainingError(f"timing steps failed: {reason}") from None
    seconds: list[tuple[float, float]] = pickle.loads(process.stdout)  # by this very module
    return seconds


def time_config(values: dict[str, Any], data: Any, worker: TimedWorker) -> tuple[float, float]:
    """Return seconds a step, and seconds a validated sample, of a worker with its share."""
    import torch

    from trainables.data.device import DeviceData
    from trainables.epoch_result import EpochResult
    from trainables.ranks import Ranks
    from trainables.train_loop import Training

    device = torch.device("cuda" if worker.has_gpu else "cpu")
    on_device: DeviceData = data.on_device(device)
    share = max(1, values["batch_size"] // worker.num_workers)
    num_epochs = max(2, values["num_epochs"])
    config = TrialConfig.from_dict({**values, "batch_size": share, "num_epochs": num_epochs})
    training = Training(config, on_device, Ranks(0, 1, device, None))
    results: list[EpochResult] = [training.train_epoch() for _ in range(2)]
    num_steps = len(data.train) // share
    num_seen = num_validated(len(data.val), len(data.train))
    return results[1].train_seconds / num_steps, results[1].val_seconds / num_seen


def main() -> None:
    """Answer one request on standard input."""
    import torch

    configs, data, worker = pickle.load(sys.stdin.buffer)  # from the process that started this one
    reply, sys.stdout = sys.stdout.buffer, sys.stderr  # the reply alone goes to standard output
    torch.set_num_threads(worker.num_threads)
    pickle.dump([time_config(values, data, worker) for values in configs], reply)


if __name__ == "__main__":
    # Not the class of __main__: the request was pickled with the module's.
    from trainables.step_times import main as run

    run()
