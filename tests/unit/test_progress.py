import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from analysis.records import Objective
from sweeps import progress
from sweeps.progress import MAX_GANGS, MAX_ROWS, Progress
from sweeps.trial_record import TrialRecord
from trainables.ledger import GangStanding

OBJECTIVES = (Objective("val_accuracy", "max"), Objective("latency_p50_ms", "min"))


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def trial(trial_id, status="running", epoch=0, accuracy=None, latency_ms=1.0, **columns):
    return TrialRecord(
        trial_id, {}, status, epoch=epoch,
        figures={"val_accuracy": accuracy, "latency_p50_ms": latency_ms}, **columns,
    )  # fmt: skip


class Screen:
    """A progress display of given trials, on a console that is read as text."""

    def __init__(self, *trials, num_trials=None, is_terminal=False, **options):
        self.stream, self.clock = io.StringIO(), Clock()
        console = Console(
            file=self.stream, width=120, force_terminal=is_terminal, color_system=None
        )
        self.progress = Progress(
            SimpleNamespace(trials={t.trial_id: t for t in trials}),
            console,
            title=options.pop("title", "pbt on digits"),
            objectives=options.pop("objectives", OBJECTIVES),
            num_trials=len(trials) if num_trials is None else num_trials,
            num_epochs=10,
            clock=self.clock,
            **options,
        )

    def line(self, after_s=0.0) -> str:
        self.clock.now_s += after_s
        return self.progress.line()

    def table(self) -> str:
        stream = io.StringIO()
        Console(file=stream, width=120, color_system=None).print(self.progress.table())
        return stream.getvalue()

    def rows(self) -> list[list[str]]:
        lines = self.table().splitlines()
        bodies = [line for line in lines if line.startswith("│")]
        return [[cell.strip() for cell in line.strip("│").split("│")] for line in bodies]


def test_a_sweep_that_waits_says_so():
    assert Screen(num_trials=4).line(after_s=65) == "1:05 | 4 pending"


def test_the_line_counts_states_and_shows_the_best():
    screen = Screen(
        trial("a", "completed", 10, 0.8, 2.0),
        trial("b", "stopped", 3, 0.9123456, 3.0),
        trial("c", "running", 1, 0.5),
        trial("d", "pending"),
        trial("e", "refused", latency_ms=9.0),
        trial("f", "failed", 5, 0.99),
        num_trials=8,
    )
    parts = screen.line(after_s=3600 + 62).split(" | ")
    assert parts[0] == "1:01:02"
    assert parts[1] == "1 running, 3 pending, 1 completed, 1 stopped, 1 failed, 1 refused"
    # f failed: its weights are gone, however good they looked
    assert parts[2] == "best b: epoch 3, val_accuracy 0.9123, latency_p50_ms 3"
    assert all("USD" not in part for part in parts)


def test_the_first_objective_ranks_in_its_direction():
    trials = [trial("slow", epoch=1, accuracy=0.9, latency_ms=2.0)]
    trials += [trial("fast", epoch=1, accuracy=0.5, latency_ms=1.0)]
    assert "best slow" in Screen(*trials).line()
    assert "best fast" in Screen(*trials, objectives=OBJECTIVES[::-1]).line()


def test_a_value_that_is_not_known_ranks_last():
    screen = Screen(trial("a", epoch=1, accuracy=0.1), trial("b", epoch=1, accuracy=None))
    assert "best a" in screen.line()
    only = Screen(trial("b", epoch=1, accuracy=None))
    assert "best b: epoch 1, val_accuracy -" in only.line()


def test_an_outlook_stands_in_place_of_the_eta():
    priced = Screen(
        trial("a", epoch=2), trial("c", "pending"), outlook=lambda: "USD 0.75, forecast USD 2"
    )
    assert priced.line().endswith(" | USD 0.75, forecast USD 2")
    assert "USD 0.75, forecast USD 2" in priced.table()
    assert "ETA" not in priced.line() + priced.table()


@pytest.mark.parametrize(
    ("trials", "eta"),
    [
        ([], None),
        ([trial("a", epoch=0)], None),
        ([trial("a", "completed", 10, 0.5)], None),
        ([trial("a", epoch=5, accuracy=0.5)], "ETA at most 0:50"),
        ([trial("a", "completed", 10, 0.5), trial("b", "pending")], "ETA at most 0:50"),
        ([trial("a", epoch=5, accuracy=0.5), trial("b", "refused")], "ETA at most 0:50"),
        # Three that ended after four epochs on average: the running one has two to go of 14.
        (
            [trial("a", "stopped", 1, 0.1), trial("b", "stopped", 1, 0.1),
             trial("c", "completed", 10, 0.9), trial("d", epoch=2, accuracy=0.1)],
            "ETA 0:07",
        ),
    ],
)  # fmt: skip
def test_the_end_is_estimated_from_the_epochs_done(trials, eta):
    line = Screen(*trials).line(after_s=50)
    assert ("ETA" in line) == (eta is not None)
    if eta is not None:
        assert eta in line.split(" | ")


def test_a_notice_is_shown_in_both_forms():
    notices = [None, "stopping"]
    screen = Screen(trial("a"), notice=lambda: notices[0])
    assert "stopping" not in screen.line() + screen.table()
    notices[0] = "stopping"
    assert screen.line().endswith(" | stopping")
    assert screen.table().splitlines()[-1] == "stopping"


def test_the_table_puts_the_front_first():
    screen = Screen(
        trial("best", "completed", 10, 0.9, 3.0),
        trial("fast", "stopped", 3, 0.6, 1.0),
        trial("beaten", "completed", 10, 0.55, 2.0),
        trial("young", "running", 0, None, 2.0, parent_trial_id="best"),
        trial("waits", "pending"),
    )
    assert screen.rows() == [
        ["★ best", "completed", "10/10", "0.9", "3", ""],
        ["★ fast", "stopped", "3/10", "0.6", "1", ""],
        ["young", "running", "0/10", "-", "2", "best"],
        ["beaten", "completed", "10/10", "0.55", "2", ""],
    ]
    text = screen.table()
    assert text.splitlines()[0].strip() == "pbt on digits"
    for part in ("val_accuracy", "latency_p50_ms", "front 2 (★)", "1 running, 1 pending"):
        assert part in text


def test_equal_trials_share_the_front():
    screen = Screen(*(trial(name, epoch=1, accuracy=0.5) for name in "ab"))
    assert [row[0] for row in screen.rows()] == ["★ a", "★ b"]


def test_what_the_table_hides_is_said():
    trials = [trial(f"t{i:02}", epoch=1, accuracy=0.5 - i / 100) for i in range(MAX_ROWS + 5)]
    screen = Screen(*trials)
    assert len(screen.rows()) == MAX_ROWS
    assert "5 more" in screen.table()
    assert "more" not in Screen(*trials[:MAX_ROWS]).table()


def test_the_table_shows_what_the_gangs_do():
    gangs = [
        GangStanding(0, 1, "training", "a", 65.0, ("h", "h")),
        *(GangStanding(i, 1, "idle", None, 1.0, ("h",)) for i in range(1, MAX_GANGS + 3)),
    ]
    text = Screen(trial("a", epoch=2), gangs=lambda: gangs).table()
    (row,) = (line for line in text.splitlines() if "training" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "0", "training", "a", "2/10", "1:05", "h x2",
    ]  # fmt: skip
    assert "3 more gangs: 3 idle" in text
    assert "gang" not in Screen(trial("a")).table()


def test_lines_are_written_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.01)
    screen = Screen(trial("a", epoch=1, accuracy=0.5))
    screen.progress.start()
    while screen.stream.getvalue().count("\n") < 2:
        assert screen.progress._thread.is_alive()
        time.sleep(0.005)
    screen.progress.stop()
    lines = screen.stream.getvalue().splitlines()
    assert len(lines) >= 3
    assert set(lines) == {screen.line()}
    assert "│" not in lines[0]


def test_the_last_state_is_always_shown():
    screen = Screen(trial("a", "completed", 10, 0.5))
    screen.progress.start()
    screen.progress.stop()
    assert screen.stream.getvalue().splitlines() == [screen.line()]


def test_a_live_table_is_shown_on_a_terminal():
    screen = Screen(trial("a", "completed", 10, 0.5), is_terminal=True)
    screen.progress.start()
    screen.progress.stop()
    shown = screen.stream.getvalue()
    assert "★ a" in shown
    assert "pbt on digits" in shown
