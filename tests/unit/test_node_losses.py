"""Which nodes are avoided."""

from trainables.node_losses import MAX_LOSSES, WINDOW_S, NodeLosses


def lose(losses, node, times, now_s=0.0):
    for _ in range(times):
        losses.enter([node], now_s)


def test_a_node_is_avoided_from_the_third_loss_on():
    losses = NodeLosses()
    lose(losses, "a", MAX_LOSSES - 1)
    assert losses.avoided(["a", "b"], 0.0) == set()
    lose(losses, "a", 1)
    assert losses.avoided(["a", "b"], 0.0) == {"a"}


def test_the_last_node_and_one_among_failing_ones_are_not_avoided():
    losses = NodeLosses()
    lose(losses, "a", 5)
    assert losses.avoided(["a"], 0.0) == set()
    lose(losses, "b", 1)
    assert losses.avoided(["a", "b"], 0.0) == set()  # a fault that strikes everywhere
    assert losses.avoided(["b", "c"], 0.0) == {"a"}


def test_losses_are_forgotten_after_an_hour():
    losses = NodeLosses()
    lose(losses, "a", MAX_LOSSES)
    assert losses.avoided(["b"], WINDOW_S) == {"a"}
    assert losses.avoided(["b"], WINDOW_S + 1) == set()
