import json
from types import SimpleNamespace

import pytest
from ray.tune import register_trainable
from ray.tune.experiment import Experiment
from sample_sweep import make_plan, make_recorder, make_result

from sweeps.draw import DrawnTrial, draw_trials
from sweeps.feeding import make_feed, trials_to_come, unchosen_words
from sweeps.journal import Event
from sweeps.past import read_past
from sweeps.run_folder import RunFolder
from sweeps.searchers.choose import make_search
from sweeps.trial_record import Architecture
from trainables.errors import InputError


def describe(config):
    return Architecture("any", {"latency_p50_ms": 2.0})


class Watch:
    """Refuses wide models, as a budget that can't pay them does."""

    spent = None

    def refusal(self, trial_id, config):
        return "too dear" if config["width"] > 8 else None


def prepare(**flags):
    plan = make_plan(**{"trials": 6, **flags})
    search = make_search(plan, lambda config: None, lambda config: {"latency_ms": 1.0})
    trials = (
        draw_trials(plan, lambda config: None)
        if search is None
        else [
            DrawnTrial(f"trial_{number:04d}", config, None)
            for number, config in enumerate(search.stand_ins)
        ]
    )
    architectures = SimpleNamespace(describe=describe)
    return SimpleNamespace(
        plan=plan, search=search, trials=trials, architectures=architectures, past=None
    )


@pytest.fixture(autouse=True)
def small_pool(monkeypatch):
    monkeypatch.setattr("sweeps.searchers.choose.POOL_SIZE", 100)


@pytest.fixture
def recorder(tmp_path):
    recorder = make_recorder(RunFolder(tmp_path / "run", overwrite=False))
    yield recorder
    recorder.close()


def begin(sweep, recorder, tmp_path, standstills={}, write=lambda *_, **__: None):  # noqa: B006
    register_trainable("fed", lambda config: None)
    feed = make_feed(sweep, recorder, Watch(), standstills, write)
    feed.add_configurations([Experiment("feed", "fed", storage_path=str(tmp_path))])
    return feed


def end(feed, trial):
    trial.status = "TERMINATED"
    feed.on_trial_complete(trial.trial_id)


@pytest.mark.parametrize("searcher", ["known_latency", "motpe"])
def test_trials_are_recorded_as_they_are_chosen_and_those_that_are_not_paid_too(
    recorder, tmp_path, searcher
):
    sweep = prepare(searcher=searcher)
    feed = begin(sweep, recorder, tmp_path)
    while (trial := feed.next_trial()) is not None:
        assert recorder.trials[trial.trial_id].config == trial.config
        end(feed, trial)
    assert feed.is_finished()
    assert list(recorder.trials) == [f"trial_{number:04d}" for number in range(6)]
    for record in recorder.trials.values():
        is_paid = record.config["width"] <= 8
        assert record.status == ("pending" if is_paid else "refused")
        assert (record.trial_id in feed.proposed) == is_paid
    assert unchosen_words(sweep, recorder, Watch()) == []


def test_a_searcher_is_asked_for_one_more_than_there_are_gangs(recorder, tmp_path):
    sweep = prepare(searcher="motpe", widths=(8,))
    feed = begin(sweep, recorder, tmp_path)
    trials = [feed.next_trial() for _ in range(sweep.plan.gangs.num_gangs + 2)]
    assert trials.pop() is None
    assert None not in trials


def test_stand_ins_stand_for_what_is_not_chosen_yet(recorder, tmp_path):
    sweep = prepare(searcher="motpe", widths=(8,))
    trials = trials_to_come(sweep, recorder)
    feed = begin(sweep, recorder, tmp_path)
    assert [trial.config for trial in trials()] == [t.config.to_dict() for t in sweep.trials]
    assert {trial.value("latency_p50_ms") for trial in trials()} == {2.0}
    feed.next_trial()
    feed.next_trial()
    assert trials()[:2] == list(recorder.trials.values())
    assert len(trials()) == 6


def test_a_drawn_sweep_has_no_stand_ins(recorder):
    assert trials_to_come(prepare(searcher="random"), recorder)() == []


def test_a_search_that_ends_early_says_so(recorder, tmp_path):
    sweep = prepare(searcher="motpe")
    words = unchosen_words(sweep, recorder, Watch())
    assert words == [
        "motpe found no config that may train for the last 6 of 6 trials; raise the SLO or lower "
        "--trials"
    ]


def train(feed, recorder, trial, number):
    """Let a trial report its last epoch and end, as Tune and the callback tell of it."""
    result = make_result(12, val_accuracy=0.5 + 0.01 * number, is_last=True, done=True)
    recorder.begin(trial.trial_id)
    recorder.report(trial.trial_id, result, {"decision": "STOP"})
    trial.status = "TERMINATED"
    feed.on_trial_complete(trial.trial_id, result)
    recorder.finish(trial.trial_id, "completed")


@pytest.mark.parametrize("searcher", ["known_latency", "motpe", "tpe"])
def test_a_searcher_of_a_run_that_goes_on_suggests_as_it_would_have(tmp_path, searcher):
    events = []

    def write(kind, *, is_synced=False, **fields):
        events.append(Event(len(events), kind, json.loads(json.dumps(fields))))

    def make(name):
        recorder = make_recorder(RunFolder(tmp_path / name, overwrite=False))
        return recorder, prepare(searcher=searcher, widths=(4, 8), trials=12)

    recorder, sweep = make("whole")
    recorder._write = write
    feed, configs = begin(sweep, recorder, tmp_path, write=write), []
    for number in range(12):
        trial = feed.next_trial()
        configs.append(trial.config)
        if number == 5:
            cut = len(events)  # this one waits for its gang, and is given again
        train(feed, recorder, trial, number)
    again, sweep = make("again")
    sweep.past = read_past(events[:cut])
    again.replay(sweep.past.events)
    feed, found = begin(sweep, again, tmp_path, sweep.past.standstills), []
    for number in range(5, 12):
        trial = feed.next_trial()
        found.append(trial.config)
        train(feed, again, trial, number)
    assert found == configs[5:]
    assert feed.next_trial() is None
    assert feed.is_finished()


def test_a_searcher_that_suggests_otherwise_is_an_error(recorder, tmp_path):
    sweep = prepare(searcher="motpe")
    first = sweep.search.searcher.suggest()
    sweep = prepare(searcher="motpe")
    sweep.past = read_past([Event(0, "suggest", {"trial_id": "trial_0000", "index": first + 1})])
    with pytest.raises(InputError, match=f"got candidate {first} for trial_0000 where it had"):
        begin(sweep, recorder, tmp_path)
