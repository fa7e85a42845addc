"""What hands a sweep's trials to Ray Tune, and what is told of those that are not chosen yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import SearchAlgorithm

from sweeps.journal import Write
from sweeps.ledger_watch import LedgerWatch
from sweeps.past import Standstill
from sweeps.prepared_sweep import PreparedSweep
from sweeps.recorder import SweepRecorder
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.trial_feed import TrialFeed
from sweeps.trial_record import TrialRecord


def make_feed(
    sweep: PreparedSweep,
    recorder: SweepRecorder,
    watch: LedgerWatch,
    standstills: Mapping[str, Standstill],
    write: Write,
) -> SearchAlgorithm:
    """Return what hands the trials to Tune: those that were drawn, or what a searcher suggests.

    Args:
        sweep: of the trials.
        recorder: knows which of them have not ended.
        watch: knows what the budget pays.
        standstills: where trials of an earlier process of the sweep stand; they are given first.
        write: puts what is suggested into the journal.
    """
    search = sweep.search
    feed = TrialFeed(
        [(trial.trial_id, trial.config) for trial in recorder.open_trials()],
        is_refused=lambda trial_id, config: _is_unpaid(watch, recorder, trial_id, config),
        past=standstills,
    )
    if search is None or len(recorder.trials) >= len(sweep.trials):
        return feed  # nothing is left to be chosen

    def propose(index: int) -> tuple[str, Mapping[str, Any]] | None:
        trial_id, config = f"trial_{len(recorder.trials):04d}", search.config(index).to_dict()
        write("suggest", trial_id=trial_id, index=index)
        recorder.add(trial_id, config)
        return None if _is_unpaid(watch, recorder, trial_id, config) else (trial_id, config)

    # One more than can train, so that no gang waits for a suggestion.
    max_active = sweep.plan.gangs.num_gangs + 1
    searched = SearcherFeed(search.searcher, propose, len(sweep.trials), max_active, begun=feed)
    if sweep.past is not None:
        searched.replay(sweep.past.all_events)
    return searched


def has_trials_left(sweep: PreparedSweep, recorder: SweepRecorder) -> bool:
    """Tell whether a trial has not ended, or is still to be chosen."""
    is_chosen = sweep.search is None or len(recorder.trials) >= len(sweep.trials)
    return bool(recorder.open_trials()) or not is_chosen


def _is_unpaid(
    watch: LedgerWatch, recorder: SweepRecorder, trial_id: str, config: Mapping[str, Any]
) -> bool:
    """Tell whether the budget can't pay a trial's first epochs, and enter it if so."""
    why = watch.refusal(trial_id, config)
    if why is not None:
        recorder.end_unpaid(trial_id, why)
    return why is not None


def trials_to_come(
    sweep: PreparedSweep, recorder: SweepRecorder
) -> Callable[[], list[TrialRecord]]:
    """Return what lists the trials so far, and stand-ins for those that are not chosen yet."""
    stand_ins = []
    for trial in sweep.trials if sweep.search is not None else ():
        config = trial.config.to_dict()
        figures = dict(sweep.architectures.describe(config).figures)
        stand_ins.append(TrialRecord(trial.trial_id, config, figures=figures))

    def trials() -> list[TrialRecord]:
        known = list(recorder.trials.values())
        return known + stand_ins[len(known) :]

    return trials


def unchosen_words(sweep: PreparedSweep, recorder: SweepRecorder, watch: LedgerWatch) -> list[str]:
    """Return a line on trials for which the searcher found no config, if there are any."""
    num_missing = len(sweep.trials) - len(recorder.trials)
    if num_missing <= 0 or watch.spent is not None:
        return []
    return [
        f"{sweep.plan.searcher} found no config that may train for the last {num_missing} of "
        f"{len(sweep.trials)} trials; raise the SLO or lower --trials"
    ]
