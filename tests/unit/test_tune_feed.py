import pytest
from ray.tune import register_trainable
from ray.tune.experiment import Experiment, Trial

from sweeps.searchers.tune_feed import SearcherFeed
from trainables.epoch_result import pack


class Told:
    """A searcher that suggests 0, 1, 2 ... and notes what it hears."""

    def __init__(self, num):
        self.heard = []
        self._left = list(range(num))

    def suggest(self):
        return self._left.pop(0) if self._left else None

    def on_report(self, index, epoch, values):
        self.heard.append(("report", index, epoch, values))

    def on_complete(self, index, is_whole):
        self.heard.append(("complete", index))

    def on_error(self, index):
        self.heard.append(("error", index))


def propose(index):
    return None if index == 1 else (f"trial_{index}", {"width": index})


@pytest.fixture
def make(tmp_path):
    register_trainable("fed", lambda config: None)

    def make(searcher, num_trials=9, **options):
        feed = SearcherFeed(searcher, propose, num_trials, **options)
        feed.add_configurations([Experiment("feed", "fed", storage_path=str(tmp_path))])
        return feed

    return make


def test_what_is_proposed_is_kept_and_what_is_refused_told(make):
    searcher = Told(4)
    feed = make(searcher)
    trials = [feed.next_trial() for _ in range(4)]
    assert [trial and trial.config["width"] for trial in trials] == [0, 2, 3, None]
    assert feed.proposed == {"trial_0": 0, "trial_2": 2, "trial_3": 3}
    assert searcher.heard == [("error", 1)]
    assert feed.is_exhausted
    assert not feed.is_finished()


def test_a_refused_candidate_takes_one_of_the_trials(make):
    feed = make(Told(9), num_trials=3)
    trials = [feed.next_trial() for _ in range(3)]
    assert [trial and trial.trial_id for trial in trials] == ["trial_0", "trial_2", None]


def test_it_is_not_asked_far_ahead(make):
    feed = make(Told(9), max_active=2)
    first, second = feed.next_trial(), feed.next_trial()
    assert feed.next_trial() is None
    assert not feed.is_exhausted
    first.status = Trial.PAUSED  # its gang is free
    assert feed.next_trial().trial_id == "trial_3"
    second.status = Trial.TERMINATED
    assert feed.next_trial().trial_id == "trial_4"
    assert feed.next_trial() is None


def test_reports_are_told_with_all_that_gangs_say(make):
    searcher = Told(1)
    feed = make(searcher)
    feed.next_trial()
    row = {"epoch": 2, "val_accuracy": 0.5, "gang_seconds": 7.5, "checkpoint": "x"}
    feed.on_trial_result("trial_0", pack(row, ["val_accuracy"]))
    assert searcher.heard == [
        ("report", 0, 2, {"epoch": 2.0, "val_accuracy": 0.5, "gang_seconds": 7.5})
    ]


def test_the_last_report_comes_with_the_end(make):
    searcher = Told(4)
    feed = make(searcher)
    for _ in range(3):
        feed.next_trial()
    feed.on_trial_complete("trial_0", {"epoch": 3, "val_accuracy": 0.5})
    feed.on_trial_complete("trial_2", {"done": True})  # the budget denied its first epoch
    feed.on_trial_complete("trial_3", error=True)
    assert searcher.heard[1:] == [
        ("report", 0, 3, {"epoch": 3.0, "val_accuracy": 0.5}),
        ("complete", 0),
        ("complete", 2),
        ("error", 3),
    ]
    assert feed.next_trial() is None
    assert feed.is_finished()
