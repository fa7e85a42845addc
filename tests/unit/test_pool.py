import pytest
from fake_run import fake_finalist, fake_image, fake_trial, write_run

from analysis.finalists import gather_finalists
from analysis.load import RunError, load_run, load_runs, load_trials
from analysis.pool import pool_runs, run_labels
from analysis.ranking import rank_trials


@pytest.fixture
def make(tmp_path):
    def make(name, trials, **files):
        return load_run(write_run(tmp_path / name, trials, **files))

    return make


def span(gang, trial_id):
    return {
        "gang": gang, "generation": 1, "kind": "training", "trial_id": trial_id, "started_s": 0.0,
        "ended_s": 1.0,
    }  # fmt: skip


def test_trials_of_all_runs_are_ranked_together(make):
    first = make("first", [fake_trial("t", val_accuracy=0.5), fake_trial("u", val_accuracy=0.4)])
    second = make("second", [fake_trial("t", val_accuracy=0.9)])
    pooled = pool_runs([first, second])
    ranking = rank_trials(pooled)
    assert [(row.trial_id, row.rank) for row in ranking.rows] == [
        ("second/t", 0), ("first/t", 1), ("first/u", 2),
    ]  # fmt: skip
    assert ranking.name == "first + second"
    assert set(pooled.results["trial_id"].to_pylist()) == {"first/t", "first/u", "second/t"}
    assert first.trials["trial_id"].to_pylist() == ["t", "u"]


def test_all_tables_are_pooled(make):
    files = {"attributions": [fake_image("t")], "ledger": [span(0, "t"), span(1, None)]}
    runs = [
        make(name, [fake_finalist("t", parent_trial_id=None)], **files, sweep=sweep)
        for name, sweep in (
            ("a", {"totals": {"gang_seconds": 1.0, "note": "x"}}),
            ("b", {"totals": {"gang_seconds": 2.0}, "status": "running"}),
        )
    ]
    pooled = pool_runs(runs)
    assert [f.trial_id for f in gather_finalists(pooled)] == ["a/t", "b/t"]
    assert pooled.ledger["gang"].to_pylist() == [0, 1, 2, 3]
    assert pooled.ledger["trial_id"].to_pylist() == ["a/t", None, "b/t", None]
    assert pooled.spec["totals"] == {"gang_seconds": 3.0}
    assert pooled.spec["status"] == "running"


def test_one_run_is_left_as_it_is(make):
    run = make("a", [fake_trial("t")])
    assert pool_runs([run]) is run


def test_folders_of_one_name_are_told_apart(tmp_path):
    runs = [load_run(write_run(tmp_path / name / "run", [fake_trial("t")])) for name in "ab"]
    assert run_labels(runs) == ["run#1", "run#2"]
    assert pool_runs(runs).trials["trial_id"].to_pylist() == ["run#1/t", "run#2/t"]


@pytest.mark.parametrize(
    ("sweep", "what"),
    [
        ({"objectives": ["val_loss:min"]}, "objectives"),
        ({"dataset": {"name": "cifar10", "fingerprint": "1"}}, "data"),
    ],
)
def test_runs_of_another_kind_are_not_ranked_together(make, sweep, what):
    runs = [make("a", [fake_trial("t")]), make("b", [fake_trial("t")], sweep=sweep)]
    with pytest.raises(RunError, match=f"{what} of runs that are ranked together must be the same"):
        pool_runs(runs)
    with pytest.raises(RunError, match="runs must be one or more, got none"):
        pool_runs([])


def test_several_runs_are_loaded_once_each(tmp_path):
    paths = [write_run(tmp_path / name, [fake_trial(name)]) for name in "ab"]
    assert [run.path for run in load_runs(paths)] == list(map(str, paths))
    with pytest.raises(RunError, match=r"different ones, got '.*a' twice; give each once"):
        load_runs([paths[0], paths[0]])
    with pytest.raises(RunError, match="different ones, got none"):
        load_runs([])


def test_some_columns_are_loaded_alone(tmp_path):
    folder = write_run(tmp_path / "run", [fake_trial("a", val_accuracy=0.7), fake_trial("b")])
    table = load_trials(folder, ["val_accuracy", "latency_p50_ms"])
    assert table.column_names == ["trial_id", "status", "val_accuracy", "latency_p50_ms"]
    assert table["val_accuracy"].to_pylist() == [0.7, 0.8]
    with pytest.raises(RunError, match="must include speed, got none such"):
        load_trials(folder, ["speed"])
    with pytest.raises(RunError, match=r"must hold sweep\.json"):
        load_trials(tmp_path, ["val_accuracy"])


def test_columns_that_an_older_run_lacks_are_null(tmp_path):
    import pyarrow.parquet as pq

    folder = write_run(tmp_path / "run", [fake_trial("a")], sweep={"schema_version": 2})
    path = folder / "trials.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["latency_ms"]), path)
    assert load_trials(folder, ["latency_ms"])["latency_ms"].to_pylist() == [None]
