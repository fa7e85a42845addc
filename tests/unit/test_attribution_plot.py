import io
import itertools
import warnings

import numpy as np
import pytest
from fake_run import fake_image, fake_text
from finalist_pictures import assert_all_texts_stand_inside, figure_of, finalists_of, texts_of
from matplotlib.patches import Rectangle

from analysis import chart_style as look
from analysis.attribution_plot import IMAGE_OPACITY, MAX_LINES, TEXT_OPACITY, plot_attributions


@pytest.fixture
def draw(tmp_path):
    def draw(trial_ids, rows):
        finalists = finalists_of(tmp_path, trial_ids, attributions=rows)
        return figure_of(plot_attributions, finalists)

    return draw


@pytest.mark.parametrize("side", [8, 32])
def test_images_stand_plain_and_under_heat(draw, side):
    rows = [fake_image(name, sample, side) for name in "abc" for sample in (0, 119, 239, 359)]
    figure = draw("abc", rows)
    plain = [axes for axes in figure.axes if len(axes.images) == 1]
    heated = [axes for axes in figure.axes if len(axes.images) == 2]
    assert (len(plain), len(heated)) == (4, 12)
    heat = heated[0].images[1].get_array()
    assert heat.shape == (side, side, 4)
    assert heat[0, -1, 3] == pytest.approx(IMAGE_OPACITY)
    assert heat[0, 0, 3] == 0
    assert np.array_equal(plain[0].images[0].get_array()[:, :, 0], np.uint8(255 * ramp(side)))
    assert_all_texts_stand_inside(figure)


def ramp(side):
    return np.tile(np.linspace(0, 1, side), (side, 1))


def test_a_wrong_prediction_is_red(draw):
    figure = draw("a", [fake_image("a"), fake_image("a", 1, predicted="dog")])
    texts = texts_of(figure)
    assert texts["cat / dog"].get_color() == look.WRONG_COLOUR
    assert texts["cat / cat"].get_color() == look.INK_COLOUR


def test_titles_of_neighbours_do_not_touch(draw):
    long = {"label": "aquarium_fish_of_the_sea", "predicted": "pickup_truck_on_the_road"}
    figure = draw("a", [fake_image("a", sample, **long) for sample in range(6)])
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts if " / " in text.get_text()]
    titles = sorted((box for box in boxes if box.height < 20), key=lambda box: box.x0)
    assert len(titles) == 6
    for left, right in itertools.pairwise(titles):
        assert left.x1 < right.x0
    assert_all_texts_stand_inside(figure)


def test_a_sample_that_a_finalist_lacks_leaves_its_cell_empty(draw):
    figure = draw("ab", [fake_image("a"), fake_image("a", 1), fake_image("b", 1)])
    assert len(figure.axes) == 2 + 3


def test_more_than_fits_is_counted(draw):
    names = [f"trial_{i}" for i in range(7)]
    figure = draw(names, [fake_image(name, sample) for name in names for sample in range(8)])
    shown = " ".join(texts_of(figure)).replace("\n", " ")
    assert "the first 6 of 7 finalists" in shown
    assert "the first 6 of 8 samples" in shown
    assert len(figure.axes) == 6 + 36


def test_tokens_stand_in_order_on_their_ground(draw):
    figure = draw("a", [fake_text("a", "one two three", predicted="dog")])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["one", " two", " three"]
    grounds = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [ground.get_alpha() for ground in grounds] == pytest.approx(
        [0, TEXT_OPACITY / 2, TEXT_OPACITY]
    )
    renderer = figure.canvas.get_renderer()
    for text, ground in zip(axes.texts, grounds, strict=True):
        ink, box = text.get_window_extent(renderer), ground.get_window_extent(renderer)
        assert ink.x0 == pytest.approx(box.x0, abs=3)
        assert ink.x1 == pytest.approx(box.x1, abs=3)
    assert texts_of(figure)["dog"].get_color() == look.WRONG_COLOUR
    assert_all_texts_stand_inside(figure)


def test_long_texts_are_cut_and_say_how_much_is_missing(draw):
    figure = draw("a", [fake_text("a", "word " * 1000), fake_text("a", "x" * 500, 1)])
    long, single = figure.axes
    *shown, note = [text.get_text() for text in long.texts]
    assert len({text.get_position()[1] for text in long.texts}) == MAX_LINES + 1
    assert note == f"… and {1000 - len(shown)} more tokens"
    assert single.texts[0].get_text().endswith("x…")
    assert_all_texts_stand_inside(figure)


def test_texts_of_any_signs_are_drawn(tmp_path):
    rows = [
        fake_text("a", "猫 $x$ $ \\frac{", label="$\\nonsense"),
        fake_text("a", "", 1),
        fake_text("a", "a b c", 2, tokens=["", " ", "\x1b[2J\n"]),
    ]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_attributions("name", finalists_of(tmp_path, "a", attributions=rows), file)
    assert file.getvalue().startswith(b"\x89PNG\r\n\x1a\n")
