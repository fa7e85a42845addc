"""From a trial of a run to a folder that is shipped: made beside it, and there only when whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import torch

from trainables.checkpoint import CheckpointError
from trainables.checkpoint_store import checkpoint_epoch, read_served_weights
from trainables.errors import InputError
from trainables.export import CARD_FILE, ExportError
from trainables.export.artefacts import check_export_installed, write_artefacts, write_config
from trainables.export.model_card import CardFacts, model_card
from trainables.export.served_model import with_preprocessing
from trainables.export.slo_check import SloOutcome, check_slo, check_target, target_of
from trainables.export.verification import Check, check_artefacts, draw_samples
from trainables.latency.artefact import create_subject
from trainables.latency.trained_run import TrainedRun, read_run

_RESULTS_FILE: Final = "results.parquet"
_LATENCY_FILE: Final = "latency.parquet"
_ROBUSTNESS_FILE: Final = "robustness.parquet"
_WAITING: Final = "waiting for another measurement to end"


@dataclass(frozen=True)
class ExportRequest:
    """What is exported, and where to.

    Attributes:
        run: run folder.
        trial_id: of it.
        to: folder to make.
        data_dir: where CIFAR lies; None: where it lay.
        force_slo: ship what misses the SLO, or isn't known to meet it.
    """

    run: Path
    trial_id: str
    to: Path
    data_dir: str | None = None
    force_slo: bool = False


def export_trial(request: ExportRequest, tell: Callable[[str], None]) -> None:
    """Export a trial, check what was exported, and write its card.

    Args:
        request: what and where to.
        tell: is told a line at a time how far it is.

    Raises:
        InputError: if something that was asked for is wrong; nothing was made.
        ExportError: if the model can't be exported, is another one then, or misses its SLO;
            nothing is left.
        LatencyError: if measuring broke down; likewise.
    """
    run = read_run(request.run, "RUN", "")
    _check_folder(request)
    (subject,) = run.subjects([request.trial_id])
    assert subject.checkpoint is not None
    row = _figures(run, request.trial_id, checkpoint_epoch(subject.checkpoint))
    target = target_of(run.sweep, row)
    check_export_installed()
    if target is not None:
        check_target(target, is_forced=request.force_slo)
    data = run.load_data(request.data_dir)
    try:
        weights = read_served_weights(subject.checkpoint)
    except CheckpointError as error:
        raise InputError(f"--trial must be one whose checkpoint is whole, got {error}") from None
    described = {**subject._asdict(), "config": subject.config.to_dict()}
    model = create_subject(described, data.task).requires_grad_(False)
    with _made_beside(request.to) as folder:
        tell(f"exporting {request.trial_id} after epoch {row['epoch']}")
        write_artefacts(with_preprocessing(model, data), weights, data, folder)
        write_config(_told(run, row), data, folder)
        checks = check_artefacts(model, draw_samples(data), data, folder)
        for check in checks:
            tell(_check_words(check))
        outcome = None
        if target is not None:
            tell(f"measuring {target.slo.column} in {target.serving.runtime}")
            outcome = check_slo(target, subject.config, data, folder, lambda: tell(_WAITING))
            _judge(outcome, tell, is_forced=request.force_slo)
        facts = CardFacts(
            sweep=run.sweep,
            row=row,
            data=data,
            folder=folder,
            latencies=_latencies(run, row),
            robustness=_rows_of(run, _ROBUSTNESS_FILE, request.trial_id),
            checks=checks,
            slo=outcome,
        )
        (folder / CARD_FILE).write_text(model_card(facts), encoding="utf-8")


def _check_folder(request: ExportRequest) -> None:
    to, run = request.to.absolute(), request.run.absolute()
    if os.path.lexists(to):
        raise InputError(
            f"--to must be a new folder, got {request.to}, which is there; name another"
        )
    if run.resolve() in (to.resolve(), *to.resolve().parents):
        raise InputError(f"--to must lie outside the run, got {request.to}; name another")
    if not to.parent.is_dir() or not os.access(to.parent, os.W_OK | os.X_OK):
        raise InputError(
            f"--to must lie in a folder that is there and can be written, got {request.to}; make "
            f"{to.parent}"
        )


@contextlib.contextmanager
def _made_beside(to: Path) -> Iterator[Path]:
    """Yield a folder that gets its name when all went well, and is deleted if not."""
    made = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.absolute().parent))
    try:
        yield made
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o777 & ~umask)  # mkdtemp lets nobody else read
        made.rename(to.absolute())
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _figures(run: TrainedRun, trial_id: str, epoch: int) -> Mapping[str, Any]:
    """Return a trial's row with the figures of the epoch whose weights are exported.

    With `--checkpoint-epochs` its newest checkpoint may be older than its figures.
    """
    row = run.trials[trial_id]
    if row["epoch"] == epoch:
        return row
    results = _rows_of(run, _RESULTS_FILE, trial_id)
    # After an exploit epochs come again: the later row is of what the trial went on with.
    found: Mapping[str, Any] = next((r for r in reversed(results) if r["epoch"] == epoch), {})
    scores = {name: found.get(name) for name in row if name.startswith("val_")}
    none = dict.fromkeys(name for name in row if name.startswith("test_"))
    cost = {name: found.get(name) for name in ("gang_seconds", "gpu_seconds", "cost_usd")}
    return {**row, **none, **scores, **cost, "epoch": epoch}


def _told(run: TrainedRun, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sweep": run.sweep["name"],
        "trial_id": row["trial_id"],
        "epoch": row["epoch"],
        "reproduce": row["reproduce"],
        "data": {name: run.sweep["dataset"][name] for name in ("name", "note", "fingerprint")},
        "versions": {
            "trained": run.sweep.get("versions"),
            "exported": {"torch": torch.__version__},
        },
        "config": json.loads(row["config"]),
    }


def _latencies(run: TrainedRun, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the latencies of a trial's architecture with random weights, then with its own."""
    rows = _rows_of(run, _LATENCY_FILE, None)
    own = (None, row["trial_id"])
    return [
        one
        for one in rows
        if one["architecture"] == row["architecture"]
        and one.get("trial_id") in own
        and one.get("compression") is None
    ]


def _rows_of(run: TrainedRun, name: str, trial_id: str | None) -> list[Mapping[str, Any]]:
    """Return the rows of a table of the run, of a trial alone if it is named; none without it."""
    path = run.folder / name
    if not path.is_file():
        return []
    filters = None if trial_id is None else [("trial_id", "==", trial_id)]
    rows: list[Mapping[str, Any]] = pq.read_table(path, filters=filters).to_pylist()
    return rows


def _check_words(check: Check) -> str:
    difference, agreement_fraction = check.comparison
    if check.accuracy is None:
        return f"{check.file}: the same tokens for {check.num_samples} texts"
    return (
        f"{check.file}: logits differ by {difference:.2g} of the largest, {agreement_fraction:.2%} "
        f"the same class, on {check.num_samples} samples"
    )


def _judge(outcome: SloOutcome, tell: Callable[[str], None], *, is_forced: bool) -> None:
    """Tell what came of the SLO.

    Raises:
        ExportError: if it is not met, and that isn't accepted.
    """
    if outcome.fault is None:
        assert outcome.figure is not None
        slo = outcome.target.slo
        tell(f"{outcome.file}: {slo.column} {slo.span(outcome.figure)} <= {slo.limit_ms:g} ms")
        return
    if not is_forced:
        raise ExportError(
            f"{outcome.file} {outcome.fault}; ship another trial, measure on a quieter host, or "
            "add --force-slo"
        )
    tell(f"{outcome.file} {outcome.fault}; shipped all the same (--force-slo)")
