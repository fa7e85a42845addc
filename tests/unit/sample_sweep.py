"""A planned sweep and its run folder, small enough for the tests of sweeps."""

from sample_data import random_data

from sweeps.plan import SweepPlan, plan_sweep
from sweeps.recorder import SweepRecorder
from sweeps.resources import GangPlan
from sweeps.run_folder import RunFolder
from sweeps.spec import SweepSpec
from sweeps.trial_record import Architecture, Pricing

TWO_GANGS = GangPlan(
    num_gangs=2, workers_per_gang=2, cpus_per_worker=0.5, gpus_per_worker=0, threads_per_worker=1
)


def make_plan(gangs=TWO_GANGS, **flags) -> SweepPlan:
    """Plan a sweep over 8x8 images with a batch size of 16 unless told otherwise."""
    return plan_sweep(SweepSpec(**{"batch_size": 16, **flags}), gangs, random_data(), None)


def make_result(epoch: int, **columns) -> dict:
    """Return what a trial reports after an epoch."""
    return {
        "epoch": epoch,
        "gang": 0,
        "generation": 1,
        "train_loss": 1.0 / epoch,
        "val_loss": 2.0 / epoch,
        "val_accuracy": 1 - 0.5 / epoch,
        "learning_rate": 0.1,
        "train_seconds": 1.0,
        "val_seconds": 0.5,
        "started_unix_s": 100.0 * epoch,
        "ended_unix_s": 100.0 * epoch + 1.5,
        "gang_seconds": 10.0 * epoch,
        "checkpoint": None,
        "done": False,
        "num_train_samples": 64,
        "is_stopped_early": False,
    } | columns


def describe(config) -> Architecture:
    """Say that width decides everything."""
    width = config["width"]
    return Architecture(
        f"width {width}", {"num_parameters": 100 * width, "latency_p50_ms": width / 8}
    )


def make_recorder(
    folder: RunFolder,
    *,
    price=None,
    carbon=None,
    gpus_per_gang=0.0,
    clock=lambda: 0.0,
    objectives=("val_accuracy", "latency_p50_ms"),
) -> SweepRecorder:
    """Return the recorder of a run folder that exists; `price` is that of a gang."""
    folder.create()
    pricing = Pricing(gpus_per_gang, price, carbon)
    return SweepRecorder(folder, describe, pricing, objectives, clock)
