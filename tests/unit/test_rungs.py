import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.schedulers.peers import MIN_PEERS
from sweeps.schedulers.rungs import PEER, make_rung

ETA = 3


def rung_of(order, num_objectives=2):
    return make_rung(order, ETA, num_objectives=num_objectives, known_index=1)


def rows_of(seed, num, num_values):
    """Return losses with many ties, a few NaN, and at times a known loss that is not positive."""
    draw = random.Random(seed)
    low = draw.choice([0, 1])
    rows = [
        (draw.randrange(num_values), low + draw.randrange(max(2, num_values // 4)))
        for _ in range(num)
    ]
    return [(math.nan, known) if draw.random() < 0.05 else (loss, known) for loss, known in rows]


def naive_peer(rows, number):
    """Tell whether a member goes on, by the definition."""
    if len(rows) < MIN_PEERS:
        young = rung_of("epsnet")
        for row in rows:
            young.add(row)
        return young.goes_on(number)
    known = [(row[1], n, row[0]) for n, row in enumerate(rows) if not math.isnan(row[0])]
    known.sort(key=lambda member: member[0])
    place = next((p for p, member in enumerate(known) if member[1] == number), None)
    if place is None:
        return len(rows) == 1
    mine = known[place]
    gap_of = [loss - min(m[2] for m in known if m[0] <= size) for size, _, loss in known]
    if gap_of[place] <= 0:
        return True
    num_peers = max(9, len(known) // 8)
    near = [p for p in range(max(0, place - num_peers), place + num_peers + 1) if p != place]
    near = [p for p in near if p < len(known)]
    scale = np.log if known[0][0] > 0 else float
    near.sort(key=lambda p: abs(scale(known[p][0]) - scale(mine[0])))
    peers = near[:num_peers]
    num_better = sum(known[p][2] < mine[2] for p in peers)
    if num_better > math.floor((len(peers) - 1) / ETA + 0.5):
        return False
    return sum(gap < gap_of[place] for gap in gap_of) < 2 / 3 * len(known)


@pytest.mark.parametrize("num_values", [4, 40, 4000])
@pytest.mark.parametrize("seed", range(4))
def test_peers_decide_by_the_definition(seed, num_values):
    rows = rows_of(seed, 100, num_values)
    rung = rung_of(PEER)
    for number, row in enumerate(rows):
        assert rung.add(row) == number
        assert rung.goes_on(number) == naive_peer(rows[: number + 1], number)
    for number in range(len(rows)):
        assert rung.goes_on(number) == naive_peer(rows, number)


@pytest.mark.parametrize(("order", "num_objectives"), [(PEER, 2), ("epsnet", 2), ("crowding", 2),
                                                   ("epsnet", 3), ("epsnet", 1)])  # fmt: skip
@given(data=st.data())
def test_those_that_go_on_are_found_at_once(order, num_objectives, data):
    loss = st.sampled_from([0.0, 1.0, 1.0 + 1e-16, 2.0, 3.0, 5.0, 0.1, 0.3, math.nan])
    row = st.tuples(*[loss] * num_objectives)
    rows = data.draw(st.lists(row, min_size=1, max_size=40))
    rung, waiting = rung_of(order, num_objectives), set()
    for row in rows:
        waiting.add(rung.add(row))
        found = rung.going_on(waiting)
        assert found == [number for number in sorted(waiting) if rung.goes_on(number)]
        if found and data.draw(st.booleans()):
            waiting.discard(found[0])


@pytest.mark.parametrize("num_values", [6, 60, 4000])
@pytest.mark.parametrize("seed", range(3))
def test_a_member_that_may_rise_among_its_peers_is_looked_at_in_time(seed, num_values):
    # More members than the property above draws: the number of peers grows only from 72 on.
    rung, waiting, draw = rung_of(PEER), set(), random.Random(seed)
    for row in rows_of(seed, 300, num_values):
        waiting.add(rung.add(row))
        found = rung.going_on(waiting)
        if draw.random() < 0.1:
            assert found == [number for number in sorted(waiting) if rung.goes_on(number)]
        if found and draw.random() < 0.5:
            waiting.discard(found[0])
