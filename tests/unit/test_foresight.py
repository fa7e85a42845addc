import numpy as np

from sweeps.schedulers.foresight import MIN_PAIRS, Foresight, rank_correlation


def judged(later_of, num=200):
    """Return a rung's foresight after trials whose best third reached the next rung."""
    foresight = Foresight(3)
    losses = np.random.default_rng(0).permutation(num) / num
    for number, loss in enumerate(losses):
        foresight.add(str(number), loss)
    for number, loss in enumerate(losses):
        if loss < 1 / 3:
            foresight.add_later(str(number), later_of(number, loss))
    return foresight


def test_an_order_that_stays_says_something():
    assert not judged(lambda number, loss: 2 * loss).says_nothing


def test_an_order_that_turns_says_nothing():
    assert judged(lambda number, loss: -loss).says_nothing


def test_who_is_far_behind_does_not_speak_for_the_rung():
    foresight = Foresight(3)
    for number in range(300):
        foresight.add(str(number), float(number))
    for number in range(300):  # the best third turns round, all others stay behind
        foresight.add_later(str(number), -number if number < 100 else 1000.0 + number)
    assert foresight.says_nothing


def test_few_pairs_and_equal_losses_contradict_nothing():
    foresight = Foresight(3)
    for number in range(3 * MIN_PAIRS):
        foresight.add(str(number), float(number))
    for number in range(MIN_PAIRS - 1):
        foresight.add_later(str(number), float(-number))
    foresight.add_later("never seen at the rung", 0.0)
    assert not foresight.says_nothing
    assert rank_correlation(np.array([[1.0, 2.0], [1.0, 3.0]])) == 1.0
