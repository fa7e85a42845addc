"""The lease protocol under any interleaving of trials, workers and losses."""

import asyncio
import itertools
import random
from unittest import mock

import pytest
from fake_gang import FakeGang, run
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables import lease
from trainables.lease import LeaseDesk
from trainables.orders import (
    Close,
    Done,
    Failed,
    Finished,
    LeaseVoidError,
    Order,
    Outcome,
    Start,
    TrainEpoch,
)


class NoWaiting:
    """Asyncio as the desk uses it, with sleeps of one step."""

    Condition, Future = asyncio.Condition, asyncio.Future
    get_running_loop = staticmethod(asyncio.get_running_loop)

    @staticmethod
    async def sleep(delay_s: float) -> None:
        await asyncio.sleep(0)


class Turmoil:
    """Trials, workers and a driver that step in a random order, with failures and losses.

    Workers hold on to what the last Start brought, and every later order names its trial: an
    order that reaches a gang in which another trial was started is caught at once.
    """

    NUM_EPOCHS = 3

    def __init__(self, seed: int, num_gangs: int, num_trials: int) -> None:
        self._random = random.Random(seed)
        clock = itertools.count(step=0.01)  # a look at the clock takes a hundredth of a second
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
            try:
                ticket = await self._desk.lease(trial_id)
            except LeaseVoidError:  # released while it waited
                continue
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
        for gang in range(self._num_gangs):
            await self._desk.end_gang(gang)
        await self.check_ledger()

    async def check_ledger(self) -> None:
        """Each gang's spans follow one another without a gap, and nothing else was held."""
        spans, account = (await self._desk.ledger())[0], await self._desk.account()
        assert sum(span.seconds for span in spans) == pytest.approx(account.held_seconds)
        for gang in range(self._num_gangs):
            chain = [span for span in spans if span.gang == gang]
            assert chain[0].kind == "start_up"
            for before, after in itertools.pairwise(chain):
                assert before.ended_s == after.started_s
                assert before.started_s < before.ended_s
                assert before.generation <= after.generation
        kinds = {span.kind for span in spans if span.trial_id is not None}
        assert kinds <= {"training", "lost"}
        for trial_id, seconds in account.by_trial.items():
            own = [s.seconds for s in spans if s.trial_id == trial_id]
            assert sum(own) == pytest.approx(seconds)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    num_gangs=st.integers(1, 3),
    num_trials=st.integers(1, 6),
)
def test_no_two_trials_ever_share_a_gang_and_all_come_to_an_end(seed, num_gangs, num_trials):
    turmoil = Turmoil(seed, num_gangs, num_trials)
    with mock.patch.object(lease, "asyncio", NoWaiting):  # steps are counted, not timed
        run(turmoil.run())
    assert turmoil.trained == {f"t{i}": Turmoil.NUM_EPOCHS for i in range(num_trials)}
