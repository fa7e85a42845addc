import numpy as np
import pytest
from fake_run import (
    fake_finalist,
    fake_image,
    fake_robustness,
    fake_text,
    fake_trial,
    write_run,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.finalists import gather_finalists, num_robustness_samples
from analysis.load import RunError, load_run


@pytest.fixture
def gather(tmp_path):
    def gather(trials, **tables):
        return gather_finalists(load_run(write_run(tmp_path / "run", trials, **tables)))

    return gather


def test_finalists_are_in_order_of_validation_never_of_test_scores(gather):
    trials = [
        fake_finalist("a", val_accuracy=0.7, test_accuracy=0.9),
        fake_trial("b", val_accuracy=0.99),
        fake_finalist("c", val_accuracy=0.8, test_accuracy=0.6),
        fake_finalist("e", val_accuracy=None),
        fake_finalist("d", val_accuracy=0.7, test_accuracy=0.95),
    ]
    assert [finalist.trial_id for finalist in gather(trials)] == ["c", "a", "d", "e"]


def test_bias_is_test_minus_validation_accuracy(gather):
    trials = [
        fake_finalist("a", val_accuracy=0.9, test_accuracy=0.85),
        fake_finalist("b", val_accuracy=None),
        fake_finalist("c", val_accuracy=0.1, test_accuracy=None),
    ]
    biases = {finalist.trial_id: finalist.bias for finalist in gather(trials)}
    assert biases == {"a": pytest.approx(-0.05), "b": None, "c": None}


def test_runs_without_finalists_have_none(gather):
    assert gather([fake_trial("a")]) == ()
    assert gather([fake_trial("a")], robustness=[], attributions=[]) == ()


def test_curves_are_in_order_of_severity(gather):
    rows = fake_robustness("a", ["jpeg", "pgd"])
    (finalist,) = gather([fake_finalist("a")], robustness=rows[::-1])
    pgd, jpeg = finalist.curves
    assert (pgd.kind, pgd.name, pgd.severities) == ("attack", "pgd", (1, 2, 3, 4))
    assert jpeg.accuracies == pytest.approx((0.7, 0.6, 0.5, 0.4, 0.3))
    assert finalist.mean_accuracy("corruption") == pytest.approx(0.5)
    assert finalist.mean_accuracy("attack") == pytest.approx(0.55)
    assert num_robustness_samples([finalist]) == "100"


def test_a_mean_of_nothing_is_none(gather):
    (finalist,) = gather([fake_finalist("a")])
    assert finalist.mean_accuracy("corruption") is None


def test_different_numbers_of_samples_are_told(gather):
    rows = fake_robustness("a", ["jpeg"])
    rows[0]["num_samples"] = 1200
    rows += [row | {"trial_id": "b", "num_samples": 1200} for row in rows]
    finalists = gather([fake_finalist("a"), fake_finalist("b")], robustness=rows)
    assert num_robustness_samples(finalists) == "100 to 1,200"


def test_images_and_texts_take_their_shape(gather):
    (finalist,) = gather([fake_finalist("a")], attributions=[fake_image("a", 7), fake_image("a")])
    first, second = finalist.samples
    assert (first.sample, second.sample) == (0, 7)
    assert first.pixels.shape == (8, 8, 3)
    assert first.attribution.shape == (8, 8)
    assert np.array_equal(first.pixels[0, :, 0], np.uint8(255 * first.attribution[0]))
    (finalist,) = gather([fake_finalist("a")], attributions=[fake_text("a", "two words")])
    assert finalist.samples[0].tokens == (" two", " words")
    assert finalist.samples[0].pixels is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"trial_id": "z"}, r"trial_id in robustness.parquet must be a trial of .*, got 'z'; "),
        ({"kind": "magic"}, r"kind of trial a .* must be corruption or attack, got 'magic'; "),
        ({"severity": 0}, "must be 1 to 5 for corruptions, got 0; "),
        ({"severity": 6}, "must be 1 to 5 for corruptions, got 6; "),
        ({"kind": "attack", "severity": 5}, "must be 1 to 4 for attacks, got 5; "),
        ({"accuracy": float("nan")}, "accuracy .* must be a fraction from 0 to 1, got nan; "),
        ({"accuracy": 1.1}, "must be a fraction from 0 to 1, got 1.1; "),
        ({"severity": 2}, "must be a row a severity, got severity 2 twice; "),
    ],
)
def test_robustness_that_cannot_be(gather, change, match):
    rows = fake_robustness("a", ["jpeg"])
    rows[2] = rows[2] | change
    with pytest.raises(RunError, match=match):
        gather([fake_finalist("a")], robustness=rows)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (fake_image("z"), "trial_id in attributions.parquet must be a trial of .*, got 'z'; "),
        (fake_image("a", image=b"short"), r"must be 8 x 8 x 3 = 192 bytes, got 5 bytes; "),
        (fake_image("a", image=None), "must be there with height .* got no image"),
        (fake_image("a", height=None), "got an image, height None, width 8; "),
        (fake_image("a", height=-8, width=-8), "got an image, height -8, width -8; "),
        (fake_image("a", height=0), "got an image, height 0, width 8; "),
        (fake_image("a", height=2**31 - 1), "must be 2147483647 x 8 x 3 = .* got 192 bytes; "),
        (fake_image("a", attribution=[0.5]), "must be 64 values, one a pixel, got 1; "),
        (fake_image("a", attribution=[0.0] * 63 + [None]), "must be from 0 to 1, got nan; "),
        (fake_image("a", attribution=[0.0] * 63 + [1.5]), "must be from 0 to 1, got 1.5; "),
        (fake_text("a", "a b", attribution=[1.0]), "must be 2 values, one a token, got 1; "),
        (fake_text("a", "a b", tokens=["a", None]), "tokens .* must be text, got null; "),
    ],
)
def test_attributions_that_cannot_be(gather, row, match):
    with pytest.raises(RunError, match=match):
        gather([fake_finalist("a")], attributions=[row])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([fake_image("a"), fake_text("a", "x", 1)], "must be all images or all texts, got both; "),
        ([fake_image("a"), fake_image("a")], "of sample 0 of trial a .* must be there once"),
    ],
)
def test_attributions_that_contradict_each_other(gather, rows, match):
    with pytest.raises(RunError, match=match):
        gather([fake_finalist("a")], attributions=rows)


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    height=st.integers(-2, 6),
    width=st.integers(-2, 6),
    num_bytes=st.integers(0, 110),
    values=st.lists(st.floats(width=32) | st.none(), max_size=40),
)
def test_any_sizes_are_read_or_refused(gather, height, width, num_bytes, values):
    size = {"height": height, "width": width}
    row = fake_image("a", image=bytes(num_bytes), attribution=values, **size)
    try:
        (finalist,) = gather([fake_finalist("a")], attributions=[row])
    except RunError:
        return
    assert finalist.samples[0].pixels.shape == (height, width, 3)
    assert finalist.samples[0].attribution.shape == (height, width)
