import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.pareto import is_front, losses, nondominated_ranks
from analysis.records import Objective

# Few distinct values, so that ties, duplicates and weak dominance occur in most examples.
tied_losses = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5).map(
        lambda shape: (shape[0] * 4, shape[1])
    ),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]),
)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


def naive_ranks(rows):
    """The definition itself: take the front away, again and again."""
    ranks, left, rank = {}, set(range(len(rows))), 0
    while left:
        front = {i for i in left if not any(dominates(rows[j], rows[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left -= front
        rank += 1
    return [ranks[i] for i in range(len(rows))]


@given(tied_losses)
def test_ranks_equal_the_naive_ones(values):
    before = values.copy()
    ranks = nondominated_ranks(values)
    assert ranks.tolist() == naive_ranks(values.tolist())
    np.testing.assert_array_equal(is_front(values), ranks == 0)
    np.testing.assert_array_equal(values, before)


@given(tied_losses)
def test_max_is_the_mirror_image_of_min(values):
    names = [f"c{i}" for i in range(values.shape[1])]
    columns = {name: values[:, i] for i, name in enumerate(names)}
    mirrored = {name: -column for name, column in columns.items()}
    np.testing.assert_array_equal(
        losses(columns, [Objective(name, "min") for name in names]),
        losses(mirrored, [Objective(name, "max") for name in names]),
    )


@given(tied_losses, st.randoms(use_true_random=False))
def test_order_of_trials_does_not_matter(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        nondominated_ranks(values[order]), nondominated_ranks(values)[order]
    )


def test_equal_trials_share_a_rank_and_weakly_dominated_ones_come_later():
    values = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 3.0]])
    assert nondominated_ranks(values).tolist() == [0, 0, 1, 0]
    assert is_front(values).tolist() == [True, True, False, True]


def test_one_objective_ranks_by_value():
    assert nondominated_ranks(np.array([[3.0], [1.0], [3.0], [2.0]])).tolist() == [2, 0, 2, 1]


def test_infinite_losses_are_ranked():
    assert nondominated_ranks(np.array([[np.inf, 0.0], [0.0, 0.0]])).tolist() == [1, 0]


def test_no_trials_give_no_ranks():
    assert nondominated_ranks(np.zeros((0, 2))).shape == (0,)
    assert is_front(np.zeros((0, 2))).shape == (0,)


def test_many_trials_are_ranked_quickly_enough_to_be_vectorised():
    values = np.random.default_rng(0).random((100_000, 2))
    front = is_front(values)
    np.testing.assert_array_equal(nondominated_ranks(values) == 0, front)


@pytest.mark.parametrize("rank", [nondominated_ranks, is_front])
@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.array([[np.nan, 1.0], [0.0, 0.0]]), "no NaN, got 1 such rows"),
        (np.zeros(3), "shape"),
        (np.zeros((3, 0)), "shape"),
    ],
)
def test_bad_losses_are_refused(rank, values, match):
    with pytest.raises(ValueError, match=match):
        rank(values)


def test_losses_of_a_table_turn_nulls_into_nan():
    table = pa.table({"epoch": pa.array([1, None], pa.int32()), "cost_usd": [0.0, 2.5]})
    loss = losses(table, [Objective("epoch", "max"), Objective("cost_usd", "min")])
    np.testing.assert_array_equal(loss, [[-1.0, 0.0], [np.nan, 2.5]])


def test_losses_hold_no_negative_zero():
    loss = losses({"val_accuracy": [0.0]}, [Objective("val_accuracy", "max")])
    assert not np.signbit(loss).any()


def test_losses_need_objectives_that_are_columns():
    with pytest.raises(ValueError, match="at least one column, got none"):
        losses({"val_loss": [1.0]}, [])
    with pytest.raises(ValueError, match="got 'cost_usd'; choose from val_loss"):
        losses({"val_loss": [1.0]}, [Objective("cost_usd", "min")])
