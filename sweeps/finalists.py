"""After the search: the finalists meet the test part, which nobody has seen before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray

from analysis.records import Objective
from sweeps.errands import CarryOut, Errand, ErrandError
from sweeps.front import ranks
from sweeps.trial_record import TrialRecord
from trainables.checkpoint_store import checkpoint_epoch
from trainables.data.dataset import SplitData
from trainables.data.text.dataset import TextData
from trainables.examine import ExamineOptions
from trainables.orders import Examine, Start, Ticket


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
    """Return trials that can be examined: of the front, spread along it, both ends first.

    Where more are asked for than the front has, the next non-dominated ranks follow. By validation
    figures and costs alone: the test part was not read yet. One whose checkpoint is of an earlier
    epoch than its figures (`--checkpoint-epochs`) can't be examined.
    """
    chosen: list[TrialRecord] = []
    for rank in ranks(trials, objectives):
        if len(chosen) >= num_finalists:
            break
        members = [
            trial
            for trial in rank
            if trial.checkpoint is not None and checkpoint_epoch(trial.checkpoint) == trial.epoch
        ]
        chosen += _spread(members, num_finalists - len(chosen))
    return chosen


def _spread(members: Sequence[TrialRecord], num: int) -> Sequence[TrialRecord]:
    """Return `num` >= 1 members, evenly spread, or all."""
    if num >= len(members) or num == 1:
        return members[:num]
    last = len(members) - 1
    return [members[round(i * last / (num - 1))] for i in range(num)]


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
        order = Examine(test, options)

        def work(carry_out: CarryOut, _: Ticket) -> dict[str, Any]:
            carry_out(start)
            return carry_out(order)

        try:
            found = Errand(desk, trial.trial_id, "examination", trial.trial_id).run(work)
        except ErrandError as error:
            return Finding(trial.trial_id, None, str(error))
        return Finding(trial.trial_id, found, None)

    with ThreadPoolExecutor(max_workers=max(1, num_gangs)) as pool:
        return list(pool.map(examine, finalists))


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
