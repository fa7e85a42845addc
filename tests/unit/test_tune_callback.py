import pickle
from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray.tune.experiment import Trial
from sample_sweep import make_plan, make_recorder, make_result

from sweeps import tune_callback
from sweeps.run_folder import RunFolder
from sweeps.tune_callback import StopOnRequest, SweepCallback, failure_text
from trainables.checkpoint_store import write_checkpoint
from trainables.trial_config import TrialConfig


def make_trial(trial_id="a", **attributes):
    values = {"status": Trial.RUNNING, "checkpoint": None, "pickled_error_file": None}
    values["run_metadata"] = SimpleNamespace(last_result={"epoch": 1, "packed": "{}"})
    return SimpleNamespace(trial_id=trial_id, **(values | attributes))


class Sweep:
    """A callback between a real recorder and a keeper and desk that only listen."""

    def __init__(self, folder, num_epochs=3):
        self.released, self.kept, self.donors, self.denials = [], [], set(), {}
        self.ended, self.said = [], []
        self.recorder = make_recorder(RunFolder(folder, overwrite=False))
        for name in "ab":
            self.recorder.add(name, TrialConfig(patience_epochs=2).to_dict())
        self.callback = SweepCallback(
            self.recorder,
            SimpleNamespace(
                add=lambda *arguments: self.kept.append(arguments),
                end=self.ended.append,
                knows=lambda location: any(location == kept[1] for kept in self.kept),
            ),
            storage=str(folder / "checkpoints"),
            donor_checkpoints=lambda: self.donors,
            release=self.released.append,
            plan=make_plan(scheduler="asha", epochs=num_epochs),
            denial=self.denials.get,
            decision=lambda trial_id: {"decision": "CONTINUE"},
            tell=self.said.append,
        )

    def tell(self, event, trial, *arguments):
        getattr(self.callback, f"on_trial_{event}")(0, [], trial, *arguments)

    def state(self, trial_id="a"):
        record = self.recorder.trials[trial_id]
        return record.status, record.reason


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path)


def test_a_trial_that_starts_runs(sweep):
    assert sweep.state() == ("pending", None)
    sweep.tell("start", make_trial())
    assert sweep.state() == ("running", None)


@pytest.mark.parametrize(
    ("num_epochs", "ended"),
    [
        (0, ("refused", "trained no epoch: too dear")),
        (2, ("stopped", "stopped by the budget after epoch 2: too dear")),
        (3, ("completed", None)),
    ],
)
def test_a_trial_that_the_budget_denied_an_epoch_says_so(sweep, num_epochs, ended):
    trial = make_trial()
    sweep.denials["a"] = "too dear"
    sweep.tell("start", trial)
    for epoch in range(1, num_epochs + 1):
        sweep.tell("result", trial, make_result(epoch))
    sweep.tell("complete", trial)
    assert sweep.state() == ended


def test_a_trial_that_reached_its_last_epoch_is_completed(sweep):
    trial = make_trial()
    sweep.tell("start", trial)
    for epoch in (1, 2, 3):
        sweep.tell("result", trial, make_result(epoch))
    sweep.tell("complete", trial)
    assert sweep.state() == ("completed", None)
    assert sweep.released == ["a"]


def test_a_trial_that_ended_early_was_stopped(sweep):
    trial = make_trial()
    sweep.tell("start", trial)
    sweep.tell("result", trial, make_result(1))
    sweep.tell("complete", trial)
    assert sweep.state() == ("stopped", "stopped by asha after epoch 1")
    assert sweep.released == ["a"]


def test_a_trial_whose_patience_ended_says_so(sweep):
    trials = {name: make_trial(name, config={"patience_epochs": 2}) for name in "ab"}
    for trial in trials.values():
        sweep.tell("start", trial)
        sweep.tell("result", trial, make_result(1))
    sweep.tell("result", trials["a"], make_result(2, is_stopped_early=True))
    for trial in trials.values():
        sweep.tell("complete", trial)
    assert sweep.state("a") == ("stopped", "stopped by its patience of 2 epochs after epoch 2")
    assert sweep.state("b") == ("stopped", "stopped by asha after epoch 1")
    assert sweep.released == ["a", "b"]


def test_a_trial_whose_patience_ends_with_its_last_epoch_is_completed(sweep):
    trial = make_trial(config={"patience_epochs": 2})
    sweep.tell("start", trial)
    sweep.tell("result", trial, make_result(3, is_stopped_early=True))
    sweep.tell("complete", trial)
    assert sweep.state() == ("completed", None)


def test_a_trial_that_failed_keeps_the_workers_words(sweep, tmp_path):
    trial = make_trial(pickled_error_file=str(tmp_path / "error.pkl"))
    sweep.tell("start", trial)
    (tmp_path / "error.pkl").write_bytes(cloudpickle.dumps(RuntimeError("NaN\nTraceback ...")))
    sweep.tell("error", trial)
    assert sweep.state() == ("failed", "NaN\nTraceback ...")
    assert sweep.released == ["a"]


def test_checkpoints_are_kept_for_donors_and_for_those_that_resume(sweep):
    sweep.donors = {"donor's"}
    resumes = make_trial("b", checkpoint=SimpleNamespace(path="b's"))
    for trial in (make_trial(), resumes):
        sweep.tell("start", trial)
    sweep.tell("result", make_trial(), make_result(1, checkpoint="a/1"))
    sweep.tell("result", make_trial(), make_result(2))  # an epoch without one
    assert sweep.kept == [("a", "a/1", {"donor's", "b's"}, None)]
    sweep.tell("complete", resumes)
    sweep.tell("result", make_trial(), make_result(3, checkpoint="a/3"))
    assert sweep.kept[-1] == ("a", "a/3", {"donor's"}, None)


def test_a_checkpoint_that_no_result_told_of_is_kept_with_what_it_came_from(sweep, tmp_path):
    root = tmp_path / "checkpoints"
    first, second = str(root / "a" / "epoch_0001-1"), str(root / "a" / "epoch_0002-1")
    write_checkpoint({"epoch": 2}, second, previous=first)
    trial = make_trial()
    sweep.tell("start", trial)
    sweep.tell("result", trial, make_result(1, checkpoint=first))
    for path in (first, second):
        checkpoint = SimpleNamespace(path=path)
        sweep.callback.on_checkpoint(0, [], trial, checkpoint=checkpoint)
    assert [kept[1] for kept in sweep.kept] == [first, second]
    assert sweep.kept[1][3] == first


def test_a_damaged_checkpoint_is_told_of_and_a_trial_that_ends_goes_on_no_more(sweep):
    trial = make_trial()
    sweep.tell("start", trial)
    sweep.tell("result", trial, make_result(1, went_back=["damaged"], went_back_to_epoch=0))
    assert sweep.said == ["damaged"]
    sweep.tell("complete", trial)
    assert sweep.ended == ["a"]


def test_pauses_are_noticed_between_steps(sweep, monkeypatch):
    monkeypatch.setattr(tune_callback, "STATUS_INTERVAL_S", 0.0)
    trial = make_trial()
    sweep.tell("start", trial)
    for status, expected in ((Trial.PAUSED, "paused"), (Trial.PENDING, "pending")):
        trial.status = status
        sweep.callback.on_step_end(0, [])
        assert sweep.state() == (expected, None)
    sweep.tell("complete", trial)
    sweep.callback.on_step_end(0, [])  # one that is over is left alone
    assert sweep.state()[0] == "stopped"


class CausedError(Exception):
    def __init__(self, cause):
        super().__init__("wrapped")
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError(" reason\nline 2 \n"), "reason\nline 2"),
        (RuntimeError(), "RuntimeError"),
        (CausedError(ValueError("the cause")), "the cause"),
    ],
)
def test_the_reason_is_the_cause(tmp_path, error, text):
    (tmp_path / "error.pkl").write_bytes(cloudpickle.dumps(error))
    assert failure_text(make_trial(pickled_error_file=tmp_path / "error.pkl")) == text


def test_a_trial_without_an_error_file_failed_before_its_first_step():
    assert failure_text(make_trial()) == "failed before its first step"


def test_a_request_stops_the_experiment_and_no_single_trial():
    is_requested = [False]
    stopper = StopOnRequest(lambda: is_requested[0])
    assert not stopper.stop_all()
    is_requested[0] = True
    assert stopper.stop_all()
    assert not stopper("a", {})
    assert not pickle.loads(pickle.dumps(stopper)).stop_all()


def test_a_trial_that_is_over_leaves_no_tables_with_tune(sweep):
    trial = make_trial()
    sweep.tell("start", trial)
    sweep.tell("result", trial, make_result(3))
    sweep.tell("complete", trial)
    assert trial.run_metadata.last_result == {"epoch": 1}
