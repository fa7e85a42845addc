"""Gangs on a real Ray: trials come and go, fail, and lose their workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.integration.conftest import Lessee, equal_states, load_state, make_config
from trainables.orders import Finished, Lost, Save, Start, TrainEpoch, TrialFailure

pytestmark = pytest.mark.ray


def train(lessee: Lessee, config: dict[str, Any], epochs: int, checkpoint: Any = None) -> Any:
    started = lessee.order(Start(config, checkpoint))
    assert isinstance(started, Finished), started
    for _ in range(epochs):
        reply = lessee.order(TrainEpoch())
        assert isinstance(reply, Finished), reply
    return reply.result


def test_the_same_seed_gives_the_same_curve_on_either_gang(desk: Any) -> None:
    first, second = Lessee(desk, "first"), Lessee(desk, "second")
    assert first.ticket.gang != second.ticket.gang
    losses = [train(lessee, make_config(seed=3), 2)["val_loss"] for lessee in (first, second)]
    assert losses[0] == losses[1]
    first.release()
    second.release()


def test_an_exploit_takes_the_donors_weights_and_runs_with_the_new_values(
    desk: Any, tmp_path: Path
) -> None:
    donor, victim = Lessee(desk, "donor"), Lessee(desk, "victim")
    train(donor, make_config(seed=1), 2)
    train(victim, make_config(seed=2), 1)
    donated = str(tmp_path / "donor")
    donor.order(Save(donated))

    explored = make_config(seed=1, learning_rate=0.02, momentum=0.5)
    started = victim.order(Start(explored, donated))
    assert started.result["epoch"] == 2  # goes on from the donor's
    taken = str(tmp_path / "victim")
    victim.order(Save(taken))
    for part in ("model", "optimizer", "stream_seed"):
        assert equal_states(load_state(donated)[part], load_state(taken)[part]), part

    # The donor goes on with its own values, the victim with the explored ones.
    rates = [lessee.order(TrainEpoch()).result["learning_rate"] for lessee in (donor, victim)]
    assert rates[1] == pytest.approx(rates[0] * 0.02 / 0.05)
    donor.release()
    victim.release()


def test_pause_and_resume_at_any_epoch_equals_the_undisturbed_run(
    desk: Any, tmp_path: Path
) -> None:
    lessee = Lessee(desk, "undisturbed")
    config = make_config(seed=5)
    undisturbed = str(tmp_path / "undisturbed")
    train(lessee, config, 4)
    lessee.order(Save(undisturbed))
    for epoch in (1, 2, 3):
        paused, resumed = str(tmp_path / f"paused{epoch}"), str(tmp_path / f"resumed{epoch}")
        train(lessee, config, epoch)
        lessee.order(Save(paused))
        train(lessee, make_config(seed=9, width=8), 1)  # another trial comes between
        train(lessee, config, 4 - epoch, paused)
        lessee.order(Save(resumed))
        assert equal_states(load_state(undisturbed), load_state(resumed))
    lessee.release()


def test_a_nan_fails_its_trial_only(desk: Any) -> None:
    lessee = Lessee(desk, "diverges")
    # Each step multiplies the weights by 1 - 100, so they overflow soon.
    lessee.order(Start(make_config(learning_rate=100.0, weight_decay=1.0, num_epochs=100)))
    replies = [lessee.order(TrainEpoch()) for _ in range(20)]
    failure = next(reply for reply in replies if isinstance(reply, TrialFailure))
    assert "must be finite" in failure.reason
    assert "TrainingError" in failure.traceback
    assert train(lessee, make_config(seed=3), 2)["epoch"] == 2  # the gang goes on
    assert lessee.ticket.generation == generation_of(desk, lessee.ticket.gang)
    lessee.release()


def test_a_failure_of_one_rank_alone_fails_the_trial_only(desk: Any, tmp_path: Path) -> None:
    lessee = Lessee(desk, "cannot save")
    expected = train(lessee, make_config(seed=3), 2)["val_loss"]
    (tmp_path / "file").touch()
    reply = lessee.order(TrainEpoch(str(tmp_path / "file" / "below")))  # only rank 0 writes
    assert isinstance(reply, TrialFailure)
    assert train(lessee, make_config(seed=3), 2)["val_loss"] == expected
    lessee.release()


def test_a_bad_config_fails_its_trial_only(desk: Any) -> None:
    lessee = Lessee(desk, "bad")
    reply = lessee.order(Start({**make_config(), "batch_size": 63}))
    assert isinstance(reply, TrialFailure)
    assert "batch_size" in reply.reason
    assert train(lessee, make_config(), 1)["epoch"] == 1
    lessee.release()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_brings_a_new_generation(desk: Any, rank: int) -> None:
    lessee = Lessee(desk, f"loses rank {rank}")
    gang = lessee.ticket.gang
    undisturbed = train(lessee, make_config(seed=3), 2)["val_loss"]
    pid = ray.get(desk.snapshot.remote())[gang]["workers"][rank][1]
    lessee.order(Start(make_config(seed=3, num_epochs=2000)))
    pending = desk.order.remote(lessee.ticket, TrainEpoch())
    os.kill(pid, signal.SIGKILL)
    reply = ray.get(pending)
    if isinstance(reply, Finished):  # the epoch was over before the signal came
        reply = lessee.order(TrainEpoch())
    assert isinstance(reply, Lost), reply
    deadline_s = time.monotonic() + 120
    while not (state := ray.get(desk.snapshot.remote())[gang])["is_ready"]:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert state["generation"] == lessee.ticket.generation + 1
    again = Lessee(desk, f"loses rank {rank}")
    assert train(again, make_config(seed=3), 2)["val_loss"] == undisturbed
    again.release()


def generation_of(desk: Any, gang: int) -> int:
    return int(ray.get(desk.snapshot.remote())[gang]["generation"])
