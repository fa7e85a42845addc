"""What the desk enters into the ledger, with workers that are coroutines and a clock in hand."""

import asyncio

import pytest
from fake_gang import Clock, FakeGang, is_waiting, let_all_run, obey, run

from trainables.gang_state import Seat
from trainables.lease import LeaseDesk
from trainables.ledger import GangStanding
from trainables.orders import Denied, Done, Finished, Lost, Save, Start, TrainEpoch


async def saving(rank, order):
    """Obey, and save where the order says so."""
    return Done({"checkpoint": getattr(order, "save_to", None), "val_seconds": 0.5})


def kinds(spans):
    return [(s.kind, s.trial_id, s.started_s, s.ended_s) for s in spans]


def test_a_plain_course_of_things():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([2], clock=clock, held_from_s=-4.0)
        clock.now_s = 10
        FakeGang(desk, saving).start()
        await let_all_run()
        clock.now_s = 11
        ticket = await desk.lease("a")
        clock.now_s = 20
        await desk.release(ticket)
        clock.now_s = 21
        ticket = await desk.lease("a", "examination")
        clock.now_s = 26
        await desk.release(ticket)
        clock.now_s = 28
        await desk.close()
        clock.now_s = 30
        await desk.end_gang(0)
        assert kinds((await desk.ledger())[0]) == [
            ("start_up", None, -4, 10),
            ("idle", None, 10, 11),
            ("training", "a", 11, 20),
            ("idle", None, 20, 21),
            ("examination", "a", 21, 26),
            ("idle", None, 26, 28),
            ("end", None, 28, 30),
        ]
        assert [s.generation for s in (await desk.ledger())[0]] == [1] * 7
        assert kinds((await desk.ledger(5))[0]) == [("idle", None, 26, 28), ("end", None, 28, 30)]

    run(scenario())


def test_a_lost_gang_loses_what_was_not_saved_and_the_wait_for_its_return():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([1], clock=clock)
        FakeGang(desk, saving).start(1)
        ticket = await desk.lease("a")
        await desk.order(ticket, Start({}))
        for now_s, order in ((5, TrainEpoch("here")), (9, TrainEpoch())):
            clock.now_s = now_s
            assert isinstance(await desk.order(ticket, order), Finished)
        clock.now_s = 12
        await desk.lose_gang(0, "its node went away")
        assert isinstance(await desk.order(ticket, TrainEpoch()), Lost)
        clock.now_s = 30
        FakeGang(desk, saving, group="g2").start(1)
        await let_all_run()
        assert kinds((await desk.ledger())[0]) == [
            ("training", "a", 0, 5),  # saved at 5
            ("lost", "a", 5, 12),
            ("lost", None, 12, 30),
        ]
        account = await desk.account()
        assert (account.by_trial, account.lost_by_trial) == ({"a": 12}, {"a": 7})

    run(scenario())


def test_an_order_that_is_cut_off_is_lost_and_carried_out_for_nobody():
    async def scenario():
        clock, may_end = Clock(), asyncio.Event()

        async def slow(rank, order):
            await may_end.wait()
            return await obey(rank, order)

        desk = LeaseDesk([1], clock=clock)
        FakeGang(desk, slow).start(1)
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        assert await is_waiting(reply)
        clock.now_s = 4
        await desk.release_trial("a")
        assert isinstance(await reply, Lost)
        clock.now_s = 6
        may_end.set()
        await let_all_run()
        clock.now_s = 7
        await desk.lease("b")
        assert kinds((await desk.ledger())[0]) == [
            ("lost", "a", 0, 4),
            ("lost", None, 4, 6),
            ("idle", None, 6, 7),
        ]

    run(scenario())


def test_a_gang_that_cannot_start_is_held_to_the_end_and_lost():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([1, 1], clock=clock)
        clock.now_s = 2
        await desk.close_gang(1, "no such device")
        clock.now_s = 3
        await desk.end_gang(1)
        assert (await desk.standing()).holding.num_held == 2
        clock.now_s = 10
        await desk.close()
        await desk.end_gang(0)
        of_second = [s for s in (await desk.ledger())[0] if s.gang == 1]
        assert kinds(of_second) == [("start_up", None, 0, 2), ("lost", None, 2, 10)]
        assert (await desk.standing()).holding.num_held == 0

    run(scenario())


class FakeGate:
    """Pays for as many epochs as are asked for, up to a number."""

    def __init__(self, num_epochs):
        self.left, self.seen, self.asked = num_epochs, [], []

    def refusal(self, trial_id, config, num_epochs, holding, *, is_retraining=False):
        self.asked.append((trial_id, is_retraining))
        return None if num_epochs <= self.left else f"{trial_id} is too dear"

    def observe(self, trial_id, config, seconds, result):
        self.left -= 1
        self.seen.append((trial_id, config["width"], seconds, result["val_seconds"]))

    def is_spent(self, holding):
        return self.left == 0


def test_the_gate_hears_of_epochs_and_is_asked_before_them():
    async def scenario():
        clock, gate = Clock(), FakeGate(2)

        async def takes_3_s(rank, order):
            clock.now_s += 3
            return await saving(rank, order)

        desk = LeaseDesk([1], clock=clock, gate=gate)
        FakeGang(desk, takes_3_s).start(1)
        ticket = await desk.lease("a")
        assert isinstance(await desk.order(ticket, Start({"width": 4}, num_to_save=2)), Finished)
        for num_to_save in (2, 0):
            reply = await desk.order(ticket, TrainEpoch(num_to_save=num_to_save))
            assert isinstance(reply, Finished)
        assert gate.seen == [("a", 4, 3.0, 0.5)] * 2
        assert (await desk.standing()).is_spent
        denied = await desk.order(ticket, TrainEpoch(num_to_save=1))
        assert denied == Denied("a is too dear")
        assert await desk.denials() == {"a": "a is too dear"}
        # What was granted is saved all the same.
        assert isinstance(await desk.order(ticket, Save("here")), Finished)
        assert await desk.refusal("b", {"width": 4}, 1) == "b is too dear"
        assert await desk.refusal("b", {"width": 4}, 0) is None

    run(scenario())


def test_a_further_training_is_its_trials_and_costs_it_nothing():
    async def scenario():
        clock, gate = Clock(), FakeGate(9)
        desk = LeaseDesk([1, 1], clock=clock, gate=gate)
        FakeGang(desk, saving).start(1)
        FakeGang(desk, saving, gang=1).start(1)
        first = await desk.lease("a.seed_1", "retraining", "a")
        second = await desk.lease("a.seed_2", "retraining", "a")  # of the same trial, beside it
        assert (first.gang, second.gang) == (0, 1)
        await desk.order(first, Start({"width": 4}, num_to_save=2))
        clock.now_s = 5
        assert isinstance(await desk.order(first, TrainEpoch("here")), Finished)
        clock.now_s = 7
        await desk.release(second)
        await desk.lose_gang(0, "its node went away")
        assert kinds((await desk.ledger())[0]) == [
            ("retraining", "a", 0, 7),
            ("retraining", "a", 0, 5),  # saved at 5
            ("lost", None, 5, 7),
        ]
        assert (await desk.account()).by_trial == {}
        assert gate.asked == [("a", True)]
        assert [trial_id for trial_id, *_ in gate.seen] == ["a"]

    run(scenario())


def test_giving_up_denies_whatever_is_asked_or_in_flight():
    async def scenario():
        clock, never = Clock(), asyncio.Event()

        async def hang(rank, order):
            await never.wait()

        desk = LeaseDesk([1, 1], clock=clock)
        gang = FakeGang(desk, hang).start(1)
        FakeGang(desk, obey, gang=1).start(1)
        first, second = await desk.lease("a"), await desk.lease("b")
        reply = asyncio.create_task(desk.order(first, TrainEpoch()))
        waiting = asyncio.create_task(desk.lease("c"))
        assert await is_waiting(waiting)
        clock.now_s = 5
        await desk.give_up("spent")
        assert await reply == await waiting == Denied("spent")
        assert await desk.order(second, TrainEpoch()) == Denied("spent")
        assert await desk.lease("d") == Denied("spent")
        assert await desk.refusal("e", {}, 1) == "spent"
        assert sorted(await desk.denials()) == ["a", "b", "c", "d"]
        # No controller ever started these gangs, so nothing is held any more.
        assert (await desk.standing()).holding.num_held == 0
        assert not await desk.lose_gang(0, "killed")  # it shall not start again
        gang.kill()

    run(scenario())


def test_the_controllers_of_gangs_are_named_before_their_workers():
    async def scenario():
        desk = LeaseDesk([1, 1])
        assert await desk.enter_controller(1, "controller 1")
        await desk.join(0, "g", 0, Seat("host", 1, handle="worker"))
        assert await desk.actors() == ["controller 1", "worker"]
        await desk.close()
        assert not await desk.enter_controller(0, "controller 0")  # it shall end at once

    run(scenario())


@pytest.mark.parametrize("num_leases", [0, 2])
def test_the_standing_tells_idle_time_and_leases(num_leases):
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([1], clock=clock)
        FakeGang(desk, obey).start(1)
        await let_all_run()
        for _ in range(num_leases):
            clock.now_s += 2
            ticket = await desk.lease("a")
            clock.now_s += 1
            await desk.release(ticket)
        standing = await desk.standing()
        assert standing.idle_seconds == 2 * num_leases
        assert (standing.num_leases, standing.num_spans) == (num_leases, 2 * num_leases)
        assert not standing.is_spent

    run(scenario())


def test_a_gang_stands_where_its_workers_are_with_what_it_does_now():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([2, 1], clock=clock)
        FakeGang(desk, obey).start(2)
        await let_all_run()
        await desk.lease("a")
        clock.now_s = 3
        assert (await desk.standing()).gangs == (
            GangStanding(0, 1, "training", "a", 3, ("host", "host")),
            GangStanding(1, 0, "start_up", None, 3, ()),
        )
        await desk.end_gang(0)
        await desk.close()
        assert [gang.gang for gang in (await desk.standing()).gangs] == [1]

    run(scenario())
