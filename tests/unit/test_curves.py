import pytest
from fake_run import fake_trial, write_run
from hypothesis import given
from hypothesis import strategies as st

from analysis.curves import _is_kept, learning_curves
from analysis.lineage import Exploit, Segment, gather_exploits, gather_lineages, schedule
from analysis.load import load_run


@pytest.fixture
def make_run(tmp_path):
    return lambda trials, **files: load_run(write_run(tmp_path / "run", trials, **files))


def reports(trial_id, *pairs, **columns):
    return [
        {"trial_id": trial_id, "epoch": epoch, "val_accuracy": accuracy} | columns
        for epoch, accuracy in pairs
    ]


def test_curves_of_interleaved_trials(make_run):
    a, b = reports("a", (1, 0.1), (2, 0.2)), reports("b", (1, 0.5), (2, None))
    run = make_run([fake_trial("a"), fake_trial("b")], results=[a[0], b[0], b[1], a[1]])
    curves = learning_curves(run, "val_accuracy")
    assert curves["a"].epochs.tolist() == [1, 2]
    assert curves["a"].values.tolist() == [0.1, 0.2]
    assert str(curves["b"].values.tolist()) == "[0.5, nan]"


def test_epochs_that_came_again_are_of_the_weights_that_went_on(make_run):
    # An exploit from a donor that was behind; the sweep ended before epoch 4 came again.
    rows = reports("a", (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (2, 0.6), (3, 0.7))
    curve = learning_curves(make_run([fake_trial("a")], results=rows), "val_accuracy")["a"]
    assert curve.epochs.tolist() == [1, 2, 3]
    assert curve.values.tolist() == [0.1, 0.6, 0.7]


@given(st.lists(st.integers(1, 6), max_size=12))
def test_kept_rows_equal_those_of_a_replay(epochs):
    import numpy as np

    path: list[tuple[int, int]] = []
    for row, epoch in enumerate(epochs):
        path = [(r, e) for r, e in path if e < epoch] + [(row, epoch)]
    kept = np.flatnonzero(_is_kept(np.array(epochs, dtype=np.int64))).tolist()
    assert kept == [row for row, _ in path]


def test_a_run_without_reports_has_no_curves(make_run):
    assert learning_curves(make_run([fake_trial("a", epoch=0)], results=[]), "val_loss") == {}


def test_what_is_no_column_of_numbers_is_refused(make_run):
    with pytest.raises(ValueError, match=r"number in results\.parquet, got 'trial_id'; choose"):
        learning_curves(make_run([fake_trial("a")]), "trial_id")


LINEAGE = [
    {"from_epoch": 0, "parent_trial_id": None, "config": '{"lr": 0.1}'},
    {"from_epoch": 2, "parent_trial_id": "b", "config": '{"lr": 0.4}'},
    {"from_epoch": 2, "parent_trial_id": "c", "config": '{"lr": 0.2, "wd": 1}'},
]


def test_lineages_are_segments_of_epochs(make_run):
    run = make_run([fake_trial("a", epoch=5, lineage=LINEAGE), fake_trial("b", epoch=0)])
    lineages = gather_lineages(run)
    assert lineages["a"] == (
        Segment(0, 2, None, {"lr": 0.1}),
        Segment(2, 5, "c", {"lr": 0.2, "wd": 1}),
    )
    assert lineages["b"] == ()
    assert schedule(lineages["a"], "lr") == ([1, 2, 3, 4, 5], [0.1, 0.1, 0.2, 0.2, 0.2])
    assert schedule(lineages["a"], "wd")[1] == [None, None, 1, 1, 1]


def test_exploits_are_those_that_were_reported(make_run):
    rows = [*reports("a", (1, 0.1)), *reports("a", (3, 0.5), parent_trial_id="b")]
    run = make_run([fake_trial("a"), fake_trial("b")], results=rows)
    assert gather_exploits(run) == (Exploit("a", "b", 3),)
