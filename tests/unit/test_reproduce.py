import json

import pytest
from fake_run import fake_trial, write_run

from sweeps.reproduce import Reproduction, reproduce
from trainables.errors import InputError

A, B, C = ({"learning_rate": rate} for rate in (0.1, 0.2, 0.3))


def step(from_epoch, config, parent=None):
    return {
        "from_epoch": from_epoch,
        "parent_trial_id": parent,
        "config": json.dumps(config),
    }


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


def test_a_trial_whose_name_is_a_path_is_refused(tmp_path):
    run = write_run(tmp_path / "run", [fake_trial("../../x")])
    assert "TRIAL must be a name and no path, got '../../x'" in refusal(run, "../../x")


@pytest.mark.parametrize(
    "lineage",
    [
        [],
        [step(1, A)],
        [step(None, A)],
        [step(0, A), step(4, B), step(2, C)],
        [step(0, A), step(9, B)],
    ],
)
def test_a_lineage_that_leads_nowhere_is_refused(tmp_path, lineage):
    run = write_run(tmp_path / "run", [fake_trial("a", lineage=lineage, epoch=5)])
    assert "the lineage of TRIAL must go from epoch 0 to 5" in refusal(run, "a")


def test_a_config_that_is_none_is_refused(tmp_path):
    run = write_run(tmp_path / "run", [fake_trial("a", config={"__class__": "os.system"})])
    assert "must be fields of TrialConfig" in refusal(run, "a")


@pytest.mark.parametrize("gangs", [None, [], {}, {"workers_per_gang": "2"}])
def test_a_run_that_does_not_say_its_gangs_is_refused(tmp_path, gangs):
    run = write_run(tmp_path / "run", [fake_trial("a")], sweep={"gangs": gangs})
    assert "gangs in sweep.json must say" in refusal(run, "a")


def test_a_run_that_does_not_say_its_data_is_refused(tmp_path):
    run = write_run(tmp_path / "run", [fake_trial("a")], sweep={"spec": {}})
    assert "must say which data the run used" in refusal(run, "a")
