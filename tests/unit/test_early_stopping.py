import math

from hypothesis import given
from hypothesis import strategies as st

from trainables.early_stopping import EarlyStopping

LOSSES = st.lists(st.sampled_from([0.5, 1.0, 2.0, math.inf, math.nan]), max_size=12)


def decisions(stopping, losses):
    return [stopping.update(loss) for loss in losses]


def test_it_stops_when_the_patience_is_over():
    losses = [1.0, 0.8, 0.9, 0.8, 0.7, 0.7, 0.7]
    assert decisions(EarlyStopping(2), losses) == [False] * 3 + [True, False, False, True]


def test_no_patience_given_means_never():
    assert not any(decisions(EarlyStopping(0), [1.0] * 20))


def test_a_loss_that_is_no_number_is_no_improvement():
    assert decisions(EarlyStopping(2), [math.nan, math.nan]) == [False, True]
    assert decisions(EarlyStopping(2), [1.0, math.nan, 0.5]) == [False, False, False]


@given(LOSSES, st.integers(1, 4))
def test_it_stops_exactly_when_the_last_epochs_held_no_new_best(losses, patience):
    for epoch, is_stopped in enumerate(decisions(EarlyStopping(patience), losses)):
        best, best_epoch = math.inf, -1
        for past, loss in enumerate(losses[: epoch + 1]):
            if loss < best:
                best, best_epoch = loss, past
        assert is_stopped == (epoch - best_epoch >= patience)


@given(LOSSES, LOSSES)
def test_a_resume_decides_the_same(before, after):
    stopping, resumed = EarlyStopping(3), EarlyStopping(3)
    decisions(stopping, before)
    resumed.load_state_dict(stopping.state_dict())
    assert decisions(resumed, after) == decisions(stopping, after)
