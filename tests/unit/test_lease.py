"""The lease protocol with workers and trials that are plain coroutines."""

import asyncio

from fake_gang import Clock, FakeGang, is_waiting, let_all_run, obey, run

from trainables.gang_state import Seat
from trainables.lease import LeaseDesk
from trainables.orders import Close, Finished, Lost, Order, Outcome, Save, Start, Ticket, TrainEpoch

# --- the plain course of things ------------------------------------------------------------------


def test_an_order_is_carried_out_by_all_workers_and_answered_with_rank_zeros_result():
    async def scenario():
        desk = LeaseDesk([2], clock=Clock())
        gang = FakeGang(desk, obey).start()
        ticket = await desk.lease("a")
        assert (ticket.gang, ticket.generation, ticket.trial_id) == (0, 1, "a")
        for order in (Start({"width": 4}), TrainEpoch(), Save("here")):
            reply = await desk.order(ticket, order)
            assert reply == Finished({"rank": 0, "order": type(order).__name__}, 0.0, 1)
        assert gang.orders[0] == gang.orders[1] == [Start({"width": 4}), TrainEpoch(), Save("here")]

    run(scenario())


def test_the_reply_waits_for_the_slowest_worker():
    async def scenario():
        may_end = asyncio.Event()

        async def slow(rank: int, order: Order) -> Outcome:
            if rank == 1:
                await may_end.wait()
            return await obey(rank, order)

        desk = LeaseDesk([2])
        FakeGang(desk, slow).start()
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        assert await is_waiting(reply)
        may_end.set()
        assert isinstance(await reply, Finished)

    run(scenario())


def test_a_gang_is_leased_only_once_all_its_workers_have_joined():
    async def scenario():
        desk = LeaseDesk([2])
        waiting = asyncio.create_task(desk.lease("a"))
        await desk.join(0, "g1", 0, Seat("host", 1))
        assert await is_waiting(waiting)
        assert not (await desk.snapshot())[0]["is_ready"]
        await desk.join(0, "g1", 1, Seat("host", 2))
        assert (await waiting).gang == 0

    run(scenario())


def test_a_second_trial_waits_until_the_first_gives_the_gang_back():
    async def scenario():
        desk = LeaseDesk([2])
        FakeGang(desk, obey).start()
        first = await desk.lease("a")
        waiting = asyncio.create_task(desk.lease("b"))
        assert await is_waiting(waiting)
        await desk.release(first)
        second = await waiting
        assert second.gang == first.gang
        assert isinstance(await desk.order(second, TrainEpoch()), Finished)

    run(scenario())


def test_a_ticket_is_worthless_after_its_lease():
    async def scenario():
        desk = LeaseDesk([1])
        gang = FakeGang(desk, obey).start(1)
        old = await desk.lease("a")
        new = await desk.lease("a")  # the same trial again, as after the loss of its actor
        assert isinstance(await desk.order(old, TrainEpoch()), Lost)
        await desk.release(old)  # does nothing to the new lease
        assert isinstance(await desk.order(new, TrainEpoch()), Finished)
        await desk.release(new)
        await desk.release(new)
        assert isinstance(await desk.order(new, TrainEpoch()), Lost)
        assert len(gang.orders[0]) == 1

    run(scenario())


def test_the_payload_is_handed_to_every_worker_that_asks():
    desk = LeaseDesk([1], payload=["data"])
    assert run(desk.payload()) == ["data"]


def test_a_snapshot_tells_of_every_gang():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([2, 1], clock=clock)
        clock.now_s = 7.0
        FakeGang(desk, obey).start(2)
        await desk.lease("a")
        await desk.close_gang(1, "no GPU")
        return await desk.snapshot()

    first, second = run(scenario())
    assert first == {
        "gang": 0,
        "generation": 1,
        "is_ready": True,
        "ready_s": 7.0,
        "workers": [("host", 100), ("host", 101)],
        "trial_id": "a",
        "close_reason": None,
    }
    assert (second["is_ready"], second["trial_id"], second["close_reason"]) == (
        False,
        None,
        "no GPU",
    )


# --- trials that are over, and the end -----------------------------------------------------------


def test_a_trial_that_is_over_frees_its_gang_once_the_workers_have_reported():
    async def scenario():
        may_end = asyncio.Event()

        async def slow(rank: int, order: Order) -> Outcome:
            if isinstance(order, TrainEpoch):
                await may_end.wait()
            return await obey(rank, order)

        desk = LeaseDesk([2])
        gang = FakeGang(desk, slow).start()
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        await desk.release_trial("a")
        assert await reply == Lost("the lease was ended")
        assert (await desk.snapshot())[0]["trial_id"] is None
        waiting = asyncio.create_task(desk.lease("b"))
        assert await is_waiting(waiting)  # the workers still train a's epoch
        may_end.set()
        answer = await desk.order(await waiting, Start({"trial": "b"}))
        assert answer.result["order"] == "Start"
        assert gang.orders[0] == gang.orders[1] == [TrainEpoch(), Start({"trial": "b"})]

    run(scenario())


def test_releasing_a_trial_without_a_lease_does_nothing():
    async def scenario():
        desk = LeaseDesk([1])
        FakeGang(desk, obey).start(1)
        await desk.release_trial("nobody")
        ticket = await desk.lease("a")
        await desk.release_trial("nobody")
        assert isinstance(await desk.order(ticket, TrainEpoch()), Finished)

    run(scenario())


def test_closing_sends_the_workers_home_after_their_order():
    async def scenario():
        may_end = asyncio.Event()

        async def slow(rank: int, order: Order) -> Outcome:
            await may_end.wait()
            return await obey(rank, order)

        desk = LeaseDesk([2, 1])
        busy = FakeGang(desk, slow).start()
        idle = FakeGang(desk, obey, gang=1, group="h1").start(1)
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        await desk.close()
        assert await reply == Lost("the sweep is over")
        assert await idle.tasks[0] == Close()
        assert not any(task.done() for task in busy.tasks)
        may_end.set()
        assert [await task for task in busy.tasks] == [Close(), Close()]

    run(scenario())


# --- the ledger ----------------------------------------------------------------------------------


def test_gang_seconds_add_up_over_a_trials_leases():
    async def scenario():
        clock = Clock()
        desk = LeaseDesk([1], clock=clock)
        FakeGang(desk, obey).start(1)

        async def seconds(ticket: Ticket) -> float:
            return (await desk.order(ticket, TrainEpoch())).gang_seconds

        first = await desk.lease("a")
        clock.now_s = 10
        assert await seconds(first) == 10
        clock.now_s = 12
        await desk.release(first)
        clock.now_s = 100  # paused: it pays nothing
        other = await desk.lease("b")
        clock.now_s = 103
        assert await seconds(other) == 3
        await desk.release_trial("b")
        again = await desk.lease("a")
        clock.now_s = 108
        assert await seconds(again) == 12 + 5
        await desk.lose_gang(0, "its node went away")  # lost time is paid for too
        FakeGang(desk, obey, group="g2").start(1)
        clock.now_s = 200
        last = await desk.lease("a")
        clock.now_s = 201
        assert await seconds(last) == 12 + 5 + 1

    run(scenario())
