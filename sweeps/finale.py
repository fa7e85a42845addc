"""After the search: finalists meet the test part, and are timed as they would be shipped."""

from __future__ import annotations

import threading

from rich.console import Console

from analysis.records import (
    ATTRIBUTIONS_FILE,
    ATTRIBUTIONS_SCHEMA,
    LATENCY_FILE,
    LATENCY_SCHEMA,
    ROBUSTNESS_FILE,
    ROBUSTNESS_SCHEMA,
)
from sweeps.compression import prune_finalists
from sweeps.feeding import unchosen_words
from sweeps.finalists import (
    attribution_rows,
    choose_finalists,
    examine_finalists,
    robustness_rows,
)
from sweeps.held_sweep import HeldSweep
from sweeps.prepared_sweep import PreparedSweep
from sweeps.quiet import say_on
from sweeps.retraining import retrain
from sweeps.shipping import finalist_limits, measure_finalists, subject_of
from sweeps.trial_record import TrialRecord
from trainables.examine import ExamineOptions
from trainables.latency.samples import shipping_samples


def examine(held: HeldSweep) -> list[TrialRecord]:
    """Choose the finalists, let them meet the test part, train them again, and return them.

    The gangs are held still; none is examined where the user wants the sweep to end.
    """
    if held.stop.is_set():
        return []
    for line in unchosen_words(held.sweep, held.recorder, held.watch):
        held.tell(line)
    finalists = _choose(held)
    if finalists:
        _examine(held, finalists)
        retrain(held, finalists)
    return finalists


def _choose(held: HeldSweep) -> list[TrialRecord]:
    sweep = held.sweep
    num_finalists = sweep.plan.spec.finalists
    if not num_finalists:
        return []
    trials = list(held.recorder.trials.values())
    num_paid = sweep.spending.num_finalists(trials, held.watch.standing)
    if num_paid < num_finalists:
        held.tell(f"the budget pays for the examination of {num_paid} finalists")
    finalists = choose_finalists(trials, sweep.plan.objectives, num_paid)
    if num_paid and not finalists:
        held.tell("no finalists: no trial was saved at its last epoch")
    return finalists


def _examine(held: HeldSweep, finalists: list[TrialRecord]) -> None:
    """Let the finalists meet the test part, and write down what came out."""
    sweep, spec = held.sweep, held.sweep.plan.spec
    names = ", ".join(trial.trial_id for trial in finalists)
    held.tell(
        f"examining {len(finalists)} finalists on {len(sweep.data.test)} test samples: {names}"
    )
    findings = examine_finalists(
        finalists,
        held.desk,
        sweep.data,
        ExamineOptions(spec.robustness_samples, spec.attribution_samples, spec.seed),
        locate=sweep.folder.locate,
        num_gangs=sweep.plan.gangs.num_gangs,
        is_stopping=held.stop.is_set,
    )
    for finding in findings:
        if finding.found is None:
            held.tell(f"{finding.trial_id} was not examined: {finding.failure}")
        else:
            held.recorder.enter_test(finding.trial_id, finding.found["scores"])
    sweep.folder.write_table(ROBUSTNESS_FILE, ROBUSTNESS_SCHEMA, robustness_rows(findings))
    rows = attribution_rows(findings, sweep.data)
    sweep.folder.write_table(ATTRIBUTIONS_FILE, ATTRIBUTIONS_SCHEMA, rows)


def time_finalists(
    sweep: PreparedSweep, finalists: list[TrialRecord], shown: Console, stop: threading.Event
) -> None:
    """Measure the latency of the finalists' trained weights, pruned too if asked for.

    The gangs have ended: none takes the cores that are measured on.
    """
    if not finalists or not sweep.plan.spec.finalist_latency_seconds or stop.is_set():
        return
    latencies = sweep.architectures.latencies
    if latencies.target.machine is not None:
        machine = latencies.target.machine
        shown.print(f"finalists are not measured again: that must be done on {machine}")
        return
    subjects = [subject_of(trial, sweep.folder.locate) for trial in finalists]
    fraction = sweep.plan.spec.compress_fraction
    if fraction is not None:
        subjects += prune_finalists(
            finalists,
            sweep.data,
            fraction,
            locate=sweep.folder.locate,
            is_stopping=stop.is_set,
            tell=say_on(shown),
        )
    latencies.progress.show_on(shown)
    try:
        failures = measure_finalists(
            subjects,
            latencies,
            shipping_samples(sweep.data),
            finalist_limits(sweep.plan.spec.finalist_latency_seconds),
            is_stopping=stop.is_set,
        )
    finally:
        latencies.progress.end()
    for name, why in failures.items():
        shown.print(f"{name} was not measured again: {why}", markup=False)
    sweep.folder.write_table(LATENCY_FILE, LATENCY_SCHEMA, latencies.rows())
