import dataclasses
import json

import pytest
from sample_data import random_data
from sample_sweep import TWO_GANGS, make_plan

from analysis.records import JOURNAL_FOLDER, SWEEP_FILE
from sweeps.extension import changes_of, check_extension, check_searcher
from sweeps.journal import Journal
from sweeps.past import read_past
from sweeps.plan import plan_sweep
from sweeps.resumption import parse_sweep, read_resumption, recorded_spec
from sweeps.spec import SweepSpec
from sweeps.sweep_file import describe_sweep
from trainables.errors import InputError
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig(width=8).to_dict()


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", make_plan(trials=2, seed=3))


def write_run(folder, plan, is_drawn=True, **changes):
    folder.mkdir()
    content = describe_sweep(plan, random_data(), "a note", [], 1.0) | changes
    (folder / SWEEP_FILE).write_text(json.dumps(content))
    journal = Journal(folder / JOURNAL_FOLDER)
    journal.append("process")
    for name in "ab":
        journal.append("add", trial_id=name, config=CONFIG)
    journal.append("refuse", trial_id="b", reason="too slow")
    if is_drawn:
        journal.append("drawn")
    journal.close()
    return folder


def test_what_was_chosen_stays_as_it_was(run):
    spec = recorded_spec(SweepSpec(), str(run))
    assert (spec.seed, spec.trials, spec.epochs, spec.batch_size) == (3, 2, 12, 16)
    assert spec.objectives == ("val_accuracy:max", "latency_ms:min", "gang_seconds:min")
    assert (spec.workers_per_trial, spec.resume, spec.out) == (2, str(run), str(run))
    # Now in dollars too; what the run goes by stays.
    spec = dataclasses.replace(spec, price_usd_per_hour=1.0)
    plan = plan_sweep(spec, TWO_GANGS, random_data(), None)
    resumption = read_resumption(spec)
    resumption.check_plan(plan, random_data())
    assert [str(objective) for objective in plan.objectives] == list(spec.objectives)


def test_its_trials_are_those_that_were_drawn(run):
    resumption = read_resumption(recorded_spec(SweepSpec(), str(run)))
    first, second = resumption.trials(lambda config: None)
    assert (first.trial_id, first.config.to_dict(), first.refusal) == ("a", CONFIG, None)
    assert second.refusal.reason == "too slow"
    assert resumption.next_number == 5


def test_flags_that_are_left_out_are_the_runs(run, monkeypatch):
    arguments = ["sweep.py", "--resume", str(run), "--budget-gpu-hours", "2"]
    monkeypatch.setattr("sys.argv", arguments)
    spec = parse_sweep(SweepSpec())
    assert spec == dataclasses.replace(recorded_spec(SweepSpec(), str(run)), budget_gpu_hours=2.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "--seed 4 where the run has 3"),
        ({"trials": 1}, "--trials 1 where the run has 2"),
        ({"scheduler": "asha"}, "--scheduler asha where the run has fifo"),
        (
            {"objectives": ("val_accuracy:max", "latency_ms:max")},
            "--objectives val_accuracy:max latency_ms:max where the run has val_accuracy:max",
        ),
    ],
)
def test_what_must_not_change_is_named_with_both_values(run, change, words):
    spec = dataclasses.replace(recorded_spec(SweepSpec(), str(run)), **change)
    with pytest.raises(InputError, match=r"--resume must keep what the run began with") as caught:
        read_resumption(spec)
    assert words in str(caught.value)


def test_there_may_be_more_trials_but_in_a_population(tmp_path, run):
    spec = dataclasses.replace(recorded_spec(SweepSpec(), str(run)), trials=9)
    assert len(read_resumption(spec).trials(lambda config: None)) == 2
    members = write_run(tmp_path / "members", make_plan(scheduler="pbt", trials=2))
    spec = dataclasses.replace(recorded_spec(SweepSpec(), str(members)), trials=9)
    with pytest.raises(InputError, match="--trials 9 where the run has 2"):
        read_resumption(spec)


def extended(run, **changes):
    return dataclasses.replace(recorded_spec(SweepSpec(), str(run)), extend=str(run), **changes)


@pytest.fixture
def ended(run):
    """The run, with trial a trained to the end and trial c stopped."""
    journal = Journal(run / JOURNAL_FOLDER, 5)
    for name, status in (("a", "completed"), ("c", "stopped")):
        config = {**CONFIG, "num_epochs": 12}
        if name == "c":
            journal.append("add", trial_id=name, config=config)
        journal.append("begin", trial_id=name)
        checkpoint = f"checkpoints/{name}/epoch_0012-1"
        result = {"epoch": 12, "checkpoint": checkpoint}
        journal.append("report", trial_id=name, result=result, decision="STOP")
        journal.append("finish", trial_id=name, status=status, reason=None)
    journal.close()
    return run


def test_an_extended_run_goes_on_where_it_was_trained_to_the_end(ended):
    resumption = read_resumption(extended(ended, epochs=20))
    (event,) = resumption.reopened
    assert event.fields == {"trial_id": "a", "config": {**CONFIG, "num_epochs": 20}}
    standstill = resumption.past.standstills["a"]
    assert (standstill.checkpoint, standstill.config["num_epochs"]) == (
        "checkpoints/a/epoch_0012-1",
        20,
    )
    configs = {t.trial_id: t.config for t in resumption.trials(lambda config: None)}
    assert [configs[name].num_epochs for name in "ac"] == [20, 12]
    # Event numbers go on after that of the process which writes them.
    assert (resumption.next_number, event.number) == (12, 13)
    kept = resumption.kept({"command": "again", "started_unix_s": 9.0})
    assert kept["resumed"][-1]["extended"] == {"epochs": {"before": 12, "now": 20}}
    assert "--epochs 20 in place of 12; 1 trials" in resumption.lines[1]
    assert "cosine rises to where that of 20 epochs" in resumption.lines[1]
    plan = plan_sweep(extended(ended, epochs=20), TWO_GANGS, random_data(), None)
    resumption.check_plan(plan, random_data())


def test_an_extended_run_may_be_judged_by_other_objectives_and_runtimes(ended):
    objectives = ("val_loss:min", "num_parameters:min")
    resumption = read_resumption(extended(ended, objectives=objectives, runtime="onnxruntime"))
    assert (resumption.reopened, list(resumption.changes)) == ([], ["objectives", "runtime"])
    assert resumption.latencies() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "--extend must come with more --trials or --epochs"),
        ({"epochs": 11}, "--extend must keep what the run began with, got --epochs 11"),
        ({"seed": 4}, "--extend must keep what the run began with, got --seed 4"),
    ],
)
def test_what_a_run_can_not_be_extended_by_is_one_line(ended, changes, words):
    with pytest.raises(InputError, match=words):
        read_resumption(extended(ended, **changes))


def test_a_run_is_extended_only_once_all_have_ended(run, monkeypatch):
    with pytest.raises(InputError, match="with 1 that have not; go on with it first: --resume"):
        read_resumption(extended(run, epochs=20))
    monkeypatch.setattr("sys.argv", ["sweep.py", "--resume", str(run), "--extend", str(run)])
    with pytest.raises(InputError, match="--extend must be left out with --resume"):
        parse_sweep(SweepSpec())


@pytest.mark.parametrize(
    ("flags", "changes", "words"),
    [
        ({"scheduler": "hyperband"}, {"epochs": 20}, "--epochs must stay as they are with hyperb"),
        ({"latency_slo_ms": 5.0}, {"runtime": "openvino"}, "--runtime must stay as the run has it"),
        ({}, {"epochs": 20}, "--epochs may be more where a trial was trained to the end and has"),
        ({"searcher": "known_latency", "scheduler": "mo_asha",
          "objectives": ("val_accuracy:max", "latency_ms:min")},
         {"epochs": 20, "trials": 9}, "--trials must stay as they are with known_latency"),
    ],
)  # fmt: skip
def test_what_a_scheduler_or_searcher_can_not_bear_is_refused(flags, changes, words):
    recorded = dataclasses.replace(make_plan(trials=2, **flags).spec, epochs=12)
    spec = dataclasses.replace(recorded, extend="run", **changes)
    found = changes_of(spec, recorded)
    past = read_past([])
    if "searcher" in flags:
        with pytest.raises(InputError, match=words):
            check_searcher(make_plan(trials=2, **flags), {"searcher": "known_latency"}, found)
    else:
        with pytest.raises(InputError, match=words):
            check_extension(spec, found, past)


def test_other_data_or_another_space_are_refused(run):
    spec = recorded_spec(SweepSpec(), str(run))
    resumption = read_resumption(spec)
    plan = plan_sweep(spec, TWO_GANGS, random_data(), None)
    with pytest.raises(InputError, match="must find the data that the run began with"):
        resumption.check_plan(plan, random_data(160))
    for name, changes in (
        ("fixed hyperparameters", {"fixed": {**plan.fixed, "momentum": 0.5}}),
        ("space", {"space": {name: plan.space[name] for name in list(plan.space)[1:]}}),
    ):
        with pytest.raises(InputError, match=f"must find the {name} that the run began with"):
            resumption.check_plan(dataclasses.replace(plan, **changes), random_data())


def test_what_is_no_run_is_refused(tmp_path, run):
    def refusal(folder):
        with pytest.raises(InputError) as caught:
            read_resumption(recorded_spec(SweepSpec(), str(folder)))
        return str(caught.value)

    assert "without sweep.json" in refusal(tmp_path / "nowhere")
    early = write_run(tmp_path / "early", make_plan(trials=2), is_drawn=False)
    assert "which ended before; start it again with --overwrite" in refusal(early)
    older = write_run(tmp_path / "older", make_plan(trials=2), schema_version=1)
    assert "schema version" in refusal(older)
    (run / SWEEP_FILE).write_text("{")
    assert "must name a whole run folder" in refusal(run)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / SWEEP_FILE).write_text((early / SWEEP_FILE).read_text())
    assert "without one; start a new run" in refusal(bare)


def test_a_run_that_is_still_written_is_left_alone(run):
    resumption = read_resumption(recorded_spec(SweepSpec(), str(run)))
    writer = Journal(run / JOURNAL_FOLDER, resumption.next_number)
    with pytest.raises(InputError, match="which another process is writing"):
        Journal(run / JOURNAL_FOLDER, resumption.next_number)
    writer.close()
