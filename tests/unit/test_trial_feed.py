import pytest
from ray.tune import register_trainable
from ray.tune.experiment import Experiment, Trial
from sample_sweep import make_plan

from sweeps.draw import draw_trials
from sweeps.trial_feed import TrialFeed

CONFIGS = [(f"trial_{i}", {"width": i}) for i in range(3)]


@pytest.fixture
def feed(tmp_path):
    register_trainable("fed", lambda config: None)
    feed = TrialFeed(CONFIGS)
    feed.add_configurations([Experiment("feed", "fed", storage_path=str(tmp_path))])
    return feed


def end(trial, status=Trial.TERMINATED):
    trial.status = status


def test_trials_come_in_order_under_our_ids(feed):
    assert feed.total_samples == 3
    trials = [feed.next_trial() for _ in CONFIGS]
    assert [(trial.trial_id, trial.config) for trial in trials] == CONFIGS
    assert feed.next_trial() is None
    assert feed.total_samples == 3


@pytest.mark.parametrize("status", [Trial.TERMINATED, Trial.ERROR])
def test_it_is_finished_only_when_all_trials_have_ended(feed, status):
    trials = []
    while (trial := feed.next_trial()) is not None:
        assert not feed.is_finished()
        trials.append(trial)
    for trial in trials:
        assert not feed.is_finished()
        end(trial, status)
    assert feed.is_finished()


def test_a_trial_that_is_refused_is_left_out(feed, tmp_path):
    asked = []

    def is_refused(trial_id, config):
        asked.append((trial_id, config))
        return trial_id != "trial_1"

    refusing = TrialFeed(CONFIGS, is_refused)
    refusing.add_configurations([Experiment("feed", "fed", storage_path=str(tmp_path))])
    trial = refusing.next_trial()
    assert trial.trial_id == "trial_1"
    assert refusing.next_trial() is None
    assert asked == CONFIGS
    end(trial)
    assert refusing.is_finished()


def test_a_paused_trial_has_not_ended(feed):
    trials = [feed.next_trial() for _ in CONFIGS]
    for trial in trials:
        end(trial)
    trials[0].status = Trial.PAUSED
    assert not feed.is_finished()


def test_nothing_comes_after_tune_stopped_the_experiment(feed):
    feed.next_trial()
    feed.set_finished()
    assert feed.is_finished()
    assert feed.next_trial() is None


def test_configs_are_copied(feed):
    feed.next_trial().config["width"] = 99
    assert CONFIGS[0] == ("trial_0", {"width": 0})


def test_a_set_of_trials_has_the_order_of_their_numbers(feed):
    trials = [feed.next_trial() for _ in range(3)]
    assert list(set(reversed(trials))) == trials  # of addresses it would be by chance


def test_a_sweep_without_a_trial_is_finished():
    assert TrialFeed([]).is_finished()


def test_a_drawn_config_passes_through_tune_unchanged(tmp_path):
    register_trainable("fed", lambda config: None)
    drawn = draw_trials(make_plan(trials=2), lambda config: None)
    feed = TrialFeed([(trial.trial_id, trial.config.to_dict()) for trial in drawn])
    feed.add_configurations([Experiment("feed", "fed", storage_path=str(tmp_path))])
    for trial in drawn:
        assert feed.next_trial().config == trial.config.to_dict()
