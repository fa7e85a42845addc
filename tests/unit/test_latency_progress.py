import io

from rich.console import Console

from sweeps.latency_progress import PLAIN_INTERVAL_S, LatencyProgress


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_without_a_terminal_lines_come_at_intervals():
    clock, file = Clock(), io.StringIO()
    progress = LatencyProgress(Console(file=file), clock)
    progress.begin("latencies", 3)
    progress.advance()
    clock.now_s = 60 + PLAIN_INTERVAL_S
    progress.advance()
    progress.waiting()
    progress.advance()
    progress.end()
    assert file.getvalue().splitlines() == [
        "measuring latencies: 0 of 3, 0:00",
        "measuring latencies: 2 of 3, 1:10",
        "waiting: another process measures latencies on this machine",
        "measuring latencies: 3 of 3, 1:10",
    ]


def test_in_a_terminal_one_line_lives_and_goes():
    file = io.StringIO()
    progress = LatencyProgress(Console(file=file, force_terminal=True, width=80), Clock())
    progress.begin("latencies", 1)
    progress.advance()
    progress.begin("latencies again", 1)
    progress.end()
    progress.end()
    assert "measuring latencies" in file.getvalue()


def test_it_goes_on_with_another_console():
    files = io.StringIO(), io.StringIO()
    progress = LatencyProgress(Console(file=files[0]), Clock())
    progress.show_on(Console(file=files[1]))
    progress.waiting()
    assert files[0].getvalue() == ""
    assert "waiting" in files[1].getvalue()
