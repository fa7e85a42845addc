import pytest
from fake_run import (
    fake_finalist,
    fake_latency,
    fake_seeds,
    fake_serving,
    fake_trial,
    write_run,
)
from scipy.stats import binomtest

from analysis.certainty import weigh_finalists
from analysis.estimates import gather_retrainings
from analysis.evidence import Evidence, wilson_interval
from analysis.finalists import gather_finalists
from analysis.load import load_run
from analysis.ranking import rank_trials
from analysis.serving import gather_serving

DATASET = {"name": "digits", "num_val": 400, "num_test": 100}


@pytest.fixture
def notes_of(tmp_path):
    def notes_of(trial_id, trials, **files):
        run = load_run(write_run(tmp_path / "run", trials, **files))
        ranking = rank_trials(run)
        evidence = Evidence(
            run,
            ranking,
            gather_finalists(run),
            gather_serving(run),
            gather_retrainings(run),
            weigh_finalists(run, ranking),
        )
        (row,) = (row for row in ranking.rows if row.trial_id == trial_id)
        return [(note.tone, note.text) for note in evidence.notes(row)]

    return notes_of


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (7, 10), (389, 400), (400, 400)])
def test_interval_equals_scipys(successes, total):
    low, high = wilson_interval(successes / total, total)
    expected = binomtest(successes, total).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_without_a_count_there_is_no_interval():
    assert wilson_interval(0.5, None) is None
    assert wilson_interval(1.5, 10) is None


def test_a_trial_that_nobody_examined(notes_of):
    trials = [
        fake_trial("a", val_accuracy=0.900),
        fake_trial("b", val_accuracy=0.895, latency_p50_ms=0.9),
        fake_trial("c", val_accuracy=0.5, latency_p50_ms=0.1),
    ]
    notes = notes_of("a", trials, sweep={"dataset": DATASET, "status": "running"})
    assert notes == [
        ("warn", "The sweep had not finished when this was read (status: running)."),
        ("plain", "Not measured from its trained weights as it would be shipped."),
        (
            "warn",
            "Not examined on the test part: its validation score is of what it was chosen by, so "
            "likely a little too good.",
        ),
        (
            "plain",
            "Its validation accuracy is of 400 samples: 0.9000 [0.8667, 0.9257] (95 %). Other "
            "members of the front that lie within: 1 of 2.",
        ),
        ("plain", "Trained once: what another seed would change was not measured."),
    ]


def test_a_finalist_that_meets_the_slo(notes_of):
    trial = fake_finalist("a", val_accuracy=0.9, test_accuracy=0.87)
    shipped = fake_latency(
        2.0, trial_id="a", accuracy=0.9, fp32_accuracy=0.9, agreement_fraction=1.0
    )
    notes = notes_of(
        "a",
        [trial],
        latency=[shipped],
        sweep={"dataset": DATASET, "serving": fake_serving(slo_ms=5)},
    )
    assert notes[0] == (
        "good",
        "As shipped (openvino int8, from its trained weights): latency 2 ms [1.98, 2.02], meets "
        "the SLO, accuracy 0.9000.",
    )
    assert notes[1][0] == "good"
    assert notes[1][1].startswith("Test accuracy 0.8700 [0.7902, ")
    assert "3.00 points below its validation accuracy, by which it was chosen" in notes[1][1]
    assert "Other members" not in notes[2][1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"latency_ms": 9.0}, "misses the SLO"),
        ({"status": "uncertain"}, "an uncertain figure, SLO undecided"),
        (
            {"status": "failed", "reason": "no such operator"},
            "can't be shipped in openvino int8: no",
        ),
        (
            {"accuracy": 0.5, "fp32_accuracy": 0.9, "agreement_fraction": 0.6},
            "not accepted in int8",
        ),
    ],
)
def test_what_speaks_against_shipping_is_a_warning(notes_of, columns, words):
    latency_ms = columns.pop("latency_ms", 1.0)
    latency = [fake_latency(latency_ms, trial_id="a", **columns)]
    serving = fake_serving(slo_ms=5)
    tone, text = notes_of("a", [fake_trial("a")], latency=latency, sweep={"serving": serving})[0]
    assert tone == "warn"
    assert words in text


def test_objectives_that_are_no_counts_have_no_interval(notes_of):
    sweep = {"dataset": DATASET, "objectives": ["val_f1_macro:max", "latency_p50_ms:min"]}
    trials = [fake_trial("a", val_f1_macro=0.5)]
    assert not any("samples" in text for _, text in notes_of("a", trials, sweep=sweep))


def test_further_seeds_say_how_sure_it_is(notes_of):
    trials = [
        fake_finalist("a", val_accuracy=0.9, test_accuracy=0.87),
        fake_finalist("b", val_accuracy=0.5, latency_p50_ms=0.1),
        fake_trial("c", val_accuracy=0.6, latency_p50_ms=0.2),
    ]
    seeds = [
        *fake_seeds("a", [0.87, 0.88, 0.89], test_accuracy=0.86),
        *fake_seeds("b", [0.49, 0.50, 0.51]),
        {"trial_id": "a", "seed": 9, "status": "failed", "reason": "NaN loss", "epoch": 0},
    ]
    notes = notes_of("a", trials, seeds=seeds, sweep={"dataset": DATASET})
    assert "; with further seeds 0.8600 [0.7" in notes[1][1]
    assert notes[-2] == (
        "plain",
        "Trained again with 4 further seeds, 1 of them failed. Mean validation accuracy 0.8800 "
        "[0.8502, 0.9098] (95 %); the one that it was chosen by is off by +2.00 points.",
    )
    assert notes[-1] == (
        "good",
        "Among 2 finalists it is on the true front with probability > 99 %, its knee with > 99 %.",
    )
    assert notes_of("c", trials, seeds=seeds)[-1][1] == (
        "Trained once: it was not among the finalists that were trained again with further seeds."
    )


def test_one_seed_is_too_little(notes_of):
    notes = notes_of("a", [fake_trial("a")], seeds=fake_seeds("a", [0.8]))
    assert notes[-1] == (
        "warn", "Trained again with 1 further seeds: too little to tell its place on the front.",
    )  # fmt: skip
