"""The desk looks after its gangs: hangs, nodes that go away, nodes that fail."""

import asyncio

from fake_gang import Clock, FakeGang, is_waiting, let_all_run, obey, run

from trainables.hang import FLOOR_S
from trainables.orders import Done, Finished, Lost, Order, Outcome, Restart, Start, TrainEpoch
from trainables.watched_desk import WatchedDesk


class Stuck:
    """Carries orders out, but for epochs once it is told to hang."""

    def __init__(self) -> None:
        self.hangs = False

    async def __call__(self, rank: int, order: Order) -> Outcome:
        if self.hangs and isinstance(order, TrainEpoch):
            await asyncio.Event().wait()
        return Done({"rank": rank})


async def look_for(desk, clock, seconds, ranks=(0, 1), *, num_steps=0, draining=None):
    """Let seconds pass, in which some ranks speak and do no step; return what was found last."""
    lines, doomed = [], []
    for _ in range(int(seconds)):
        clock.now_s += 1.0
        for rank in ranks:
            await desk.beat(0, 1, rank, num_steps)
        found = await desk.look(draining or {})
        lines, doomed = lines + list(found.lines), doomed + list(found.doomed)
    return lines, doomed


async def begin(desk, trial_id="a"):
    """Lease a gang, and train one epoch there, so that the trial has a limit of its own."""
    ticket = await desk.lease(trial_id)
    await desk.order(ticket, Start({}))
    await desk.order(ticket, TrainEpoch())
    return ticket


def test_a_gang_that_hangs_is_lost_and_said_once():
    async def scenario():
        clock, stuck = Clock(), Stuck()
        desk = WatchedDesk([2], clock=clock)
        FakeGang(desk, stuck, node="n1").start()
        ticket = await begin(desk)
        stuck.hangs = True
        order = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        assert await look_for(desk, clock, FLOOR_S) == ([], [])
        assert await is_waiting(order)
        lines, doomed = await look_for(desk, clock, 5)
        assert doomed == [0, 1]
        assert lines == [
            "gang 0 hangs (no step for 61 s, where 60 s is the limit) and starts again; a goes on "
            "from its last checkpoint (generation 1)"
        ]
        assert "gang 0 hangs" in (await order).reason
        # The next generation goes on.
        again = asyncio.create_task(desk.lease("a"))
        await let_all_run()
        FakeGang(desk, obey, group="g2", node="n1").start()
        ticket = await again
        assert ticket.generation == 2
        assert isinstance(await desk.order(ticket, Start({})), Finished)

    run(scenario())


def test_a_silent_worker_is_found_though_the_other_speaks():
    async def scenario():
        clock, stuck = Clock(), Stuck()
        desk = WatchedDesk([2], clock=clock)
        FakeGang(desk, stuck).start()
        ticket = await desk.lease("a")
        await desk.order(ticket, Start({}))
        stuck.hangs = True
        order = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        await look_for(desk, clock, 3)
        lines, _ = await look_for(desk, clock, FLOOR_S + 1, ranks=(0,))
        assert len(lines) == 1
        assert "worker 1 has said nothing for 60 s" in lines[0]
        assert isinstance(await order, Lost)

    run(scenario())


def test_an_idle_gang_and_one_that_steps_do_not_hang():
    async def scenario():
        clock, stuck = Clock(), Stuck()
        desk = WatchedDesk([2], clock=clock)
        FakeGang(desk, stuck).start()
        ticket = await begin(desk)
        assert await look_for(desk, clock, 10 * FLOOR_S) == ([], [])
        stuck.hangs = True
        order = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        for num_steps in range(20):
            assert await look_for(desk, clock, 50, num_steps=num_steps) == ([], [])
        assert await is_waiting(order)

    run(scenario())


def test_a_machine_that_slept_is_no_hang():
    async def scenario():
        clock, stuck = Clock(), Stuck()
        desk = WatchedDesk([2], clock=clock)
        FakeGang(desk, stuck).start()
        ticket = await begin(desk)
        stuck.hangs = True
        order = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        await look_for(desk, clock, 2)
        clock.now_s += 8 * 3600  # nobody looked, for all were stopped
        assert await look_for(desk, clock, FLOOR_S) == ([], [])
        assert await is_waiting(order)
        assert len((await look_for(desk, clock, 2))[0]) == 1  # a real one is found afterwards

    run(scenario())


def test_what_a_stopped_gang_says_later_is_fenced_off():
    async def scenario():
        clock, held = Clock(), asyncio.Event()

        async def late(rank: int, order: Order) -> Outcome:
            if isinstance(order, TrainEpoch):
                await held.wait()
            return Done({"rank": rank})

        desk = WatchedDesk([2], clock=clock)
        gang = FakeGang(desk, late).start()
        ticket = await desk.lease("a")
        await desk.order(ticket, Start({}))
        order = asyncio.create_task(desk.order(ticket, TrainEpoch()))
        await let_all_run()
        await look_for(desk, clock, FLOOR_S + 2, ranks=())
        assert isinstance(await order, Lost)
        held.set()
        assert all(isinstance(last, Restart) for last in await asyncio.gather(*gang.tasks))
        assert not (await desk.snapshot())[0]["is_ready"]

    run(scenario())


def test_a_trial_leaves_a_node_that_goes_away():
    async def scenario():
        clock = Clock()
        desk = WatchedDesk([2, 2], clock=clock)
        leaving = FakeGang(desk, obey, node="n1").start()
        FakeGang(desk, obey, gang=1, node="n2").start()
        ticket = await begin(desk)
        lines, _ = await look_for(desk, clock, 3, draining={"n1": 0.0})
        assert lines == [
            "host goes away: a saves after this epoch, and gang 0 moves (generation 1)"
        ]
        reply = await desk.order(ticket, TrainEpoch())
        assert reply.is_to_move
        await desk.release(ticket)
        assert (await desk.lease("a")).gang == 1
        await look_for(desk, clock, 1, draining={"n1": 0.0})
        assert all(isinstance(last, Restart) for last in await asyncio.gather(*leaving.tasks))
        FakeGang(desk, obey, group="g2", node="n3").start()
        await let_all_run()
        elsewhere = await desk.lease("b")
        assert (elsewhere.gang, elsewhere.generation) == (0, 2)
        assert not (await desk.order(elsewhere, Start({}))).is_to_move

    run(scenario())


def test_a_node_that_loses_gangs_again_and_again_is_avoided_and_said():
    async def scenario():
        clock = Clock()
        desk = WatchedDesk([2, 2], clock=clock)
        await desk.enter_controller(0, "controller")
        FakeGang(desk, obey, gang=1, node="good").start()
        for number in range(4):
            assert await desk.avoided() == []
            FakeGang(desk, obey, group=f"g{number}", node="bad").start()
            await let_all_run()
            await desk.look({})
            lines, doomed = [], []
        # The fourth generation has joined: three were lost.
        assert await desk.avoided() == ["bad"]
        lines, doomed = await look_for(desk, clock, 1)
        assert (lines, doomed) == ([], ["controller"])  # its next run asks for other nodes
        assert (await desk.lease("a")).gang == 1

    run(scenario())


def test_the_only_node_is_never_avoided():
    async def scenario():
        desk = WatchedDesk([2], clock=Clock())
        for number in range(9):
            FakeGang(desk, obey, group=f"g{number}", node="only").start()
            await let_all_run()
            await desk.look({})
        assert await desk.avoided() == []
        assert (await desk.lease("a")).gang == 0

    run(scenario())
