import json

import pytest
from fake_run import fake_trial, write_run

from analysis.comparison import attainment_surfaces, compare_hypervolumes
from analysis.curves import learning_curves
from analysis.importance import Importance
from analysis.ledger import sum_spending
from analysis.lineage import gather_lineages
from analysis.load import load_run
from analysis.ranking import rank_trials
from analysis.records import Objective

figures = pytest.importorskip("analysis.figures")

ACCURACY = Objective("val_accuracy", "max")
LATENCY = Objective("latency_p50_ms", "min")
EVIL = "<b onclick=x>"


@pytest.fixture
def run(tmp_path):
    lineage = [
        {"from_epoch": 0, "parent_trial_id": None, "config": '{"lr": 0.1}'},
        {"from_epoch": 2, "parent_trial_id": "t0", "config": '{"lr": 0.001}'},
    ]
    trials = [
        fake_trial(
            f"t{i}",
            val_accuracy=0.5 + i / 10,
            latency_p50_ms=1.0 + i * i,
            config={"lr": 10.0**-i, "model": EVIL if i else "vit", "width": 8},
            **({"lineage": lineage} if i == 2 else {}),
        )
        for i in range(4)
    ]
    trials.append(fake_trial("dominated", val_accuracy=0.1, latency_p50_ms=99.0, config={}))
    return load_run(write_run(tmp_path / "run", trials, sweep={"name": EVIL}))


def test_the_front_is_drawn_with_what_hovering_tells(run):
    figure = figures.front_figure(rank_trials(run))
    by_name = {trace.name: trace for trace in figure.data}
    assert by_name["front"].x == (10.0, 5.0, 2.0, 1.0)
    assert by_name["front"].y == pytest.approx((0.8, 0.7, 0.6, 0.5))
    assert len(by_name["dominated"].x) == 1
    assert "t3 (rank 0, epoch 3)<br>validation accuracy: 0.8000" in by_name["front"].text[0]
    assert EVIL not in figure.to_json()


def test_a_third_objective_is_the_colour(run):
    third = Objective("num_parameters", "min")
    figure = figures.front_figure(rank_trials(run, [ACCURACY, LATENCY, third]))
    assert figure.data[0].marker.coloraxis == "coloraxis"
    with pytest.raises(ValueError, match="two objectives, got 5 trials and 1 objectives"):
        figures.front_figure(rank_trials(run, [ACCURACY]))


def test_parallel_axes_are_logarithms_choices_and_objectives(run):
    axes = {axis.label: axis for axis in figures.parallel_coordinates_figure(rank_trials(run))
            .data[0].dimensions}  # fmt: skip
    assert list(axes) == ["lr", "model", "width", "validation accuracy", "median latency"] or list(
        axes
    ) == ["log10 lr", "model", "width", "validation accuracy", "median latency"]
    assert axes["model"].ticktext is not None
    assert EVIL not in "".join(axes["model"].ticktext)


def test_curves_lineage_and_schedules(run):
    curves = learning_curves(run, "val_accuracy")
    figure = figures.curves_figure(curves, "val_accuracy", ["t2"])
    assert figure.data[-1].name == "t2"  # drawn last, so on top
    assert len(figure.data) == 5
    lineages = gather_lineages(run)
    steps = {trace.name: trace for trace in figures.schedules_figure(lineages, "lr").data}
    assert steps["t2"].y == (0.1, 0.1, 0.001)
    drawn = json.loads(figures.lineage_figure(lineages).to_json())["data"]
    assert {"x": [2, 2], "y": [0, 2]}.items() <= next(
        trace for trace in drawn if trace["mode"] == "lines+markers"
    ).items()


def test_comparisons_importance_and_spending(run):
    curves = compare_hypervolumes({"a": run, "b": run}, unit="reports")
    assert [trace.name for trace in figures.spent_figure(curves).data] == ["a", "b"]
    surfaces = attainment_surfaces([run, run], [ACCURACY, LATENCY])
    assert len(figures.attainment_figure(surfaces, [ACCURACY, LATENCY]).data) == 3
    with pytest.raises(ValueError, match="objectives must be two to be drawn"):
        figures.attainment_figure(surfaces, [ACCURACY])
    found = Importance("val_accuracy", {"lr": 0.9, "width": 0.1}, 0.8, 0.05, 20)
    assert figures.importance_figure([found]).data[0].x == (0.9, 0.1)
    bars = figures.spending_figure(sum_spending(run)).data[0]
    assert bars.y == ("trials that trained to the end",)
    assert bars.x == (50.0,)
