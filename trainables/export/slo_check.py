"""Whether an exported model meets the sweep's latency SLO: measured anew, in its runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainables.data.dataset import SplitData
from trainables.errors import InputError
from trainables.export import ONNX_FILE, WEIGHTS_FILE
from trainables.latency import RUNTIMES
from trainables.latency.blocks import Limits
from trainables.latency.figure import LatencyFigure
from trainables.latency.lock import measuring_alone
from trainables.latency.measure import Subject, measure_all, measure_onnx
from trainables.latency.samples import exported_samples
from trainables.latency.serving import Serving, check_serving
from trainables.latency.shipping import shipping_fault
from trainables.latency.slo import Slo, Verdict
from trainables.trial_config import TrialConfig

TRIES: Final = (Limits(5.0, 15.0), Limits(10.0, 20.0))
"""The second where the first doesn't tell whether the SLO is met."""


@dataclass(frozen=True)
class Target:
    """How a run's models will be served, and how fast they must be there.

    Attributes:
        serving: of this trial: the fallback's, where its model can't run as asked for.
        slo: with a limit.
        device: on which the sweep measured, by name.
        machine: whose imported figures the sweep used; None: it measured.
    """

    serving: Serving
    slo: Slo
    device: str
    machine: str | None


@dataclass(frozen=True)
class SloOutcome:
    """What came of measuring the exported model.

    Attributes:
        target: as above.
        file: what was measured.
        figure: None where it could not be measured here.
        verdict: `undecided` where there is no figure, or its interval doesn't tell.
        fault: why the model must not be shipped; None if it may.
    """

    target: Target
    file: str
    figure: LatencyFigure | None
    verdict: Verdict
    fault: str | None


def target_of(sweep: Mapping[str, Any], row: Mapping[str, Any]) -> Target | None:
    """Return what a trial's model must meet; None where its sweep had no SLO.

    Args:
        sweep: content of `sweep.json`.
        row: of the trial, of `trials.parquet`.

    Raises:
        InputError: if the run is of before it told how models are served.
    """
    told = sweep.get("serving")
    if told is None:
        if sweep["spec"].get("latency_slo_ms") is None:
            return None
        raise InputError(
            "RUN must tell how its models are served where it has a latency SLO, got none of it "
            f"(schema {sweep.get('schema_version')}); export with the version that wrote it"
        )
    if told["slo_ms"] is None:
        return None
    names = [field.name for field in dataclasses.fields(Serving)]
    serving = Serving(**{name: told[name] for name in names})
    runtime = row.get("latency_runtime") or serving.runtime
    return Target(
        dataclasses.replace(serving, runtime=runtime),
        Slo(told["slo_ms"], told["percentile"]),
        told["measured_on"],
        told["machine"],
    )


def check_target(target: Target, *, is_forced: bool) -> None:
    """Check that the SLO can be measured here, before anything is made.

    Raises:
        InputError: if it can't.
    """
    if target.machine is None:
        check_serving(target.serving)
    elif not is_forced:
        raise InputError(
            f"the SLO must be measured on {target.machine}, of which the sweep used figures, got "
            "another machine; export there, or add --force-slo to ship without"
        )


def check_slo(
    target: Target, config: TrialConfig, data: SplitData, folder: Path, on_wait: Callable[[], None]
) -> SloOutcome:
    """Measure an exported model, and judge it.

    Where the runtime takes ONNX it is given the very file that was exported, else the model that
    is read from the exported weights, with its preprocessing.

    Args:
        target: that it must meet.
        config: of the trial.
        data: of the run.
        folder: of the exported model.
        on_wait: called when another process measures on this machine, and this one waits.

    Raises:
        LatencyError: if measuring itself broke down.
    """
    file = ONNX_FILE if RUNTIMES[target.serving.runtime].takes_onnx else WEIGHTS_FILE
    if target.machine is not None:
        return SloOutcome(target, file, None, "undecided", f"was not measured on {target.machine}")
    samples = exported_samples(data)

    def measure(limits: Limits) -> LatencyFigure:
        if file == ONNX_FILE:
            return measure_onnx(folder / file, target.serving, samples=samples, limits=limits)
        subject = Subject(config, exported=str(folder))
        (figure,) = measure_all(
            [subject], data.task, target.serving, samples=samples, limits=limits
        )
        return figure

    with measuring_alone(on_wait):
        for limits in TRIES:
            figure = measure(limits)
            verdict = target.slo.judge(figure)
            if figure.status == "failed" or verdict != "undecided":
                break
    return SloOutcome(target, file, figure, verdict, _fault(target.slo, figure, verdict))


def _fault(slo: Slo, figure: LatencyFigure, verdict: Verdict) -> str | None:
    """Return what is wrong with a figure, or None."""
    # The weights are trained ones, of which an ONNX file says nothing.
    fault = shipping_fault(dataclasses.replace(figure, trial_id="exported"))
    if figure.status == "failed" or fault is not None:
        return f"must run in {figure.runtime} {figure.precision} as it was trained, got: {fault}"
    if verdict == "meets":
        return None
    assert slo.limit_ms is not None
    span = slo.span(figure)
    rule = f"must meet the SLO, {slo.column} <= {slo.limit_ms:g} ms"
    if span is None:
        return f"{rule}, got no figure ({figure.tail_reason or figure.reason})"
    if verdict == "misses":
        above = span.value_ms / slo.limit_ms - 1
        return f"{rule}, got {span}, {above:.0%} above"
    why = f"uncertain: {figure.reason}" if figure.status == "uncertain" else "which does not tell"
    return f"{rule}, got {span}, {why}"
