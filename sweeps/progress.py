"""What a person sees while a sweep runs: one live table, or plain lines where no terminal is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.records import Objective
from sweeps.front import front, ranked
from sweeps.gangs_table import clock_words, gangs_table
from sweeps.recorder import SweepRecorder
from sweeps.trial_record import TrialRecord
from trainables.ledger import GangStanding

PLAIN_INTERVAL_S: Final = 10.0
"""Seconds between two lines where there is no terminal."""

MAX_ROWS: Final = 12
MAX_GANGS: Final = 8

_STATE_ORDER: Final = (
    "running", "paused", "pending", "completed", "stopped", "failed", "refused", "interrupted",
)  # fmt: skip


class Progress:
    """Shows a recorder's trials until `stop`.

    Args:
        recorder: read only.
        console: where to.
        title: of the table: the sweep and its data.
        objectives: the first one ranks the trials.
        num_trials: of the sweep, refused ones included.
        num_epochs: of a full training.
        notice: returns a line to show below, or None.
        outlook: returns what is spent and what the sweep will take, in place of the ETA, or None.
        gangs: returns what they do, for the table.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        recorder: SweepRecorder,
        console: Console,
        *,
        title: str,
        objectives: tuple[Objective, ...],
        num_trials: int,
        num_epochs: int,
        notice: Callable[[], str | None] = lambda: None,
        outlook: Callable[[], str | None] = lambda: None,
        gangs: Callable[[], Sequence[GangStanding]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._console = console
        self._title = title
        self._objectives = objectives
        self._num_trials = num_trials
        self._num_epochs = num_epochs
        self._notice = notice
        self._outlook = outlook
        self._gangs = gangs
        self._clock = clock
        self._started_s = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self) -> None:
        """Show the last state and end."""
        self._stopping.set()
        self._thread.join()

    def _show(self) -> None:
        if not self._console.is_terminal:
            while not self._stopping.wait(PLAIN_INTERVAL_S):
                self._print_line()
            self._print_line()
            return
        # Rich would catch what others print and show it here; that belongs into the log.
        with Live(
            self.table(),
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            while not self._stopping.wait(0.5):
                live.update(self.table(), refresh=True)
            live.update(self.table(), refresh=True)

    def _print_line(self) -> None:
        self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    def line(self) -> str:
        """Return the state in one line."""
        trials = list(self._recorder.trials.values())
        best = ranked(trials, self._objectives)[:1]
        parts = [
            clock_words(int(self._clock() - self._started_s)),
            _states(trials, self._num_trials),
        ]
        parts += [f"best {best[0].trial_id}: {self._values(best[0])}"] if best else []
        parts += [self._outlook() or self._eta(trials), *filter(None, [self._notice()])]
        return " | ".join(part for part in parts if part)

    def table(self) -> RenderableType:
        """Return the live table."""
        trials = list(self._recorder.trials.values())
        best = front(trials, self._objectives)
        table = Table(title=Text(self._title), title_justify="left", expand=False)
        table.add_column("trial")
        table.add_column("state")
        table.add_column("epoch", justify="right")
        for objective in self._objectives:
            table.add_column(objective.column, justify="right")
        table.add_column("from")
        active = [t for t in trials if t.status in ("running", "paused")]
        shown = [*best, *(t for t in active if t not in best)]
        shown += [t for t in ranked(trials, self._objectives) if t not in shown]
        for trial in shown[:MAX_ROWS]:
            mark = "★ " if trial in best else "  "
            table.add_row(
                mark + trial.trial_id,
                trial.status,
                f"{trial.epoch}/{self._num_epochs}",
                *(_value(trial, objective) for objective in self._objectives),
                trial.parent_trial_id or "",
            )
        hidden = len(shown) - MAX_ROWS
        footer = " | ".join(
            part
            for part in (
                clock_words(int(self._clock() - self._started_s)),
                _states(trials, self._num_trials),
                f"front {len(best)} (★)",
                self._outlook() or self._eta(trials),
                f"{hidden} more" if hidden > 0 else "",
            )
            if part
        )
        notice = self._notice()
        epochs = {t.trial_id: f"{t.epoch}/{self._num_epochs}" for t in trials}
        panel = gangs_table(self._gangs(), epochs, max_rows=MAX_GANGS)
        return Group(table, *panel, Text(footer), *([Text(notice)] if notice else []))

    def _values(self, trial: TrialRecord) -> str:
        pairs = (f"{o.column} {_value(trial, o)}" for o in self._objectives)
        return f"epoch {trial.epoch}, {', '.join(pairs)}"

    def _eta(self, trials: list[TrialRecord]) -> str:
        """Estimate from the epochs done, and how many trials that ended took.

        Until three have ended, all are taken to train in full, which is said.
        """
        ended = [t.epoch for t in trials if t.status in ("completed", "stopped", "failed")]
        is_known = len(ended) >= 3
        expected = sum(ended) / len(ended) if is_known else self._num_epochs
        running = [t.epoch for t in trials if t.status in ("running", "paused")]
        num_pending = sum(t.status == "pending" for t in trials)
        num_pending += max(0, self._num_trials - len(trials))  # not chosen yet
        # One that has outlasted the mean is taken to train to its end.
        ends = (expected if epoch < expected else self._num_epochs for epoch in running)
        left = num_pending * expected + sum(ends) - sum(running)
        done = sum(ended) + sum(running)
        if not done or not left:
            return ""
        seconds = (self._clock() - self._started_s) / done * left
        return f"ETA {'' if is_known else 'at most '}{clock_words(int(seconds))}"


def _value(trial: TrialRecord, objective: Objective) -> str:
    value = trial.value(objective.column)
    return "-" if value is None else f"{value:.4g}"


def _states(trials: list[TrialRecord], num_trials: int) -> str:
    counts = Counter(trial.status for trial in trials)
    counts["pending"] += max(0, num_trials - len(trials))
    return ", ".join(f"{counts[state]} {state}" for state in _STATE_ORDER if counts[state])
