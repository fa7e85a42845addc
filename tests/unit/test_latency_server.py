import pytest

from trainables.latency import server
from trainables.latency.blocks import MAX_TRIES, TimedCall
from trainables.latency.nominal import Nominal, read_nominal
from trainables.latency.serving import Serving


def series(shortest_ms):
    return [TimedCall(shortest_ms, shortest_ms, False)]


@pytest.fixture
def time_references(tmp_path, monkeypatch):
    """Let processes take a second each and time what the test says, again and again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def set_times(times_ms):
        now_s = [0.0]

        def call_isolated(*_, **__):
            compact_ms, wide_ms = times_ms[int(now_s[0]) % len(times_ms)]
            now_s[0] += 1.0
            return [series(compact_ms), series(wide_ms)]

        def settle(*arguments):
            return server_settle(*arguments, clock=lambda: now_s[0], sleep=lambda _: None)

        monkeypatch.setattr(server, "call_isolated", call_isolated)
        monkeypatch.setattr(server, "settle", settle)
        return now_s

    server_settle = server.settle
    return set_times


def test_quiet_times_are_the_medians_of_processes_and_are_kept(time_references):
    now_s = time_references([(1.0, 2.0), (1.02, 2.04), (5.0, 9.0), (1.01, 2.02), (0.5, 1.0)])
    expected = Nominal(1.01, 2.02)
    assert server.find_nominal(Serving()) == expected
    assert read_nominal(1) == expected
    assert server.find_nominal(Serving()) == expected
    assert now_s == [5.0]  # nothing was timed for the second


@pytest.mark.parametrize("noisy", [0, 1])
def test_quiet_times_that_do_not_settle_are_not_kept(time_references, noisy):
    times_ms = [[1.0, 2.0] for _ in range(10)]
    for number, both_ms in enumerate(times_ms):
        both_ms[noisy] *= 1 + number % 5 / 10
    now_s = time_references(times_ms)
    found = server.find_nominal(Serving())
    assert not found.is_stable
    assert read_nominal(1) is None
    assert now_s == [10.0 * MAX_TRIES]
