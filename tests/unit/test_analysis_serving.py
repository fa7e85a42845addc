import io

import pyarrow.parquet as pq
import pytest
from fake_run import fake_latency, fake_serving, fake_trial, write_run
from rich.console import Console

from analysis.load import RunError, load_run
from analysis.records import TRIALS_SCHEMA
from analysis.report import write_report
from analysis.serving import gather_serving, serving_words

A, B, C = (fake_trial(name, architecture=f"arch-{name}") for name in "abc")


def before(name, latency_ms, **columns):
    return fake_latency(latency_ms, architecture=f"arch-{name}", **columns)


def after(name, latency_ms, **columns):
    return before(name, latency_ms, trial_id=name, **columns)


@pytest.fixture
def make(tmp_path):
    def make(trials=(A, B, C), latency=(), **serving):
        sweep = {"serving": fake_serving(**serving)}
        return load_run(write_run(tmp_path / "run", trials, latency=latency, sweep=sweep))

    return make


@pytest.fixture
def printed(tmp_path):
    def printed(trials, latency=(), sweep=None, width=140):
        run = write_run(tmp_path / "run", trials, latency=latency, sweep=sweep)
        console = Console(file=io.StringIO(), width=width)
        write_report(run, console)
        return console.file.getvalue()

    return printed


def test_how_models_are_served_is_told_in_words(make):
    assert serving_words(make()) == "openvino int8, batch 1, 1 thread, on cpu Sample"
    words = serving_words(make(num_threads=2, slo_ms=5.0, percentile=99))
    assert words == "openvino int8, batch 1, 2 threads, on cpu Sample; SLO 5 ms on percentile 99"
    assert serving_words(make(slo_ms=5.0)).endswith("; SLO 5 ms")


def test_finalists_are_held_against_their_architectures(make):
    rows = [before("a", 1.0), before("b", 2.0), before("c", 3.0)]
    rows += [after("a", 2.5), after("b", 2.0), after("c", 3.0)]
    report = gather_serving(make(latency=rows))
    found = [
        (one.trial_id, one.before_ms, one.latency_ms, one.rank_before, one.rank)
        for one in report.shipped
    ]
    assert found == [("a", 1.0, 2.5, 1, 2), ("b", 2.0, 2.0, 2, 1), ("c", 3.0, 3.0, 3, 3)]
    assert report.num_evaluated == 200


def test_what_is_not_exact_has_no_rank(make):
    rows = [before("a", 1.0), before("b", 2.0), before("c", 3.0, status="uncertain")]
    rows += [after("a", 1.0), after("b", 0.5, status="uncertain"), after("c", 3.0)]
    a, b, c = gather_serving(make(latency=rows)).shipped
    assert (a.rank_before, a.rank) == (1, 1)
    assert (b.rank_before, b.rank, b.before_ms) == (None, None, 2.0)
    assert (c.rank_before, c.rank, c.before_ms) == (None, None, None)


def test_a_fallbacks_figure_is_compared_with_the_fallbacks(make):
    failed = before("a", None, status="failed", reason="operator x")
    rows = [failed, before("a", 4.0, runtime="eager"), after("a", 5.0, runtime="eager")]
    (a,) = gather_serving(make(latency=rows)).shipped
    assert (a.before_ms, a.latency_ms, a.runtime) == (4.0, 5.0, "eager")


def test_what_a_finalist_was_pruned_to_stands_beside_it_and_is_not_ranked(make):
    rows = [before("a", 1.0), before("b", 2.0), after("a", 3.0), after("b", 2.0)]
    rows.append(after("a", 0.5, compression="pruned 0.5", num_parameters=250, accuracy=0.7))
    shipped = gather_serving(make(latency=rows)).shipped
    assert [(one.trial_id, one.compression) for one in shipped] == [
        ("a", None), ("a", "pruned 0.5"), ("b", None),
    ]  # fmt: skip
    whole, pruned, other = shipped
    assert (pruned.rank, pruned.rank_before, pruned.before_ms) == (None, None, None)
    assert (pruned.latency_ms, pruned.num_parameters, pruned.accuracy) == (0.5, 250, 0.7)
    assert (whole.rank, other.rank) == (2, 1)


@pytest.mark.parametrize(
    ("accuracy", "fp32", "agreement", "is_accepted"),
    [
        (0.90, 0.90, 0.95, True),
        (0.89, 0.90, 1.0, True),  # one point, in floats a little more
        (0.88, 0.90, 1.0, False),
        (0.95, 0.90, 0.94, False),
        (None, 0.90, 1.0, None),
        (0.90, None, 1.0, None),
        (0.90, 0.90, None, None),
    ],
)
def test_an_artefact_must_compute_what_was_trained(make, accuracy, fp32, agreement, is_accepted):
    row = after("a", 1.0, accuracy=accuracy, fp32_accuracy=fp32, agreement_fraction=agreement)
    (a,) = gather_serving(make(latency=[row])).shipped
    assert a.is_accepted is is_accepted


@pytest.mark.parametrize(
    ("slo_ms", "percentile", "verdict"),
    [(None, None, None), (1.1, None, "meets"), (1.0, None, "undecided"), (0.9, None, "misses"),
     (1.1, 99, "misses"), (3.1, 99, "meets")],
)  # fmt: skip
def test_a_finalist_is_held_against_the_slo_again(make, slo_ms, percentile, verdict):
    row = after("a", 1.0, p99_ms=3.0, p99_low_ms=2.9, p99_high_ms=3.1)
    run = make(latency=[row], slo_ms=slo_ms, percentile=percentile)
    (a,) = gather_serving(run).shipped
    assert a.slo == verdict


def test_an_uncertain_finalist_decides_nothing(make):
    (a,) = gather_serving(make(latency=[after("a", 9.0, status="uncertain")], slo_ms=1.0)).shipped
    assert a.slo == "undecided"


def test_trials_are_grouped_by_what_must_be_said_of_them(make):
    trials = [
        A,
        {**B, "latency_status": "uncertain"},
        {**C, "latency_status": "undecided", "latency_runtime": "eager"},
    ]
    report = gather_serving(make(trials))
    assert report.by_status == {"undecided": ("c",), "uncertain": ("b",)}
    assert report.by_runtime == {"eager": ("c",)}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([after("x", 1.0)], "must be a trial of trials.parquet, got 'x'"),
        ([after("a", 1.0), after("a", 2.0)], "that of a trial once, got 'a'"),
    ],
)
def test_a_latency_of_no_trial_is_refused(make, rows, said):
    with pytest.raises(RunError, match=said):
        gather_serving(make(latency=rows))


def test_the_report_says_what_was_measured_how_and_with_what_result(printed):
    trials = [
        {**A, "val_accuracy": 0.9},
        {**B, "val_accuracy": 0.8, "latency_p50_ms": 0.5},
        fake_trial("u", latency_p50_ms=None, latency_ms=None, latency_status="uncertain"),
        fake_trial("e", val_accuracy=0.1, latency_runtime="eager", latency_status="undecided"),
    ]
    rows = [before("a", 1.0), before("b", 2.0)]
    rows += [
        after("a", 3.0, accuracy=0.5, fp32_accuracy=0.9, agreement_fraction=0.6),
        after("b", 2.0, accuracy=0.81, fp32_accuracy=0.8, agreement_fraction=0.99),
    ]
    text = printed(trials, rows, {"serving": fake_serving(slo_ms=2.5)})
    for part in (
        "Latency: openvino int8, batch 1, 1 thread, on cpu Sample; SLO 2.5 ms",
        "1 x latency_p50_ms is uncertain (such as u)",
        "Latency uncertain after all tries, so not ranked by it: u",
        "Latency interval reaches over the SLO, so they trained: e",
        "Measured in eager instead: e",
        "Finalists as they would be shipped",
        "not in int8, misses the SLO",
        "In openvino int8, from the trained weights, after the search. Accuracy: on 200 samples of "
        "the validation part.",
        "Ranks by latency that training changed: a 1 -> 2, b 2 -> 1",
    ):
        assert part in text


def test_the_report_tells_pruned_ones_from_their_finalists(printed):
    rows = [
        after("a", 1.0, num_parameters=4000, accuracy=0.9, fp32_accuracy=0.9),
        after("a", 0.4, num_parameters=1000, accuracy=0.8, compression="pruned 0.5"),
        after("b", None, compression="pruned 0.5", status="failed", reason="operator x"),
    ]
    text = printed([A, B], rows, {"serving": fake_serving()}, width=160)
    lines = [line.split() for line in text.splitlines()]
    assert ["a", "4,000"] in [line[:2] for line in lines]
    assert ["pruned", "0.5", "1,000"] in [line[:3] for line in lines]
    assert ["b", "pruned", "0.5", "-"] in [line[:4] for line in lines]  # its finalist has no row
    assert "b pruned 0.5: failed: operator x" in text
    assert "Pruned: that part of each layer's channels" in text


def test_what_failed_says_why(printed):
    row = after("a", None, status="failed", reason="operator x can't be exported")
    text = printed([A], [before("a", 1.0), row], {"serving": fake_serving()})
    assert "no: failed" in text
    assert "a: failed: operator x can't be exported" in text


def test_a_run_that_tells_nothing_of_serving_is_reported(printed):
    text = printed([A])
    assert "Latency:" not in text
    assert "shipped" not in text


def test_an_older_run_is_read_with_its_own_objective(tmp_path):
    run = write_run(
        tmp_path / "run", [A, B], latency=[before("a", 1.0)], sweep={"schema_version": 2}
    )
    new = [name for name in TRIALS_SCHEMA.names if name.startswith("latency_")]
    new.remove("latency_p50_ms")
    trials = pq.read_table(run / "trials.parquet").drop_columns([*new, "serving_usd_per_million"])
    pq.write_table(trials, run / "trials.parquet")
    latency = pq.read_table(run / "latency.parquet")
    kept = ["architecture", "runtime", "precision", "batch_size", "num_threads", "device", "p50_ms"]
    pq.write_table(latency.select(kept), run / "latency.parquet")
    console = Console(file=io.StringIO(), width=100)
    ranking = write_report(run, console)
    assert {row.trial_id for row in ranking.rows} == {"a", "b"}
    assert ranking.serving is None
