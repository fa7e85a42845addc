import dataclasses
import json
import threading
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import ray
import torch
from sample_data import random_data

from sweeps.errands import MAX_LOSSES, Errand, ErrandError
from sweeps.journal import Journal, read_journal
from sweeps.retraining import EVENT, further_seeds, retrain, segments_of
from sweeps.run_folder import RunFolder
from sweeps.trial_record import TrialRecord
from trainables.gang import Worker
from trainables.orders import (
    Denied,
    Done,
    Finished,
    Lost,
    NoGangLeftError,
    Start,
    Ticket,
    TrainEpoch,
    TrialFailure,
)
from trainables.trial_config import TrialConfig

SEED = 7
CONFIG = TrialConfig(width=4, batch_size=16, num_epochs=3, seed=SEED, learning_rate=0.01)
SLOWER = dataclasses.replace(CONFIG, learning_rate=0.001, seed=9).to_dict()


def make_trial(trial_id="a", *steps, epoch=3, **fields):
    lineage = [
        {"from_epoch": begin, "parent_trial_id": None, "config": json.dumps(config)}
        for begin, config in steps or ((0, CONFIG.to_dict()),)
    ]
    config = json.loads(lineage[-1]["config"])
    return TrialRecord(trial_id, config, "completed", epoch=epoch, lineage=lineage, **fields)


class Remote:
    """A method of an actor, called here and now."""

    def __init__(self, method):
        self.remote = method


class Desk:
    """A desk with one gang of one worker that really trains.

    Args:
        data: of the sweep, without its test part.
        answers: by the number of an order, what is replied in place of carrying it out.
    """

    def __init__(self, data, answers=(), no_lease=None):
        self._worker = Worker(0, 1, torch.device("cpu"), data.on_device(torch.device("cpu")))
        self._answers, self._no_lease = dict(answers), no_lease
        self.guard = threading.Lock()
        self.orders, self.leases, self.released, self.forgotten = [], [], [], []
        for name in ("lease", "order", "release", "release_trial"):
            setattr(self, name, Remote(getattr(self, f"_{name}")))

    def _lease(self, name, purpose, owner):
        if self._no_lease is not None:
            raise self._no_lease
        self.leases.append((name, purpose, owner))
        return Ticket(len(self.leases), name, 0, 1)

    def _order(self, ticket, order):
        self.orders.append((ticket.trial_id, order))
        reply = self._answers.get(len(self.orders))
        if callable(reply):
            return reply()
        if reply is not None:
            return reply
        torch.set_num_threads(1)  # of this thread: more would spin where cores are shared
        outcome = self._worker.carry_out(order)
        if isinstance(outcome, Done):
            return Finished(outcome.result, 1.0, 1)
        return TrialFailure(outcome.reason, outcome.traceback)

    def _release(self, ticket):
        self.released.append(ticket.trial_id)

    def _release_trial(self, name):
        self.forgotten.append(name)


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    """Objects are their own references, and all threads of the test add in one order."""
    monkeypatch.setattr(ray, "get", lambda value, timeout=None: value)
    monkeypatch.setattr(ray, "put", lambda value: value)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


class Sweep:
    """A sweep in a folder, as far as further trainings need one."""

    def __init__(self, path, *, seeds=1, answers=(), no_lease=None, past=None):
        self.data = random_data()
        self.desk = Desk(self.data.without_test(), answers, no_lease)
        self.folder = RunFolder(path, overwrite=False, is_resumed=True)
        self.folder.create()
        events = [] if past is None else past
        self.told, self.stop = [], threading.Event()
        self.journal = Journal(self.folder.journal, len(events))
        spec = SimpleNamespace(seeds=seeds, seed=0, checkpoint_epochs=1)
        gangs = SimpleNamespace(num_gangs=1, gpus_per_gang=2.0)
        self.sweep = SimpleNamespace(
            plan=SimpleNamespace(spec=spec, gangs=gangs),
            spending=SimpleNamespace(usd_per_gang_hour=3600.0),
            folder=self.folder,
            data=self.data,
            storage=str(self.folder.checkpoints),
            past=None if past is None else SimpleNamespace(all_events=events),
        )
        self.tell = self.told.append

    def retrain(self, *trials):
        retrain(self, trials)
        self.journal.close()
        return self.rows()

    def rows(self):
        return pq.read_table(self.folder.path / "seeds.parquet").to_pylist()


def test_further_seeds_are_new_and_their_beginning_is_kept():
    trial = make_trial()
    seeds = further_seeds(trial, 5)
    assert len({SEED, *seeds}) == 6
    assert further_seeds(trial, 2) == seeds[:2]
    assert further_seeds(make_trial("b", (0, SLOWER)), 5) != seeds


def test_a_lineage_is_followed_with_one_other_seed():
    trial = make_trial("a", (0, CONFIG.to_dict()), (2, SLOWER))
    found = segments_of(trial, 5)
    assert found == [({**CONFIG.to_dict(), "seed": 5}, 2), ({**SLOWER, "seed": 5}, 3)]


def test_a_trial_that_was_stopped_is_trained_as_far_and_one_out_of_patience_till_it_is():
    assert segments_of(make_trial(epoch=2), 5)[-1][1] == 2
    assert segments_of(make_trial(epoch=2, is_stopped_early=True), 5)[-1][1] == 3


def test_finalists_are_trained_again_and_tested(tmp_path):
    sweep = Sweep(tmp_path, seeds=2)
    first, second = make_trial(), make_trial("b", (0, CONFIG.to_dict()), (2, SLOWER))
    rows = sweep.retrain(first, second)
    assert [(r["trial_id"], r["seed"]) for r in rows] == [
        (trial.trial_id, seed) for trial in (first, second) for seed in further_seeds(trial, 2)
    ]
    for row in rows:
        assert (row["status"], row["reason"], row["epoch"]) == ("finished", None, 3)
        assert all(row[f"{part}_loss"] > 0 for part in ("train", "val", "test"))
        assert 0 <= row["test_accuracy"] <= 1
        assert row["gpu_seconds"] == pytest.approx(2 * row["cost_usd"])
        assert row["cost_usd"] > 0
    assert len({row["train_loss"] for row in rows}) == 4
    # All finalists come before any comes again.
    assert [owner for _, _, owner in sweep.desk.leases] == ["a", "b", "a", "b"]
    assert {purpose for _, purpose, _ in sweep.desk.leases} == {"retraining"}
    assert len({name for name, _, _ in sweep.desk.leases}) == 4
    assert sweep.desk.released == [name for name, _, _ in sweep.desk.leases]
    assert list(sweep.folder.checkpoints.iterdir()) == []
    assert sweep.told[0] == "training finalists again, 4 times in all: a, b"
    assert "(4 of 4 ended)" in sweep.told[-1]


def test_with_its_own_seed_it_would_be_the_trial_itself(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path)
    monkeypatch.setattr("sweeps.retraining.further_seeds", lambda trial, num: [SEED])
    (row,) = sweep.retrain(make_trial())
    worker = Worker(0, 1, torch.device("cpu"), sweep.data.on_device(torch.device("cpu")))
    worker.carry_out(Start(CONFIG.to_dict()))
    for _ in range(3):
        result = worker.carry_out(TrainEpoch()).result
    assert (row["train_loss"], row["val_loss"]) == (result["train_loss"], result["val_loss"])


@pytest.mark.parametrize("lost_at", range(1, 6))  # Start, three epochs, Examine
def test_a_lost_gang_changes_nothing(tmp_path, lost_at):
    (expected,) = Sweep(tmp_path / "a").retrain(make_trial())
    sweep = Sweep(tmp_path / "b", answers={lost_at: Lost("worker 1 died")})
    (row,) = sweep.retrain(make_trial())
    times = ("gpu_seconds", "cost_usd")
    assert {n: v for n, v in row.items() if n not in times} == {
        n: v for n, v in expected.items() if n not in times
    }
    num_epochs = sum(isinstance(order, TrainEpoch) for _, order in sweep.desk.orders)
    assert num_epochs == 3 + (2 <= lost_at <= 4)  # the epoch that was lost
    assert list(sweep.folder.checkpoints.iterdir()) == []


def test_losses_count_anew_after_each_checkpoint(tmp_path):
    lost = Lost("worker 1 died")
    # Start, epoch and two losses; then again.
    answers = {3: lost, 4: lost, 7: lost, 8: lost}
    (row,) = Sweep(tmp_path / "a", answers=answers).retrain(make_trial())
    assert row["status"] == "finished"
    sweep = Sweep(tmp_path / "b", answers=dict.fromkeys(range(3, 3 + MAX_LOSSES), lost))
    (row,) = sweep.retrain(make_trial())
    assert (row["status"], row["epoch"], row["train_loss"]) == ("failed", 1, None)
    assert row["reason"] == "its gang was lost 3 times: worker 1 died"


def test_a_failure_is_entered_and_others_go_on(tmp_path):
    sweep = Sweep(tmp_path, answers={2: TrialFailure("train_loss is nan", "Traceback ...")})
    rows = sweep.retrain(make_trial(), make_trial("b", (0, SLOWER)))
    assert [(r["status"], r["reason"], r["epoch"]) for r in rows] == [
        ("failed", "train_loss is nan", 0), ("finished", None, 3),
    ]  # fmt: skip
    assert rows[0]["val_accuracy"] is rows[0]["test_accuracy"] is None
    assert rows[0]["cost_usd"] > 0
    assert any("failed after epoch 0: train_loss is nan" in line for line in sweep.told)


def test_what_is_not_paid_is_not_trained_and_said(tmp_path):
    denied = Denied("the budget could not pay its next 3 epochs")
    sweep = Sweep(tmp_path, seeds=2, answers={6: denied, 7: denied})
    (row,) = sweep.retrain(make_trial(), make_trial("b", (0, SLOWER)))[:1]
    assert row["trial_id"] == "a"
    assert sweep.told[-1] == f"2 of 4 further trainings were not made: {denied.reason}"
    assert len(sweep.rows()) == 2


def test_without_a_gang_left_none_is_made(tmp_path):
    error = ray.exceptions.RayTaskError("lease", "Traceback ...", NoGangLeftError("gang 0 ended"))
    sweep = Sweep(tmp_path, no_lease=error)
    assert sweep.retrain(make_trial()) == []
    assert sweep.told[-1].endswith("were not made: it got no gang: gang 0 ended")


def test_an_interrupt_ends_it_within_an_epoch_and_the_rest_is_made_later(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path, seeds=2)

    def interrupted():
        sweep.stop.set()
        return "an order that takes long"

    def get(value, timeout=None):
        if timeout is not None and value == "an order that takes long":
            raise ray.exceptions.GetTimeoutError
        return value

    sweep.desk._answers = {8: interrupted}  # in the second training
    monkeypatch.setattr(ray, "get", get)
    done = sweep.retrain(make_trial())
    assert len(done) == 1
    cut = sweep.desk.leases[-1][0]
    assert cut in sweep.desk.forgotten
    assert sweep.told[-1] == ("1 of 2 further trainings were not made: the sweep was interrupted")
    past = read_journal(sweep.folder.journal)
    assert [event.kind for event in past] == [EVENT]

    again = Sweep(tmp_path, seeds=2, past=past)
    assert again.retrain(make_trial())[0] == done[0]
    assert [name for name, _, _ in again.desk.leases] == [cut]  # and not the first again
    assert len(again.rows()) == 2
    third = Sweep(tmp_path, seeds=2, past=read_journal(again.folder.journal))
    assert third.retrain(make_trial()) == again.rows()
    assert third.desk.leases == third.told == []


def test_nobody_asked_for_it(tmp_path):
    sweep = Sweep(tmp_path, seeds=0)
    retrain(sweep, [make_trial()])
    assert not (tmp_path / "seeds.parquet").exists()


def test_an_errand_that_shall_stop_asks_for_nothing():
    desk = SimpleNamespace(
        lease=Remote(lambda *_: "a wait for a gang"), release_trial=Remote(lambda name: None)
    )
    errand = Errand(desk, "a.seed_1", "retraining", "a", is_stopping=lambda: True)
    with pytest.raises(ErrandError, match="the sweep was interrupted"):
        errand.run(lambda carry_out, ticket: None)
    assert errand.held_seconds == 0
