"""Gangs whose workers are coroutines, for the tests of the lease protocol."""

import asyncio
from collections.abc import Awaitable, Callable

from trainables.gang_state import Seat
from trainables.lease import LeaseDesk
from trainables.orders import Close, Done, Failed, Order, Outcome, Restart, TrainEpoch

CarryOut = Callable[[int, Order], Awaitable[Outcome]]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FakeGang:
    """The workers of one generation of a gang; says what each of them was ordered to do."""

    def __init__(
        self,
        desk: LeaseDesk,
        carry_out: CarryOut,
        *,
        gang: int = 0,
        group: str = "g1",
        node: str = "",
    ):
        self.orders: dict[int, list[Order]] = {}
        self._desk, self._carry_out, self._gang, self._group = desk, carry_out, gang, group
        self._node = node
        self.tasks: list[asyncio.Task[Order]] = []

    def start(self, num_workers: int = 2) -> "FakeGang":
        self.tasks = [asyncio.create_task(self._work(rank)) for rank in range(num_workers)]
        return self

    async def _work(self, rank: int) -> Order:
        """Take turns until sent home; return the last order."""
        self.orders[rank] = []
        seat = Seat("host", 100 + rank, handle=rank, node_id=self._node)
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
