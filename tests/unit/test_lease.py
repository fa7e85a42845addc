"""The lease protocol with workers and trials that are plain coroutines."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables import lease
from trainables.lease import (
    Close,
    Done,
    Failed,
    Finished,
    LeaseDesk,
    Lost,
    NoGangLeftError,
    Order,
    Outcome,
    Restart,
    Save,
    Seat,
    Start,
    Ticket,
    TrainEpoch,
    TrialFailure,
)

CarryOut = Callable[[int, Order], Awaitable[Outcome]]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FakeGang:
    """The workers of one generation of a gang; says what each of them was ordered to do."""

    def __init__(self, desk: LeaseDesk, carry_out: CarryOut, *, gang: int = 0, group: str = "g1"):
        self.orders: dict[int, list[Order]] = {}
        self._desk, self._carry_out, self._gang, self._group = desk, carry_out, gang, group
        self.tasks: list[asyncio.Task[Order]] = []

    def start(self, num_workers: int = 2) -> "FakeGang":
        self.tasks = [asyncio.create_task(self._work(rank)) for rank in range(num_workers)]
        return self

    async def _work(self, rank: int) -> Order:
        """Take turns until sent home; return the last order."""
        self.orders[rank] = []
        seat = Seat("host", 100 + rank, handle=rank)
        generation = await self._desk.join(self._gang, self._group, rank, seat)
        outcome = None
        while True:
            order = await self._desk.turn(self._gang, generation, rank, outcome)
            self.orders[rank].append(order)
            if isinstance(order, Close | Restart):
                return order
            outcome = await self._carry_out(rank, order)

    def kill(self) -> None:
        for task in self.tasks:
            task.cancel()


async def obey(rank: int, order: Order) -> Outcome:
    return Done({"rank": rank, "order": type(order).__name__})


def failing(*ranks: int, when: type = TrainEpoch) -> CarryOut:
    async def carry_out(rank: int, order: Order) -> Outcome:
        if rank in ranks and isinstance(order, when):
            return Failed(f"rank {rank} broke", f"traceback of {rank}")
        return await obey(rank, order)

    return carry_out


def run(coroutine):
    """Run a test's coroutine; a protocol that hangs fails within seconds."""
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def let_all_run() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def is_waiting(task: asyncio.Task) -> bool:
    await let_all_run()
    return not task.done()


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


# --- any interleaving ----------------------------------------------------------------------------


class Turmoil:
    """Trials, workers and a driver that step in a random order, with failures and losses.

    Workers hold on to what the last Start brought, and every later order names its trial: an
    order that reaches a gang in which another trial was started is caught at once.
    """

    NUM_EPOCHS = 3

    def __init__(self, seed: int, num_gangs: int, num_trials: int) -> None:
        self._random = random.Random(seed)
        clock = itertools.count(step=3)  # every look at the clock takes three seconds
        self._desk = LeaseDesk([2] * num_gangs, clock=lambda: float(next(clock)))
        self._num_gangs, self._num_trials = num_gangs, num_trials
        self._holders: dict[int, str] = {}
        self._gangs: list[FakeGang] = []
        self._is_over = False
        self.trained: dict[str, int] = {}

    async def dawdle(self) -> None:
        for _ in range(self._random.randrange(6)):
            await asyncio.sleep(0)

    def start_gang(self, gang: int, generation: int) -> FakeGang:
        at_hand: dict[int, str] = {}  # rank -> trial

        async def carry_out(rank: int, order: Order) -> Outcome:
            await self.dawdle()
            if isinstance(order, Start):
                at_hand[rank] = order.config["trial"]
                if order.config["is_bad"]:
                    return Failed("bad config", "")
            else:
                assert isinstance(order, TrainEpoch)
                assert order.save_to == at_hand[rank]
            return Done({"trial": at_hand[rank]})

        return FakeGang(self._desk, carry_out, gang=gang, group=f"{gang}/{generation}").start()

    async def trial(self, trial_id: str) -> None:
        num_trained = 0
        while num_trained < self.NUM_EPOCHS:
            await self.dawdle()
            ticket = await self._desk.lease(trial_id)
            snapshot = (await self._desk.snapshot())[ticket.gang]
            if snapshot["trial_id"] == trial_id:  # else it was lost again already
                holders = [s["trial_id"] for s in await self._desk.snapshot() if s["trial_id"]]
                assert len(holders) == len(set(holders))
            is_bad = self._random.random() < 0.15
            order: Order = Start({"trial": trial_id, "is_bad": is_bad})
            while True:
                reply = await self._desk.order(ticket, order)
                if not isinstance(reply, Finished):
                    break
                assert reply.result == {"trial": trial_id}
                assert reply.generation == ticket.generation
                num_trained += isinstance(order, TrainEpoch)
                if num_trained >= self.NUM_EPOCHS or self._random.random() < 0.2:
                    break  # done, or paused
                order = TrainEpoch(trial_id)
                await self.dawdle()
            await self._desk.release(ticket)
        self.trained[trial_id] = num_trained

    async def trouble(self) -> None:
        """Now and then kill a gang or end a lease, until all trials are over."""
        generation = 1
        while not self._is_over:
            for _ in range(20):
                await self.dawdle()
            if self._random.random() < 0.3:
                generation += 1
                gang = self._random.randrange(self._num_gangs)
                self._gangs[gang].kill()
                await self.dawdle()
                if self._random.random() < 0.5:
                    await self._desk.lose_gang(gang, "killed")
                self._gangs[gang] = self.start_gang(gang, generation)
            elif self._random.random() < 0.5:
                await self._desk.release_trial(f"t{self._random.randrange(self._num_trials)}")

    async def run(self) -> None:
        self._gangs = [self.start_gang(gang, 1) for gang in range(self._num_gangs)]
        trouble = asyncio.create_task(self.trouble())
        await asyncio.gather(*(self.trial(f"t{i}") for i in range(self._num_trials)))
        self._is_over = True
        await trouble
        await self._desk.close()
        for gang in self._gangs:
            assert [await task for task in gang.tasks] == [Close(), Close()]
            assert gang.orders[0] == gang.orders[1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_gangs=st.integers(1, 3),
    num_trials=st.integers(1, 6),
)
def test_no_two_trials_ever_share_a_gang_and_all_come_to_an_end(seed, num_gangs, num_trials):
    turmoil = Turmoil(seed, num_gangs, num_trials)
    run(turmoil.run())
    assert turmoil.trained == {f"t{i}": Turmoil.NUM_EPOCHS for i in range(num_trials)}
