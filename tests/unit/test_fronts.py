import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.pareto import nondominated_ranks
from sweeps.schedulers.fronts import IncrementalFronts
from sweeps.schedulers.staircases import StaircaseFronts
from sweeps.schedulers.tie_orders import crowding_order, epsnet_order


def naive_ranks(losses):
    """Return ranks by the definition: equal points share one, weak dominance counts."""
    ranks, left = {}, list(range(len(losses)))
    rank = 0
    while left:
        front = [
            i
            for i in left
            if not any(
                (losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left
            )
        ]
        ranks |= dict.fromkeys(front, rank)
        left = [i for i in left if i not in front]
        rank += 1
    return [ranks[i] for i in range(len(losses))]


@pytest.mark.parametrize(
    ("kind", "num_objectives"),
    [(IncrementalFronts, 1), (IncrementalFronts, 2), (IncrementalFronts, 3), (StaircaseFronts, 2)],
)
@given(data=st.data())
def test_fronts_that_grow_are_the_fronts_of_all(kind, num_objectives, data):
    row = st.tuples(*[st.integers(0, 5)] * num_objectives)  # few values: many ties
    losses = np.array(data.draw(st.lists(row, min_size=1, max_size=40)), dtype=float)
    fronts = kind()
    for key, point in enumerate(losses):
        rank = fronts.add(key, point)
        assert fronts.rank(point) == rank
        assert rank == naive_ranks(losses[: key + 1])[key]
    expected = naive_ranks(losses)
    assert expected == nondominated_ranks(losses).tolist()
    assert fronts.num_ranks == max(expected) + 1
    for rank in range(fronts.num_ranks):
        assert fronts.size(rank) == expected.count(rank)
        keys, points = fronts.front(rank)
        assert sorted(keys) == [i for i, other in enumerate(expected) if other == rank]
        np.testing.assert_array_equal(points, losses[keys])
        num_before = sum(len(fronts.front(lower)[0]) for lower in range(rank))
        assert num_before == sum(other < rank for other in expected)


def test_epsnet_takes_the_farthest_from_all_before():
    losses = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.5, 0.5]])
    assert epsnet_order(losses).tolist() == [0, 2, 3, 1]


def test_crowding_takes_the_ends_and_then_the_loneliest():
    losses = np.array([[0.0, 1.0], [0.1, 0.9], [0.15, 0.85], [0.6, 0.4], [1.0, 0.0]])
    order = crowding_order(losses).tolist()
    assert set(order[:2]) == {0, 4}
    assert order[2] == 3
    assert order[3:] == [2, 1]


@pytest.mark.parametrize("order", [epsnet_order, crowding_order])
@given(
    losses=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=20).map(
        lambda rows: np.array(rows, dtype=float).reshape(-1, 2)
    )
)
def test_an_order_holds_each_member_once_and_leaves_the_losses_alone(order, losses):
    before = losses.copy()
    assert sorted(order(losses).tolist()) == list(range(len(losses)))
    np.testing.assert_array_equal(losses, before)
