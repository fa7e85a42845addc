from trainables.node_turns import NodeTurns, NodeType

SPOT, ON_DEMAND = NodeType("spot", {"market": "spot"}), NodeType("sure", {"market": "on-demand"})


def test_the_next_type_is_asked_for_when_none_of_a_type_came_in_time():
    now_s = [100.0]
    turns = NodeTurns((SPOT, ON_DEMAND), 60.0, lambda: now_s[0])
    asked = []
    for at_s in (100.0, 130.0, 160.0, 219.0, 220.0):  # a group of workers that failed asks at once
        now_s[0] = at_s
        asked.append(turns.ask())
    assert asked == [
        (SPOT, None),
        (SPOT, None),
        (ON_DEMAND, "no spot came in 60 s: it asks for sure"),
        (ON_DEMAND, None),
        (SPOT, "no sure came in 60 s: it asks for spot"),
    ]
    now_s[0] = 280.0
    assert turns.ask()[0] is ON_DEMAND
    turns.come()
    now_s[0] = 9000.0  # lost, hours later: the first type is asked for again, and waited for
    assert turns.ask() == (SPOT, None)
    now_s[0] = 9059.0
    assert turns.ask() == (SPOT, None)


def test_a_single_type_is_asked_for_again_and_again():
    now_s = [0.0]
    turns = NodeTurns((SPOT,), 60.0, lambda: now_s[0])
    turns.ask()
    now_s[0] = 61.0
    assert turns.ask() == (SPOT, None)
