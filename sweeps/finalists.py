"""After the search: the finalists meet the test part, which nobody has seen before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import ray

from analysis.records import Objective
from sweeps.front import front
from sweeps.trial_record import TrialRecord
from trainables.checkpoint_store import checkpoint_epoch
from trainables.data.dataset import SplitData
from trainables.data.text.dataset import TextData
from trainables.examine import ExamineOptions
from trainables.orders import Denied, Examine, Finished, Lost, Start, TrialFailure

MAX_LOSSES: Final = 3
"""Losses of its gang after which a finalist is given up."""


@dataclass(frozen=True)
class Finding:
    """What was found out of a finalist; `found` is as `trainables.examine` gives it.

    Attributes:
        failure: why nothing was found; None if it was.
    """

    trial_id: str
    found: dict[str, Any] | None
    failure: str | None


def choose_finalists(
    trials: Sequence[TrialRecord], objectives: Sequence[Objective], num_finalists: int
) -> list[TrialRecord]:
    """Return members of the front that can be examined, spread along it, both ends first.

    By validation figures and costs alone: the test part was not read yet. One whose checkpoint is
    of an earlier epoch than its figures (`--checkpoint-epochs`) can't be examined.
    """
    members = [
        trial
        for trial in front(trials, objectives)
        if trial.checkpoint is not None and checkpoint_epoch(trial.checkpoint) == trial.epoch
    ]
    if num_finalists >= len(members) or num_finalists == 0:
        return members[:num_finalists]
    if num_finalists == 1:
        return members[:1]
    last = len(members) - 1
    return [members[round(i * last / (num_finalists - 1))] for i in range(num_finalists)]


def examine_finalists(
    finalists: Sequence[TrialRecord],
    desk: ray.actor.ActorHandle,
    data: SplitData,
    options: ExamineOptions,
    *,
    locate: Callable[[str], str],
    num_gangs: int,
    is_stopping: Callable[[], bool],
) -> list[Finding]:
    """Examine finalists on the gangs that trained them.

    Args:
        finalists: with a checkpoint.
        desk: of the gangs.
        data: its test part goes to the workers now, and not before.
        options: how much is found out.
        locate: from a checkpoint as recorded to its location.
        num_gangs: finalists that are examined at the same time.
        is_stopping: says whether those that haven't begun shall be left out.

    Returns:
        [len(finalists)], in order.
    """
    test = [ray.put(data.test)]

    def examine(trial: TrialRecord) -> Finding:
        assert trial.checkpoint is not None
        if is_stopping():
            return Finding(trial.trial_id, None, "the sweep was interrupted")
        start = Start(dict(trial.config), locate(trial.checkpoint))
        try:
            return _examine(desk, trial.trial_id, start, Examine(test, options))
        except ray.exceptions.RayError as error:
            return Finding(trial.trial_id, None, f"Ray failed: {str(error).splitlines()[0]}")

    with ThreadPoolExecutor(max_workers=max(1, num_gangs)) as pool:
        return list(pool.map(examine, finalists))


def _examine(desk: ray.actor.ActorHandle, trial_id: str, start: Start, order: Examine) -> Finding:
    reply: Any = None
    for _ in range(MAX_LOSSES):
        try:
            ticket = ray.get(desk.lease.remote(trial_id, "examination"))
        except ray.exceptions.RayTaskError as error:
            return Finding(trial_id, None, f"it got no gang: {error.cause}")
        if isinstance(ticket, Denied):
            return Finding(trial_id, None, ticket.reason)
        try:
            reply = ray.get(desk.order.remote(ticket, start))
            if isinstance(reply, Finished):
                reply = ray.get(desk.order.remote(ticket, order))
        finally:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(desk.release.remote(ticket))
        if isinstance(reply, Finished):
            return Finding(trial_id, dict(reply.result), None)
        if isinstance(reply, TrialFailure | Denied):
            return Finding(trial_id, None, reply.reason)
    assert isinstance(reply, Lost)
    return Finding(trial_id, None, f"its gang was lost {MAX_LOSSES} times: {reply.reason}")


def robustness_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the rows of `robustness.parquet`."""
    return [
        {"trial_id": finding.trial_id, **row}
        for finding in findings
        if finding.found is not None
        for row in finding.found["robustness"]
    ]


def attribution_rows(findings: Sequence[Finding], data: SplitData) -> list[dict[str, Any]]:
    """Return the rows of `attributions.parquet`, with the samples as a person sees them."""
    return [
        {
            "trial_id": finding.trial_id,
            "sample": row["sample"],
            "label": data.class_names[data.test.labels[row["sample"]]],
            "predicted": data.class_names[row["predicted"]],
            **_shown(data, row["sample"], row["attribution"]),
        }
        for finding in findings
        if finding.found is not None
        for row in finding.found["attributions"]
    ]


def _shown(data: SplitData, sample: int, attribution: list[float]) -> dict[str, Any]:
    """Return a test sample as the table has it, pixels or tokens, with its attribution."""
    inputs = data.test.inputs[sample]
    if isinstance(data, TextData):
        tokens = data.tokens_of(inputs)
        return {"tokens": tokens, "attribution": attribution[: len(tokens)]}  # without padding
    pixels = inputs.transpose(1, 2, 0)
    if pixels.shape[2] != 3:
        pixels = pixels[:, :, :1].repeat(3, axis=2)
    return {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "image": pixels.tobytes(),
        "attribution": attribution,
    }
