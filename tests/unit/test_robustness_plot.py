import io

import pytest
from fake_run import ATTACKS, CORRUPTIONS, fake_robustness
from finalist_pictures import assert_all_texts_stand_inside, figure_of, finalists_of, texts_of

from analysis.chart_style import MAX_SERIES
from analysis.robustness_plot import MAX_PANELS, plot_robustness


def panels_of(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def test_a_panel_each_and_a_line_a_finalist(tmp_path):
    rows = [row for name in "ab" for row in fake_robustness(name, ATTACKS + CORRUPTIONS)]
    figure = figure_of(plot_robustness, finalists_of(tmp_path, "ab", robustness=rows))
    panels = panels_of(figure)
    # Corruptions come first, whatever the order of the rows.
    assert list(panels)[:2] == ["gaussian noise", "gaussian blur"]
    assert list(panels)[-2:] == ["FGSM", "PGD"]
    curves = [line for line in panels["jpeg"].lines if len(line.get_xdata()) == 5]
    assert [line.get_ydata()[0] for line in curves] == pytest.approx([0.7, 0.7])
    levels = [line.get_ydata()[0] for line in panels["jpeg"].lines if line not in curves]
    assert levels == pytest.approx([0.78, 0.78])
    assert len({line.get_color() for line in curves}) == 2
    assert_all_texts_stand_inside(figure)


def test_a_finalist_without_a_test_accuracy_has_no_level(tmp_path):
    finalists = finalists_of(tmp_path, "a", robustness=fake_robustness("a", ["jpeg"]))
    finalists[0].scores["test_accuracy"] = None
    (axes,) = figure_of(plot_robustness, finalists).axes
    assert len(axes.lines) == 1


@pytest.mark.parametrize("num_kinds", [1, MAX_PANELS + 2])
def test_what_has_no_room_is_counted(tmp_path, num_kinds):
    names = [f"a_rather_long_trial_name_{i}" for i in range(MAX_SERIES + 1)]
    kinds = [f"kind_{i}_of_corruption_$with$_a_long_name" for i in range(num_kinds)]
    rows = [row for name in names for row in fake_robustness(name, kinds)]
    figure = figure_of(plot_robustness, finalists_of(tmp_path, names, robustness=rows))
    assert len(figure.axes) == min(num_kinds, MAX_PANELS)
    shown = " ".join(texts_of(figure)).replace("\n", " ")
    assert f"the first {MAX_SERIES} of {MAX_SERIES + 1} finalists" in shown
    assert ("12 of 14 corruptions and attacks" in shown) == (num_kinds > MAX_PANELS)
    assert_all_texts_stand_inside(figure)


def test_it_is_written_as_png(tmp_path):
    file = io.BytesIO()
    finalists = finalists_of(tmp_path, "a", robustness=fake_robustness("a", ["fgsm"]))
    plot_robustness("name", finalists, file)
    assert file.getvalue().startswith(b"\x89PNG\r\n\x1a\n")
