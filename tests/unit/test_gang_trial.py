"""A trial on a desk that answers here and now; Ray's Trainable needs no cluster for it."""

import pytest
import ray
from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.result import DONE, RESULT_DUPLICATE

from trainables import gang_trial
from trainables.epoch_result import unpack
from trainables.gang_trial import (
    MAX_LOSSES_PER_EPOCH,
    GangTrial,
    TrialFailedError,
    TrialSettings,
)
from trainables.orders import (
    Denied,
    Finished,
    Lost,
    Save,
    Start,
    Ticket,
    TrainEpoch,
    TrialFailure,
)
from trainables.trial_config import TrialConfig


class Remote:
    """A method of an actor, called here and now."""

    def __init__(self, method):
        self.remote = method


class Damaged:
    """Names of checkpoints that can't be read, with what they came from, as a store would tell."""

    def __init__(self, monkeypatch, previous):
        self.previous = {location: None for location in previous} | previous
        monkeypatch.setattr(gang_trial, "previous_checkpoint", self.look_up)

    def look_up(self, location):
        if location not in self.previous:
            raise FileNotFoundError(location)
        return self.previous[location]


class FakeDesk:
    """A desk with one gang, which trains without a model.

    Attributes:
        orders: all that were given.
        losses: numbers of the orders, from 0, at which the gang is lost.
        denials: numbers of the orders, from 0, that the budget doesn't pay; -1: no lease.
        stops_at: the epoch after which a trial's patience ends.
        fails_at: the epoch in which a trial fails.
        damaged: locations of checkpoints that no trial can start from.
    """

    def __init__(self, *, losses=(), denials=(), stops_at=None, fails_at=None, damaged=()):
        self.damaged = set(damaged)
        self.orders, self.num_leases, self.released = [], 0, []
        self.losses, self.stops_at, self.fails_at = set(losses), stops_at, fails_at
        self.denials = set(denials)
        self.lease, self.order = Remote(self._lease), Remote(self._order)
        self.release = Remote(self.released.append)

    def _lease(self, trial_id):
        self.num_leases += 1
        if -1 in self.denials:
            return Denied("the budget was spent")
        return Ticket(self.num_leases, trial_id, gang=0, generation=self.num_leases)

    def _order(self, ticket, order):
        self.orders.append(order)
        if len(self.orders) - 1 in self.losses:
            return Lost("worker 1 died")
        if len(self.orders) - 1 in self.denials:
            return Denied("the budget could not pay its next epoch")
        if isinstance(order, Start):
            name = order.checkpoint
            if name in self.damaged:
                return TrialFailure(f"{name} must be whole; go on", "Traceback ...", True)
            self.epoch = 0 if name is None else int(name.rsplit("epoch_")[1].partition("-")[0])
            return self._finished(ticket, epoch=self.epoch)
        if isinstance(order, Save):
            return self._finished(ticket, checkpoint=order.save_to)
        assert isinstance(order, TrainEpoch)
        self.epoch += 1
        if self.epoch == self.fails_at:
            return TrialFailure("out of memory", "Traceback ...")
        is_stopped = self.epoch == self.stops_at
        return self._finished(
            ticket, epoch=self.epoch, checkpoint=order.save_to, is_stopped_early=is_stopped
        )

    def _finished(self, ticket, **result):
        return Finished(result, gang_seconds=float(len(self.orders)), generation=ticket.generation)


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(GangTrial, "_setup_logdir", lambda self: None)  # a folder in the home


def make_trial(desk, *, num_epochs=4, checkpoint_epochs=1):
    class Trial(GangTrial):  # as tune.with_parameters does
        def setup(self, config):
            super().setup(config, settings=TrialSettings(desk, "/run", checkpoint_epochs))

    return Trial(TrialConfig(num_epochs=num_epochs).to_dict())


def steps(trial, number):
    return [unpack(trial.train()) for _ in range(number)]


def location(epoch, lease=1):
    return f"/run/default/epoch_{epoch:04d}-{lease}"


def test_a_trial_trains_epoch_by_epoch_on_one_lease():
    desk = FakeDesk()
    trial = make_trial(desk)
    results = steps(trial, 4)
    assert desk.orders == [
        Start(TrialConfig(num_epochs=4).to_dict(), None, num_to_save=1),
        *(TrainEpoch(location(epoch), num_to_save=1) for epoch in (1, 2, 3, 4)),
    ]
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert [result["done"] for result in results] == [False, False, False, True]
    assert [result["checkpoint"] for result in results] == [location(e) for e in (1, 2, 3, 4)]
    assert results[-1]["gang_seconds"] == 5.0
    trial.stop()
    assert [ticket.lease_id for ticket in desk.released] == [1]


def test_only_due_epochs_are_saved_and_the_last():
    results = steps(make_trial(FakeDesk(), checkpoint_epochs=3), 4)
    assert [r["checkpoint"] for r in results] == [None, None, location(3), location(4)]


@pytest.mark.parametrize("checkpoint_epochs", [1, 3])
def test_a_trial_whose_patience_ends_is_saved_and_done(checkpoint_epochs):
    desk = FakeDesk(stops_at=2)
    trial = make_trial(desk, checkpoint_epochs=checkpoint_epochs)
    first, last = steps(trial, 2)
    assert (first["done"], first["is_stopped_early"]) == (False, False)
    assert (last["done"], last["is_stopped_early"], last["epoch"]) == (True, True, 2)
    assert last["checkpoint"] == location(2)
    if checkpoint_epochs == 1:
        assert desk.orders[-1] == TrainEpoch(location(2), num_to_save=1)
    else:
        assert desk.orders[-2:] == [TrainEpoch(None), Save(location(2))]
    num_orders = len(desk.orders)
    assert trial.save().checkpoint.path == location(2)  # as Tune does at the end
    assert len(desk.orders) == num_orders


def test_a_gang_lost_before_an_early_stop_is_saved_costs_an_epoch():
    desk = FakeDesk(stops_at=2, losses=[3])  # Start, 1, 2, Save
    last = steps(make_trial(desk, checkpoint_epochs=3), 2)[-1]
    assert (last["done"], last["checkpoint"], last["generation"]) == (True, location(2, 2), 2)
    assert [type(order).__name__ for order in desk.orders[4:]] == [
        "Start", "TrainEpoch", "TrainEpoch", "Save",
    ]  # fmt: skip


def test_a_lost_gang_sends_a_trial_back_to_its_checkpoint():
    desk = FakeDesk(losses=[3])  # in the third epoch
    results = steps(make_trial(desk, checkpoint_epochs=2), 3)
    assert [result["epoch"] for result in results] == [1, 2, 3]
    assert [result["generation"] for result in results] == [1, 1, 2]
    assert desk.orders[4].checkpoint == location(2)


def test_a_gang_lost_again_and_again_is_the_trials_failure():
    desk = FakeDesk(losses=range(1, 100, 2))  # each time after the start
    trial = make_trial(desk)
    with pytest.raises(TrialFailedError, match="lost 3 times after epoch 0: worker 1 died"):
        trial.step()
    assert desk.num_leases == MAX_LOSSES_PER_EPOCH


def test_a_damaged_checkpoint_costs_its_epochs_and_is_told_once(monkeypatch):
    Damaged(monkeypatch, {location(2): location(1)})
    desk = FakeDesk(losses=[3], damaged=[location(2)])  # in the third epoch
    results = steps(make_trial(desk), 4)
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert [order.checkpoint for order in desk.orders if isinstance(order, Start)] == [
        None,
        location(2),
        location(1),
    ]
    assert results[2]["went_back"] == [
        f"{location(2)} must be whole; default goes on from default/epoch_0001-1"
    ]
    assert results[2]["went_back_to_epoch"] == 1
    assert results[2]["previous_checkpoint"] == location(2, 2)  # written again, on the new lease
    assert "went_back" not in results[3]


def test_a_trial_whose_checkpoints_are_all_damaged_begins_anew(monkeypatch):
    Damaged(monkeypatch, {location(2): location(1), location(1): None})
    desk = FakeDesk(losses=[3], damaged=[location(2), location(1)])
    results = steps(make_trial(desk), 3)
    assert results[2]["epoch"] == 3
    assert len(results[2]["went_back"]) == 2
    assert results[2]["went_back"][1].endswith("default goes on from the start")
    assert desk.orders[6] == Start(TrialConfig(num_epochs=4).to_dict(), None, num_to_save=1)


@pytest.mark.parametrize("previous", [{}, {"/run/donor/epoch_0002-1": None}])
def test_a_donors_first_checkpoint_has_no_other_in_its_place(monkeypatch, previous):
    """Weights of a beginning by the config of the one that copies would be nobody's."""
    Damaged(monkeypatch, previous)
    donors = "/run/donor/epoch_0002-1"
    trial = make_trial(FakeDesk(damaged=[donors]))
    trial.restore(_TrainingResult(tune.Checkpoint(donors), {}))
    with pytest.raises(TrialFailedError, match="must be whole; go on, but"):
        trial.step()


def test_the_donors_checkpoint_before_takes_the_place_of_a_damaged_one(monkeypatch):
    donors, before = "/run/donor/epoch_0003-1", "/run/donor/epoch_0002-1"
    Damaged(monkeypatch, {donors: before})
    trial = make_trial(FakeDesk(damaged=[donors]))
    trial.restore(_TrainingResult(tune.Checkpoint(donors), {}))
    (result,) = steps(trial, 1)
    assert (result["epoch"], result["went_back_to_epoch"]) == (4, 2)


def test_a_failure_keeps_the_workers_words():
    trial = make_trial(FakeDesk(fails_at=2))
    trial.train()
    with pytest.raises(TrialFailedError, match="out of memory\nTraceback"):
        trial.step()


def test_a_trial_is_saved_where_it_stands():
    desk = FakeDesk()
    trial = make_trial(desk, checkpoint_epochs=3)
    trial.train()
    assert trial.save().checkpoint.path == location(1)
    assert desk.orders[-1] == Save(location(1))


def test_tune_keeps_no_tables_with_a_checkpoint():
    class DeskWithTables(FakeDesk):
        def _finished(self, ticket, **result):
            return super()._finished(ticket, val_details="{}", **result)

    trial = make_trial(DeskWithTables())
    result = trial.train()
    metrics = trial.save().metrics
    assert unpack(result)["val_details"] == "{}"
    assert not {"val_details", "packed"} & set(metrics)
    assert (metrics["epoch"], metrics["training_iteration"]) == (1, 1)


def test_a_saved_trial_goes_on_in_another_actor():
    desk = FakeDesk()
    trial = make_trial(desk)
    steps(trial, 2)
    saved = trial.save()
    other = make_trial(desk)
    other.restore(saved)
    assert other.train()["epoch"] == 3
    assert desk.orders[-2].checkpoint == location(2)


def test_a_reused_actor_gives_the_gang_back_and_begins_anew():
    desk = FakeDesk()
    trial = make_trial(desk)
    trial.train()
    config = TrialConfig(num_epochs=2, width=8).to_dict()
    assert trial.reset_config(config)
    assert [ticket.lease_id for ticket in desk.released] == [1]
    assert trial.step()["epoch"] == 1
    assert desk.orders[-2] == Start(config, None, num_to_save=1)


@pytest.mark.parametrize(
    ("num_epochs", "checkpoint_epochs", "asked"),
    [(4, 1, [1, 1, 1, 1]), (5, 2, [2, 0, 2, 0, 1]), (4, 3, [3, 0, 0, 1]), (2, 9, [2, 0])],
)
def test_the_budget_is_asked_for_all_epochs_up_to_the_next_checkpoint(
    num_epochs, checkpoint_epochs, asked
):
    desk = FakeDesk()
    trial = make_trial(desk, num_epochs=num_epochs, checkpoint_epochs=checkpoint_epochs)
    steps(trial, num_epochs)
    start, *epochs = desk.orders
    assert start.num_to_save == asked[0]
    assert [order.num_to_save for order in epochs] == asked


@pytest.mark.parametrize("denied", [-1, 0, 1])
def test_a_trial_whose_first_epoch_is_not_paid_ends_without_a_result(denied):
    desk = FakeDesk(denials=[denied])
    result = make_trial(desk).train()
    assert result[RESULT_DUPLICATE]
    assert result[DONE]
    assert len(desk.released) == (denied >= 0)


def test_a_trial_that_is_not_paid_on_stays_as_it_was_saved():
    desk = FakeDesk(denials=[3])
    trial = make_trial(desk)
    steps(trial, 2)
    assert trial.train()[DONE]
    assert [ticket.lease_id for ticket in desk.released] == [1]
    num_orders = len(desk.orders)
    assert trial.save().checkpoint.path == location(2)
    assert len(desk.orders) == num_orders


def test_a_trial_that_may_not_even_be_saved_any_more_keeps_its_last_checkpoint():
    desk = FakeDesk(denials=[4])  # Start, 1, 2 (saved), 3, then Save of 3 by Tune
    trial = make_trial(desk, num_epochs=6, checkpoint_epochs=2)
    steps(trial, 3)
    assert trial.save().checkpoint.path == location(2)
