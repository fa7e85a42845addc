"""The lease protocol when trials fail and gangs are lost."""

import asyncio

import pytest
from fake_gang import FakeGang, failing, is_waiting, let_all_run, obey, run

from trainables import lease
from trainables.lease import LeaseDesk
from trainables.orders import (
    Done,
    Failed,
    Finished,
    Lost,
    NoGangLeftError,
    Order,
    Outcome,
    Restart,
    Start,
    TrainEpoch,
    TrialFailure,
)

# --- trials that fail ----------------------------------------------------------------------------


def test_a_trial_that_fails_on_all_ranks_leaves_its_gang_to_the_next():
    async def scenario():
        desk = LeaseDesk([2])
        gang = FakeGang(desk, failing(0, 1)).start()
        ticket = await desk.lease("a")
        await desk.order(ticket, Start({}))
        failure = await desk.order(ticket, TrainEpoch())
        assert failure == TrialFailure("rank 0 broke", "traceback of 0")
        await desk.release(ticket)

        ticket = await desk.lease("b")
        assert ticket.generation == 1
        for _ in range(2):
            assert isinstance(await desk.order(ticket, Start({})), Finished)
        flags = [order.is_after_failure for order in gang.orders[1] if isinstance(order, Start)]
        assert flags == [False, True, False]  # only the first start after a failure says so

    run(scenario())


@pytest.mark.parametrize("rank", [0, 1])
def test_one_failing_rank_is_enough(rank):
    async def scenario():
        desk = LeaseDesk([2])
        gang = FakeGang(desk, failing(rank)).start()
        ticket = await desk.lease("a")
        failure = await desk.order(ticket, TrainEpoch())
        assert failure == TrialFailure(f"rank {rank} broke", f"traceback of {rank}")
        await desk.release(ticket)
        ticket = await desk.lease("b")
        await desk.order(ticket, Start({}))
        assert gang.orders[0][-1] == Start({}, is_after_failure=True)

    run(scenario())


@pytest.mark.parametrize(("others_is_bad", "is_bad"), [(None, True), (True, True), (False, False)])
def test_a_bad_checkpoint_is_the_only_fault_or_none(others_is_bad, is_bad):
    """What another rank failed of is the trial's own failure; no earlier checkpoint mends it."""

    async def scenario():
        async def carry_out(rank: int, order: Order) -> Outcome:
            if rank == 0:
                return Failed("damaged", "traceback", is_bad_checkpoint=True)
            if others_is_bad is None:
                return await obey(rank, order)
            return Failed("also", "traceback", is_bad_checkpoint=others_is_bad)

        desk = LeaseDesk([2])
        FakeGang(desk, carry_out).start()
        ticket = await desk.lease("a")
        failure = await desk.order(ticket, Start({}, "a/epoch_0001-1"))
        assert failure == TrialFailure("damaged", "traceback", is_bad)

    run(scenario())


def test_a_rank_that_fails_late_still_counts_within_the_grace():
    async def scenario():
        async def carry_out(rank: int, order: Order) -> Outcome:
            if rank == 1:
                await asyncio.sleep(0.1)
            return Failed(f"rank {rank} broke", "")

        desk = LeaseDesk([2])
        gang = FakeGang(desk, carry_out).start()
        ticket = await desk.lease("a")
        assert isinstance(await desk.order(ticket, TrainEpoch()), TrialFailure)
        assert (await desk.snapshot())[0]["is_ready"]
        assert not any(task.done() for task in gang.tasks)

    run(scenario())


def test_a_dead_worker_makes_a_loss_of_what_the_other_took_for_a_failure():
    async def scenario():
        probed = []

        async def probe(handle):
            probed.append(handle)
            return handle != 1

        async def carry_out(rank: int, order: Order) -> Outcome:
            if rank == 1:
                await asyncio.Event().wait()  # dead: it never says anything again
            return Failed("connection closed by peer", "")

        desk = LeaseDesk([2], probe=probe)
        gang = FakeGang(desk, carry_out).start()
        ticket = await desk.lease("a")
        assert await desk.order(ticket, TrainEpoch()) == Lost("worker 1 died")
        assert isinstance(await gang.tasks[0], Restart)
        assert set(probed) == {1}  # the one that answered is not asked
        assert not (await desk.snapshot())[0]["is_ready"]

        waiting = asyncio.create_task(desk.lease("a"))
        assert await is_waiting(waiting)
        FakeGang(desk, obey, group="g2").start()
        assert (await waiting).generation == 2
        gang.kill()

    run(scenario())


def test_a_rank_that_hangs_after_another_failed_fails_the_trial_and_restarts_the_gang(monkeypatch):
    monkeypatch.setattr(lease, "FAILURE_GRACE_S", 0.2)

    async def scenario():
        may_end = asyncio.Event()

        async def carry_out(rank: int, order: Order) -> Outcome:
            if rank == 1:
                await may_end.wait()  # in a collective that rank 0 left
            return Failed("rank 0 broke", "traceback of 0")

        async def probe(handle):
            return True

        desk = LeaseDesk([2], probe=probe)
        gang = FakeGang(desk, carry_out).start()
        ticket = await desk.lease("a")
        failure = await desk.order(ticket, TrainEpoch())
        assert failure == TrialFailure("rank 0 broke", "traceback of 0")
        assert isinstance(await gang.tasks[0], Restart)
        await desk.release_trial("a")
        waiting = asyncio.create_task(desk.lease("b"))
        assert await is_waiting(waiting)
        may_end.set()  # what it says now is too late to matter
        assert isinstance(await gang.tasks[1], Restart)
        assert await is_waiting(waiting)
        new = FakeGang(desk, obey, group="g2").start()
        ticket = await waiting
        assert isinstance(await desk.order(ticket, Start({})), Finished)
        assert new.orders[0] == [Start({})]  # new processes need no new process group

    run(scenario())


# --- gangs that are lost -------------------------------------------------------------------------


def test_a_new_generation_fences_the_old_one():
    async def scenario():
        may_end = asyncio.Event()

        async def slow(rank: int, order: Order) -> Outcome:
            await may_end.wait()
            return Done({"from": "the old generation"})

        desk = LeaseDesk([2])
        old = FakeGang(desk, slow).start()
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        new = FakeGang(desk, obey, group="g2").start()
        assert await reply == Lost("gang 0 was restarted")
        assert isinstance(await desk.order(ticket, TrainEpoch()), Lost)

        ticket = await desk.lease("a")
        assert ticket.generation == 2
        reply = asyncio.create_task(desk.order(ticket, Start({})))
        may_end.set()  # the old workers report in the middle of the new generation's order
        assert await reply == Finished({"rank": 0, "order": "Start"}, pytest.approx(0, abs=5), 2)
        assert [type(await task) for task in old.tasks] == [Restart, Restart]
        assert new.orders == {0: [Start({})], 1: [Start({})]}

    run(scenario())


def test_an_idle_gang_that_restarts_costs_nobody_anything():
    async def scenario():
        desk = LeaseDesk([1])
        FakeGang(desk, obey).start(1)
        await let_all_run()
        FakeGang(desk, obey, group="g2").start(1)
        await let_all_run()
        assert (await desk.lease("a")).generation == 2

    run(scenario())


def test_a_lost_gang_answers_its_trial_and_can_join_again():
    async def scenario():
        async def hang(rank: int, order: Order) -> Outcome:
            await asyncio.Event().wait()
            raise AssertionError

        desk = LeaseDesk([2])
        gang = FakeGang(desk, hang).start()
        ticket = await desk.lease("a")
        reply = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        gang.kill()
        await desk.lose_gang(0, "its node went away")
        assert await reply == Lost("its node went away")
        waiting = asyncio.create_task(desk.lease("a"))
        assert await is_waiting(waiting)
        FakeGang(desk, obey, group="g2").start()
        assert isinstance(await desk.order(await waiting, TrainEpoch()), Finished)

    run(scenario())


def test_a_closed_gang_is_never_leased_again():
    async def scenario():
        desk = LeaseDesk([1, 1])
        FakeGang(desk, obey, gang=0).start(1)
        FakeGang(desk, obey, gang=1, group="h1").start(1)
        await let_all_run()
        await desk.close_gang(0, "it can't start")
        first = await desk.lease("a")
        assert first.gang == 1
        waiting = asyncio.create_task(desk.lease("b"))
        assert await is_waiting(waiting)
        await desk.close_gang(1, "this one neither")
        with pytest.raises(NoGangLeftError, match="it can't start"):
            await waiting
        with pytest.raises(NoGangLeftError):
            await desk.lease("c")
        assert isinstance(await desk.order(first, TrainEpoch()), Lost)

    run(scenario())
