import json

import pytest

from sweeps.lineage import LineageTraining, segments
from trainables.orders import Start, TrainEpoch

A, B, C = ({"learning_rate": rate} for rate in (0.1, 0.2, 0.3))


def step(from_epoch, config, parent=None):
    return {
        "from_epoch": from_epoch,
        "parent_trial_id": parent,
        "config": json.dumps(config),
    }


@pytest.mark.parametrize(
    ("lineage", "epoch", "expected"),
    [
        ([step(0, A)], 5, [(A, 5)]),
        ([step(0, A), step(2, B, "donor")], 5, [(A, 2), (B, 5)]),
        ([step(0, A), step(2, B, "x"), step(4, C, "y")], 5, [(A, 2), (B, 4), (C, 5)]),
    ],
)
def test_each_config_is_used_up_to_the_next(lineage, epoch, expected):
    assert list(segments({"lineage": lineage, "epoch": epoch})) == expected


class Gang:
    """Counts epochs, and is lost before a given order."""

    def __init__(self, patience_ends=None):
        self.orders, self.epoch, self.patience_ends, self.lost_at = [], 0, patience_ends, None

    def carry_out(self, order):
        if len(self.orders) == self.lost_at:
            raise ConnectionError
        self.orders.append(order)
        if isinstance(order, Start):
            self.epoch = 0 if order.checkpoint is None else int(order.checkpoint[1:])
            return {"epoch": self.epoch}
        self.epoch += 1
        is_early = self.epoch == self.patience_ends
        return {"epoch": self.epoch, "checkpoint": order.save_to, "is_stopped_early": is_early}


LINEAGE = [(A, 2), (B, 5)]


def go_on(training, gang):
    training.go_on(gang.carry_out, "e{}".format)


def test_each_config_goes_on_from_the_last_ones_checkpoint():
    gang, heard = Gang(), []
    training = LineageTraining(LINEAGE, lambda result: heard.append(result["epoch"]))
    go_on(training, gang)
    assert gang.orders == [
        Start(A, None, num_to_save=5),  # a budget is asked for all of it
        TrainEpoch(), TrainEpoch("e2"),
        Start(B, "e2"),
        TrainEpoch(), TrainEpoch(), TrainEpoch("e5"),
    ]  # fmt: skip
    assert heard == [1, 2, 3, 4, 5]
    assert (training.result["epoch"], training.checkpoint) == (5, "e5")


@pytest.mark.parametrize(("step", "saved"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [2, 5])])
def test_checkpoints_come_as_often_as_asked_for_and_where_a_config_ends(step, saved):
    gang = Gang()
    go_on(LineageTraining(LINEAGE, lambda _: None, step), gang)
    written = [o.save_to for o in gang.orders if isinstance(o, TrainEpoch) and o.save_to]
    assert written == [f"e{epoch}" for epoch in saved]


@pytest.mark.parametrize("lost_at", range(1, 8))
def test_a_lost_gang_takes_it_back_to_the_last_checkpoint(lost_at):
    training = LineageTraining(LINEAGE, lambda _: None, 2)
    first = Gang()
    first.lost_at = lost_at
    try:
        go_on(training, first)
    except ConnectionError:
        second = Gang()
        go_on(training, second)
        start = second.orders[0]
        saved = training.segments[-1][1] - start.num_to_save
        assert start.checkpoint == (f"e{saved}" if saved else None)
        assert start.config == (A if saved < 2 else B)
        assert sum(isinstance(o, TrainEpoch) for o in second.orders) == 5 - saved
    assert training.result["epoch"] == 5


def test_patience_ends_it_where_it_counts():
    training = LineageTraining(LINEAGE, lambda _: None, 1, has_patience=True)
    go_on(training, Gang(patience_ends=4))
    assert training.result["epoch"] == 4
    again = Gang(patience_ends=4)
    go_on(training, again)  # its gang was lost after its end: there is nothing left to train
    assert again.orders == [Start(B, "e4")]
    without = LineageTraining(LINEAGE, lambda _: None, 1)
    go_on(without, Gang(patience_ends=4))
    assert without.result["epoch"] == 5
