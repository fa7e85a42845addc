import pytest

from sweeps.journal import Event
from sweeps.past import Standstill, read_past

CONFIGS = {name: {"learning_rate": rate} for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.3))}


class Story:
    """Events of a run, told a line each."""

    def __init__(self):
        self.events = []
        for trial_id, config in CONFIGS.items():
            self.tell("add", trial_id, config=config)
        self.tell("drawn")

    def tell(self, kind, trial_id=None, **fields):
        named = {} if trial_id is None else {"trial_id": trial_id}
        self.events.append(Event(len(self.events), kind, named | fields))

    def begin(self, trial_id):
        self.tell("begin", trial_id)

    def report(self, trial_id, epoch, decision="CONTINUE", lease=1, is_saved=True, **result):
        checkpoint = f"checkpoints/{trial_id}/epoch_{epoch:04d}-{lease}" if is_saved else None
        result = {"epoch": epoch, "checkpoint": checkpoint, **result}
        self.tell("report", trial_id, result=result, decision=decision, is_contended=False)

    def past(self):
        return read_past(self.events)


@pytest.fixture
def story():
    return Story()


def epochs_kept(past, trial_id):
    return [
        event.fields["result"]["epoch"]
        for event in past.events
        if event.kind == "report" and event.fields["trial_id"] == trial_id
    ]


def test_trials_that_had_not_begun_stand_nowhere(story):
    past = story.past()
    assert (past.standstills, past.ends, past.newest) == ({}, [], {})
    assert past.is_drawn
    assert not read_past(story.events[:-1]).is_drawn


def test_a_trial_goes_on_from_its_newest_checkpoint(story):
    story.begin("a")
    story.report("a", 1)
    story.report("a", 2)
    past = story.past()
    assert past.standstills == {
        "a": Standstill(CONFIGS["a"], "checkpoints/a/epoch_0002-1", is_paused=False)
    }
    assert past.newest == {"a": "checkpoints/a/epoch_0002-1"}


def test_epochs_that_no_checkpoint_holds_are_not_counted_twice(story):
    story.begin("a")
    for epoch in (1, 2, 3, 4):
        story.report("a", epoch, is_saved=epoch == 2)
    past = story.past()
    assert past.standstills["a"].checkpoint == "checkpoints/a/epoch_0002-1"
    assert epochs_kept(past, "a") == [1, 2]
    assert len(past.all_events) == len(story.events)


def test_what_ended_keeps_all_its_epochs(story):
    story.begin("a")
    story.report("a", 1)
    story.report("a", 2, "STOP", is_saved=False)
    story.tell("finish", "a", status="stopped", reason=None)
    past = story.past()
    assert (past.standstills, past.ends) == ({}, [])
    assert epochs_kept(past, "a") == [1, 2]
    assert past.newest == {"a": "checkpoints/a/epoch_0001-1"}


@pytest.mark.parametrize("last", [{"decision": "STOP"}, {"done": True}])
def test_an_end_that_was_decided_and_not_written_down_is_one(story, last):
    story.begin("a")
    story.report("a", 1, **last)
    assert (story.past().standstills, story.past().ends) == ({}, ["a"])


def test_a_pause_lasts_until_the_scheduler_ends_it(story):
    story.begin("a")
    story.report("a", 1, "PAUSE")
    assert story.past().standstills["a"].is_paused
    story.tell("resume", "a")
    assert not story.past().standstills["a"].is_paused


def test_a_checkpoint_that_the_scheduler_asked_for_counts(story):
    story.begin("a")
    story.report("a", 1, "PAUSE", is_saved=False)
    assert story.past().standstills["a"].checkpoint is None
    story.tell("saved", "a", checkpoint="checkpoints/a/epoch_0001-1")
    assert story.past().standstills["a"].checkpoint == "checkpoints/a/epoch_0001-1"
    assert epochs_kept(story.past(), "a") == [1]


def exploit(story):
    for name in "ab":
        story.begin(name)
        for epoch in (1, 2):
            story.report(name, epoch, lease="ab".index(name) + 1)
    story.tell("exploit", "a", donor_id="b", donor_epoch=1, config={"learning_rate": 0.5})
    story.report("a", 3, "NOOP")  # that led to it


def test_an_exploit_that_had_not_begun_goes_on_from_the_donor(story):
    exploit(story)
    past = story.past()
    assert past.standstills["a"] == Standstill(
        {"learning_rate": 0.5}, "checkpoints/b/epoch_0001-2", is_paused=True
    )
    assert past.newest["b"] == "checkpoints/b/epoch_0002-2"
    assert epochs_kept(past, "a") == [1, 2, 3]


def test_an_exploit_that_had_begun_is_the_trials_own(story):
    exploit(story)
    story.begin("a")
    donor = Standstill({"learning_rate": 0.5}, "checkpoints/b/epoch_0001-2", is_paused=False)
    assert story.past().standstills["a"] == donor
    assert story.past().newest["a"] is None  # what it had is of what it was
    story.report("a", 2, lease=5)
    assert story.past().standstills["a"].checkpoint == "checkpoints/a/epoch_0002-5"
    assert epochs_kept(story.past(), "a") == [1, 2, 3, 2]
    assert story.past().first_lease == 6


def test_what_only_the_budget_ended_goes_on(story):
    story.begin("a")
    story.report("a", 1)
    story.tell("unpaid", "a", reason="spent")
    assert "a" in story.past().standstills


def complete(story, trial_id):
    story.begin(trial_id)
    story.report(trial_id, 1, is_saved=True)
    story.report(trial_id, 2, "STOP", done=True)
    story.tell("finish", trial_id, status="completed", reason=None)


def test_what_was_trained_to_the_end_can_go_on_from_there(story):
    complete(story, "a")
    story.begin("b")
    story.report("b", 1, "STOP")
    story.tell("finish", "b", status="stopped", reason="by asha")
    past = story.past()
    last = Standstill(CONFIGS["a"], "checkpoints/a/epoch_0002-1", is_paused=False)
    assert past.completed == {"a": last}
    assert past.unended == ["c"]
    story.tell("reopen", "a", config={"num_epochs": 4})
    past = story.past()
    again = Standstill({"num_epochs": 4}, "checkpoints/a/epoch_0002-1", is_paused=False)
    assert past.standstills == {"a": again}
    assert (past.completed, past.ends, past.unended) == ({}, [], ["a", "c"])
    assert epochs_kept(past, "a") == [1, 2]


def test_a_trial_whose_last_checkpoint_was_deleted_can_not_go_on(story):
    complete(story, "a")
    story.tell("forget", "a")
    assert story.past().completed == {}


def test_refused_trials_have_ended(story):
    story.begin("a")
    story.tell("refuse", "a", reason="too slow")
    assert story.past().standstills == {}


def test_gangs_were_held_as_long_as_the_last_look_of_each_process_says(story):
    ended, lost = [0, 1, "training", "a", 10.0, 12.0], [0, 1, "lost", "a", 12.0, 13.0]
    story.tell("held", ended=[], open=[[0, 1, "training", "a", 10.0, 11.0]])
    story.tell("held", ended=[ended], open=[lost])
    story.tell("process")
    story.tell("held", ended=[], open=[[0, 1, "start_up", None, 20.0, 24.0]])
    past = story.past()
    assert past.held_seconds == 2.0 + 1.0 + 4.0
    assert past.seconds_by_trial() == {"a": 3.0}


def test_checkpoints_are_where_the_run_lies_now(story):
    story.begin("a")
    story.report("a", 1)
    located = story.past().located(lambda checkpoint: f"/moved/{checkpoint}")
    assert located["a"].checkpoint == "/moved/checkpoints/a/epoch_0001-1"
