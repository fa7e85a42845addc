import json

import pytest
from fake_run import fake_trial, write_run

from trainables.data.load import load_dataset
from trainables.errors import InputError
from trainables.latency.measure import Subject
from trainables.latency.trained_run import read_run
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=8)


def trial(trial_id, val_accuracy, latency_ms, **columns):
    return fake_trial(
        trial_id,
        val_accuracy=val_accuracy,
        latency_p50_ms=latency_ms,
        config=CONFIG.to_dict(),
        **columns,
    )


def run_with(folder, *trials, **sweep):
    return read_run(write_run(folder / "run", trials, sweep=sweep))


def ids(subjects):
    return [subject.trial_id for subject in subjects]


def test_the_front_is_chosen_unless_trials_are_named(tmp_path):
    run = run_with(
        tmp_path,
        trial("best", 0.9, 2.0),
        trial("fast", 0.8, 1.0),
        trial("dominated", 0.7, 1.5),
        trial("failed", 0.99, 0.1, status="failed"),
        trial("unknown", 0.99, None),
    )
    assert ids(run.subjects([])) == ["best", "fast"]
    assert ids(run.subjects(["dominated", "best"])) == ["dominated", "best"]


def test_a_subject_is_what_was_trained(tmp_path):
    run = run_with(
        tmp_path,
        trial("here", 0.9, 2.0, checkpoint="checkpoints/here/5"),
        trial("there", 0.8, 1.0, checkpoint="s3://bucket/there/5"),
    )
    here, there = run.subjects([])
    assert here == Subject(CONFIG, str(tmp_path / "run" / "checkpoints/here/5"), "here")
    assert there.checkpoint == "s3://bucket/there/5"


def test_those_of_the_front_without_weights_are_left_out(tmp_path):
    run = run_with(tmp_path, trial("best", 0.9, 2.0, checkpoint=None), trial("fast", 0.8, 1.0))
    assert ids(run.subjects([])) == ["fast"]


@pytest.mark.parametrize(
    ("trial_ids", "message"),
    [
        (["other"], "--trial must be a trial of .*run, got 'other'; it has bare"),
        (["bare"], "--trial must be one with a checkpoint, got 'bare' without"),
        ([], "MODEL must be a run with a checkpoint of its front"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, trial_ids, message):
    run = run_with(tmp_path, trial("bare", 0.9, 2.0, checkpoint=None))
    with pytest.raises(InputError, match=message):
        run.subjects(trial_ids)


def test_a_run_in_which_nothing_was_trained_has_no_front(tmp_path):
    with pytest.raises(InputError, match="with a checkpoint of its front"):
        run_with(tmp_path, trial("failed", None, None, status="failed")).subjects([])


@pytest.mark.parametrize("name", ["sweep.json", "trials.parquet"])
@pytest.mark.parametrize("content", [None, "half of it"])
def test_what_is_no_whole_run_is_refused(tmp_path, name, content):
    folder = write_run(tmp_path / "run", [trial("best", 0.9, 2.0)])
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(
        InputError, match=r"MODEL must be (an ONNX file or a run|a whole run) folder"
    ):
        read_run(folder)


def test_the_data_are_those_of_the_run(tmp_path):
    data, _ = load_dataset("digits", "data", seed=3, limit_train=200)
    recorded = {"name": "digits", "fingerprint": data.fingerprint, "limit_train": 200}
    spec = {"dataset": "digits", "data_dir": "data", "seed": 3}
    run = run_with(tmp_path, trial("best", 0.9, 2.0), spec=spec, dataset=recorded)
    assert run.load_data(None).fingerprint == data.fingerprint
    other = json.loads(json.dumps(run.sweep)) | {"dataset": {**recorded, "fingerprint": "0"}}
    (tmp_path / "run" / "sweep.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="data must be what the run used"):
        read_run(tmp_path / "run").load_data(None)
