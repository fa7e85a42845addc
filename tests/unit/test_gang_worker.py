"""A gang's worker without a cluster: orders, and what becomes of a trial's exceptions."""

from __future__ import annotations

import pytest
import torch
from sample_data import random_data

from trainables.checkpoint_store import previous_checkpoint, read_checkpoint
from trainables.errors import TrainingError
from trainables.gang import GangSettings, Worker, failure_reason, worker_environment
from trainables.orders import Done, Failed, Save, Start, TrainEpoch
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=4, batch_size=16, num_epochs=2).to_dict()


@pytest.fixture
def worker() -> Worker:
    device = torch.device("cpu")
    return Worker(0, 1, device, random_data().on_device(device))


def test_orders_train_save_and_go_on(worker, tmp_path):
    assert worker.carry_out(Start(CONFIG)) == Done({"epoch": 0})
    trained = worker.carry_out(TrainEpoch(str(tmp_path / "one")))
    assert trained.result["epoch"] == 1
    assert trained.result["checkpoint"] == str(tmp_path / "one")
    assert worker.carry_out(Save(str(tmp_path / "again"))).result["checkpoint"].endswith("again")
    assert worker.carry_out(Start(CONFIG, str(tmp_path / "one"))) == Done({"epoch": 1})


def test_a_failed_start_leaves_the_worker_usable(worker):
    failed = worker.carry_out(Start({**CONFIG, "width": 0}))
    assert isinstance(failed, Failed)
    assert "width must be" in failed.reason
    assert "Traceback" in failed.traceback
    assert worker.carry_out(Start(CONFIG)) == Done({"epoch": 0})


def test_a_lost_checkpoint_is_the_trials_failure(worker, tmp_path):
    failed = worker.carry_out(Start(CONFIG, str(tmp_path / "gone")))
    assert isinstance(failed, Failed)
    assert "must be a whole checkpoint" in failed.reason


def test_a_damaged_checkpoint_is_called_so_and_the_one_before_is_exact(worker, tmp_path):
    """From the one before, the epoch comes out as it did: bit for bit."""
    first, second = (str(tmp_path / "a" / f"epoch_000{n}-1") for n in (1, 2))
    worker.carry_out(Start(CONFIG))
    worker.carry_out(TrainEpoch(first))
    worker.carry_out(TrainEpoch(second))
    assert (previous_checkpoint(second), previous_checkpoint(first)) == (first, None)
    loaded = read_checkpoint(second, torch.device("cpu"))["model"]
    whole = {name: tensor.clone() for name, tensor in loaded.items()}  # not of the file any more
    state = tmp_path / "a" / "epoch_0002-1" / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    failed = worker.carry_out(Start(CONFIG, second))
    assert isinstance(failed, Failed)
    assert failed.is_bad_checkpoint
    assert "differs from its checksum" in failed.reason
    worker.carry_out(Start(CONFIG, previous_checkpoint(second)))
    again = str(tmp_path / "a" / "epoch_0002-2")
    worker.carry_out(TrainEpoch(again))
    weights = read_checkpoint(again, torch.device("cpu"))["model"]
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    assert previous_checkpoint(again) == first


def test_a_trials_own_failure_is_no_bad_checkpoint(worker):
    failed = worker.carry_out(Start({**CONFIG, "width": 0}))
    assert isinstance(failed, Failed)
    assert not failed.is_bad_checkpoint


def test_a_real_out_of_memory_is_called_so():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert failure_reason(caught.value).startswith("out of memory: ")
    assert failure_reason(
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
    ).startswith("out of memory: ")
    assert failure_reason(MemoryError()) == "out of memory: MemoryError"


def test_other_reasons_are_one_line():
    assert failure_reason(TrainingError("loss must be finite\nmore")) == "loss must be finite"
    assert failure_reason(KeyError("x")) == "KeyError: 'x'"


def test_threads_are_set_on_purpose():
    environment = worker_environment(GangSettings(2, 0.5, 0, 3, "unused"))
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
