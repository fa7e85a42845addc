import json

import pytest
from fake_run import fake_trial, write_run

from sweeps.reproduce import Reproduction, reproduce, segments
from trainables.errors import InputError

A, B, C = ({"learning_rate": rate} for rate in (0.1, 0.2, 0.3))


def step(from_epoch, config, parent=None):
    return {
        "from_epoch": from_epoch,
        "parent_trial_id": parent,
        "config": json.dumps(config),
    }


@pytest.mark.parametrize(
    ("lineage", "epoch", "expected"),
    [
        ([step(0, A)], 5, [(A, 5)]),
        ([step(0, A), step(2, B, "donor")], 5, [(A, 2), (B, 5)]),
        ([step(0, A), step(2, B, "x"), step(4, C, "y")], 5, [(A, 2), (B, 4), (C, 5)]),
    ],
)
def test_each_config_is_used_up_to_the_next(lineage, epoch, expected):
    assert list(segments({"lineage": lineage, "epoch": epoch})) == expected


@pytest.fixture
def run(tmp_path):
    trials = [
        fake_trial("good"),
        fake_trial("refused", status="refused", epoch=0),
        fake_trial("early", status="failed", epoch=0),
    ]
    spec = {"dataset": "digits", "data_dir": "data", "seed": 0, "thesaurus": None}
    dataset = {"name": "digits", "fingerprint": "0" * 16, "limit_train": 200}
    return write_run(tmp_path / "run", trials, sweep={"spec": spec, "dataset": dataset})


def refusal(run, trial):
    before = sorted(run.rglob("*")) if run.exists() else []
    with pytest.raises(InputError) as caught:
        reproduce(Reproduction(run, trial))
    assert (sorted(run.rglob("*")) if run.exists() else []) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        message = refusal(folder, "good")
        assert message == f"RUN must be a run folder, got {folder} without sweep.json; name another"


def test_an_unknown_trial_is_refused_with_those_there_are(run):
    message = refusal(run, "bad")
    assert f"TRIAL must be a trial of {run}, got 'bad'; it has good, refused, early" in message


@pytest.mark.parametrize("trial", ["refused", "early"])
def test_a_trial_that_never_trained_is_refused(run, trial):
    assert f"TRIAL must be one that trained, got {trial!r}" in refusal(run, trial)


def test_other_data_are_refused(run):
    message = refusal(run, "good")
    assert "data must be what the run used (digits, fingerprint 0000000000000000), got " in message
    assert message.endswith("; give --data-dir")
