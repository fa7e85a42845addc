import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.ledger import TRIAL_KINDS, Ledger


class Clock:
    def __init__(self, now_s=0.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def spans(ledger):
    return [(s.gang, s.kind, s.trial_id, s.started_s, s.ended_s) for s in ledger.spans]


def test_what_a_gang_did_is_a_chain_from_its_request_to_its_end():
    clock = Clock(100.0)
    ledger = Ledger(1, clock, held_from_s=90.0)
    for now_s, kind, trial_id in (
        (110, "idle", None),
        (111, "training", "a"),
        (120, "idle", None),
        (121, "examination", "a"),
        (125, "end", None),
    ):
        clock.now_s = now_s
        ledger.turn_to(0, kind, trial_id, 1)
    clock.now_s = 126
    ledger.close(0)
    assert spans(ledger) == [
        (0, "start_up", None, 90, 110),
        (0, "idle", None, 110, 111),
        (0, "training", "a", 111, 120),
        (0, "idle", None, 120, 121),
        (0, "examination", "a", 121, 125),
        (0, "end", None, 125, 126),
    ]
    account = ledger.account()
    assert account.held_seconds == 36
    assert account.by_trial == {"a": 9}  # its examination came after its cost was settled
    assert ledger.holding().num_held == 0


def test_open_spans_count():
    clock = Clock()
    ledger = Ledger(2, clock)
    clock.now_s = 5
    ledger.turn_to(1, "training", "a", 1)
    clock.now_s = 7
    assert ledger.seconds_of("a") == 2
    assert ledger.account().by_kind == {"start_up": 12, "training": 2}
    holding = ledger.holding()
    assert (holding.now_s, holding.held_seconds, holding.num_held) == (7, 14, 2)
    now = [(s.gang, s.kind, s.trial_id, s.seconds) for s in ledger.open_spans()]
    assert now == [(0, "start_up", None, 7), (1, "training", "a", 2)]


def test_what_a_failure_took_away_is_what_was_not_saved():
    clock = Clock()
    ledger = Ledger(1, clock)
    ledger.turn_to(0, "training", "a", 1)
    clock.now_s = 10
    ledger.mark_saved(0)
    clock.now_s = 14
    ledger.lose(0)
    ledger.turn_to(0, "lost", None, 1)
    clock.now_s = 20
    ledger.turn_to(0, "idle", None, 2)
    assert spans(ledger) == [
        (0, "training", "a", 0, 10),
        (0, "lost", "a", 10, 14),
        (0, "lost", None, 14, 20),
    ]
    account = ledger.account()
    assert (account.by_trial, account.lost_by_trial) == ({"a": 14}, {"a": 4})


def test_without_a_checkpoint_all_since_the_lease_began_is_lost():
    clock = Clock()
    ledger = Ledger(1, clock)
    ledger.turn_to(0, "training", "a", 1)
    clock.now_s = 3
    ledger.lose(0)
    ledger.close(0)
    assert spans(ledger) == [(0, "lost", "a", 0, 3)]


@pytest.mark.parametrize("kind", ["examination", "retraining"])
def test_what_is_lost_after_the_search_is_nobodys_cost(kind):
    clock = Clock()
    ledger = Ledger(1, clock)
    ledger.turn_to(0, kind, "a", 1)
    clock.now_s = 3
    ledger.lose(0)
    ledger.close(0)
    assert spans(ledger) == [(0, "lost", None, 0, 3)]
    assert ledger.account().by_trial == {}


@pytest.mark.parametrize("call", ["turn_to", "mark_saved", "lose", "close"])
def test_a_gang_whose_workers_have_ended_does_nothing_more(call):
    clock = Clock()
    ledger = Ledger(1, clock)
    clock.now_s = 1
    ledger.close(0)
    clock.now_s = 2
    arguments = ("idle", None, 1) if call == "turn_to" else ()
    getattr(ledger, call)(0, *arguments)
    assert ledger.account().held_seconds == 1


KINDS = st.sampled_from(
    ["start_up", "training", "examination", "retraining", "idle", "lost", "end"]
)
STEPS = st.tuples(
    st.sampled_from(["turn", "turn", "turn", "save", "lose", "close"]),
    st.integers(0, 2),
    KINDS,
    st.sampled_from([None, "a", "b"]),
    st.floats(0, 100),
)


@given(st.lists(STEPS, max_size=60))
def test_spans_have_no_gaps_and_no_overlaps_and_sum_to_what_was_held(steps):
    clock = Clock()
    ledger = Ledger(3, clock)
    ends = {}
    for what, gang, kind, trial_id, later_s in steps:
        clock.now_s += later_s
        if what == "turn":
            ledger.turn_to(gang, kind, trial_id, 1)
        elif what == "save":
            ledger.mark_saved(gang)
        elif what == "lose":
            ledger.lose(gang)
        else:
            ledger.close(gang)
            ends.setdefault(gang, clock.now_s)
    for gang in range(3):
        ledger.close(gang)
        end_s = ends.get(gang, clock.now_s)
        chain = sorted(
            (s for s in ledger.spans if s.gang == gang), key=lambda s: (s.started_s, s.ended_s)
        )
        assert sum(s.seconds for s in chain) == pytest.approx(end_s)
        if chain:
            assert (chain[0].started_s, chain[-1].ended_s) == (0.0, end_s)
        for before, after in itertools.pairwise(chain):
            assert before.ended_s == after.started_s
    account = ledger.account()
    assert account.held_seconds == pytest.approx(sum(s.seconds for s in ledger.spans))
    assert sum(account.by_kind.values()) == pytest.approx(account.held_seconds)
    own = [s for s in ledger.spans if s.trial_id and s.kind in TRIAL_KINDS]
    assert sum(account.by_trial.values()) == pytest.approx(sum(s.seconds for s in own))


def test_what_is_open_is_told_as_if_it_were_lost_now():
    clock = Clock()
    ledger = Ledger(2, clock)
    clock.now_s = 5.0
    ledger.turn_to(0, "training", "a", 1)
    clock.now_s = 7.0
    ledger.mark_saved(0)
    clock.now_s = 10.0
    told = [(s.gang, s.kind, s.trial_id, s.started_s, s.ended_s) for s in ledger.if_lost_now()]
    assert told == [
        (0, "training", "a", 5.0, 7.0),
        (0, "lost", "a", 7.0, 10.0),
        (1, "start_up", None, 0.0, 10.0),
    ]
    assert sum(s.seconds for s in [*ledger.spans, *ledger.if_lost_now()]) == 20.0
    ledger.turn_to(0, "idle", None, 1)
    assert ledger.account().by_trial == {"a": 5.0}  # telling has changed nothing
    ledger.turn_to(1, "retraining", "a", 1)
    clock.now_s = 12.0
    told = [(s.kind, s.trial_id) for s in ledger.if_lost_now()]
    assert told == [("idle", None), ("lost", None)]


def test_a_gang_whose_nodes_are_still_to_come_costs_nothing():
    clock = Clock()
    ledger = Ledger(4, clock, num_there=1)
    clock.now_s = 10.0
    assert [(a.gang, a.kind, a.seconds) for a in ledger.awaited()] == [
        (1, "awaited", 10.0),
        (2, "awaited", 10.0),
        (3, "awaited", 10.0),
    ]
    assert ledger.holding().held_seconds == 10.0
    assert ledger.holding().num_held == 4  # the budget must last for all of them
    ledger.arrive(2)
    ledger.arrive(2)  # said again
    clock.now_s = 15.0
    assert ledger.account().by_kind == {"start_up": 15.0 + 5.0}
    ledger.arrive(1)  # a node went again: what is held stays held
    clock.now_s = 20.0
    for gang in range(4):
        ledger.turn_to(gang, "end", None, 0)
        ledger.close(gang)
    assert spans(ledger) == [
        (0, "start_up", None, 0.0, 20.0),
        (1, "start_up", None, 10.0, 20.0),
    ]
    assert ledger.holding().num_held == 0
    assert ledger.awaited() == []


def test_a_gang_that_is_there_takes_the_place_of_one_that_was_thought_to_be():
    clock = Clock()
    ledger = Ledger(3, clock, num_there=0)
    clock.now_s = 5.0
    ledger.arrive(1)  # it might be any; gang 0 is taken for it
    clock.now_s = 8.0
    ledger.turn_to(2, "idle", None, 1)
    clock.now_s = 9.0
    ledger.turn_to(1, "training", "a", 1)  # nobody had seen its node come
    clock.now_s = 11.0
    assert [a.gang for a in ledger.awaited()] == [0]
    now = [(s.gang, s.kind, s.started_s, s.ended_s) for s in ledger.open_spans()]
    assert spans(ledger) == [(2, "start_up", None, 5.0, 8.0)]
    assert now == [(1, "training", 9.0, 11.0), (2, "idle", 8.0, 11.0)]
