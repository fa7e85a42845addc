import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.chart_style import is_wide, limits
from analysis.label_placement import LabelPlacer
from analysis.labels import (
    WORDS,
    format_bytes,
    format_value,
    format_values,
    printable,
    unit_of,
)
from analysis.plots import short_ids
from analysis.records import SCORE_NAMES, TRIALS_SCHEMA, Objective

ACCURACY = Objective("val_accuracy", "max")
LATENCY = Objective("latency_p50_ms", "min")


@pytest.fixture
def axes():
    figure = Figure(dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    figure.canvas.draw()
    return axes


def placer_of(axes, points):
    nothing = np.zeros((0, 2))
    pixels = axes.transData.transform(points)
    return LabelPlacer(axes, pixels, ring=nothing, faint=nothing, line=nothing, free_degrees=135)


@pytest.mark.parametrize("num_points", [1, 5, 40, 400])
def test_labels_cover_neither_each_other_nor_markers_nor_leave_the_frame(axes, num_points):
    points = np.random.default_rng(0).random((num_points, 2))
    placer = placer_of(axes, points)
    placed = [placer.place(f"trial {i}", tuple(point)) for i, point in enumerate(points)]
    axes.figure.canvas.draw()
    renderer = axes.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == sum(placed) >= min(num_points, 5)
    frame = axes.get_window_extent()
    for index, box in enumerate(boxes):
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
        # A text with a leader has the leader in its extent: compare what was reserved instead.
        low, high = placer.boxes[index][:2], placer.boxes[index][2:]
        assert not ((placer.solid > low) & (placer.solid < high)).all(axis=1).any()
        for other in placer.boxes[:index]:
            assert (high <= other[:2]).any() or (other[2:] <= low).any()


def test_a_label_without_room_is_not_drawn_unless_it_must_stand(axes):
    cloud = np.random.default_rng(0).normal(0.5, 0.05, (800, 2))
    placer = placer_of(axes, cloud)
    centre = tuple(cloud[np.linalg.norm(cloud - 0.5, axis=1).argmin()])
    assert not placer.place("name", centre)
    assert axes.texts[:] == []
    assert placer.place("name", centre, must_stand=True)


@pytest.mark.parametrize(
    ("ids", "short"),
    [
        ([], []),
        (["only_one"], ["only_one"]),
        (["run_1", "run_2"], ["1", "2"]),
        (["a-b_10", "a-b_11"], ["10", "11"]),
        (["t1", "t12"], ["t1", "t12"]),
        (["same", "same"], ["same", "same"]),
        (["x" * 30], ["…" + "x" * 10]),
    ],
)
def test_short_ids(ids, short):
    assert short_ids(ids) == short


def test_limits_leave_room_around_any_values():
    for values in ([1.0], [0.0], [-3.0], [0.0, 1e-9], [1e-3, 1e3], [5.0, 5.0]):
        low, high = limits(LATENCY, np.array(values))
        assert low < min(values) <= max(values) < high
    assert limits(ACCURACY, np.array([0.0, 1.0])) == (-0.02, 1.02)


def test_limits_hold_negative_differences_of_fractions():
    low, high = limits(Objective("generalisation_gap", "min"), np.array([-0.5, 0.5]))
    assert low < -0.5
    assert high > 0.5


def test_log_scale_needs_positive_values_far_apart():
    assert is_wide(LATENCY, np.array([1.0, 10.0]))
    assert not is_wide(LATENCY, np.array([1.0, 9.0]))
    assert not is_wide(LATENCY, np.array([0.0, 9.0]))
    assert not is_wide(ACCURACY, np.array([0.09, 0.99]))


def test_figures_and_units():
    assert unit_of("latency_p50_ms") == "ms"
    assert unit_of("energy_kwh") == "kWh"
    assert unit_of("num_parameters") == ""
    assert format_value("latency_p50_ms", 0.123456) == "0.1235"
    assert format_value("latency_p50_ms", 12345.6) == "12,346"
    assert format_value("cost_usd", 1e20) == "1e+20"
    assert format_value("val_ece", 0.25) == "0.2500"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1 MB"),
        (11_173_962, "11.17 MB"),
        (8.5e10, "85 GB"),
        (3.2e15, "3,200 TB"),
    ],
)
def test_bytes_have_a_prefix_that_suits_them(value, shown):
    assert format_bytes(value) == shown


def test_a_unit_is_told_once():
    objectives = [Objective("weights_bytes", "min"), Objective("energy_kwh", "min"), ACCURACY]
    shown = "weights on disk 1.5 MB, energy 0.25 kWh, validation accuracy 0.9000"
    assert format_values(objectives, [1.5e6, 0.25, 0.9]) == shown


@pytest.mark.parametrize("part", ["val", "test"])
def test_every_score_has_words_and_unit(part):
    for score in SCORE_NAMES:
        column = f"{part}_{score}"
        assert column in WORDS
        assert unit_of(column) == ("nats" if score == "loss" else "fraction")
    totals = {"held_gang_seconds", "held_cost_usd"}  # of the sweep, in sweep.json
    assert set(WORDS) <= set(TRIALS_SCHEMA.names) | totals


def test_printable_keeps_words_of_any_language_and_escapes_control_characters():
    assert printable("Größe 猫 a b") == "Größe 猫 a b"
    assert printable("a\tb\x1b[0m\x9b\u202e") == r"a\tb\x1b[0m\x9b\u202e"
