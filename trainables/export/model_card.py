"""The model card of an exported model (Mitchell et al. 2019, arXiv:1810.03993), in Markdown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.data.dataset import SplitData
from trainables.data.text.tokenizer import MAX_PIECES
from trainables.export import ONNX_FILE, PROGRAM_FILE, TOKENIZER_FILE, WEIGHTS_FILE
from trainables.export.card_tables import (
    NONE,
    class_table,
    cost_table,
    fraction_words,
    latency_table,
    markdown_table,
    robustness_table,
    score_table,
)
from trainables.export.licences import licence_of
from trainables.export.slo_check import SloOutcome
from trainables.export.verification import Check
from trainables.trial_config import default_of

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class CardFacts:
    """All that a card tells.

    Attributes:
        sweep: content of `sweep.json`.
        row: of the trial, with the figures of the epoch that was exported.
        data: of the run.
        folder: with the exported files.
        latencies: rows of `latency.parquet`, of this model.
        robustness: rows of `robustness.parquet`, of this trial.
        checks: of the files.
        slo: what came of the SLO; None without one.
    """

    sweep: Row
    row: Row
    data: SplitData
    folder: Path
    latencies: Sequence[Row]
    robustness: Sequence[Row]
    checks: Sequence[Check]
    slo: SloOutcome | None


def model_card(facts: CardFacts) -> str:
    """Return the card."""
    sections = {
        "Use": _use(facts),
        "Files": _files(facts),
        "Checks": _checks(facts),
        "Data": _data(facts),
        "Training": _training(facts),
        "Scores": _scores(facts),
        "Latency": _latency(facts),
        "Cost": _cost(facts),
        "Limits": [f"- {line}" for line in _limits(facts)],
        "Train it again": ["```", str(facts.row["reproduce"]), "```"],
    }
    lines = _head(facts)
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _head(facts: CardFacts) -> list[str]:
    config, task = json.loads(facts.row["config"]), facts.data.task
    lines = [
        f"# {config['model']}, {facts.row['trial_id']} of {facts.sweep['name']}",
        "",
        f"Classifies {task.kind}s into {task.num_classes} classes. {facts.row['num_parameters']:,} "
        f"parameters, trained for {facts.row['epoch']} epochs on {facts.data.name}.",
    ]
    if facts.slo is not None and facts.slo.fault is not None:
        lines += ["", f"**Shipped by force: {facts.slo.file} {facts.slo.fault}.**"]
    return lines


def _use(facts: CardFacts) -> list[str]:
    task = facts.data.task
    names = ", ".join(facts.data.class_names[:20]) + (" …" if task.num_classes > 20 else "")
    if task.kind == "image":
        channels, height, width = task.input_shape
        color = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
        feed, name = "pixels = ...", "pixels"
        told = (
            f"Input `pixels`: uint8 [batch, {channels}, {height}, {width}], {color}, 0 to 255. "
            "Normalisation is inside."
        )
        imports = ["import numpy as np, onnxruntime"]
    else:
        feed = (
            'tokens = np.array([e.ids for e in Tokenizer.from_file("tokenizer.json")'
            ".encode_batch(texts)])"
        )
        name = "tokens"
        told = (
            f"Input `tokens`: int64 [batch, {task.input_shape[0]}], as `{TOKENIZER_FILE}` gives "
            "them, cut and filled up."
        )
        imports = ["import numpy as np, onnxruntime", "from tokenizers import Tokenizer"]
    return [
        f"{told} Output `logits`: float32 [batch, {task.num_classes}]; their softmax are the "
        f"probabilities of: {names} (all in `config.json`).",
        "",
        "```python",
        *imports,
        feed,
        f'session = onnxruntime.InferenceSession("{ONNX_FILE}")',
        f'(logits,) = session.run(["logits"], {{"{name}": {name}}})',
        "```",
        "",
        f'`torch.export.load("{PROGRAM_FILE}").module()` takes the same as a tensor and needs '
        f"PyTorch alone; `trainables.export.served_model.load_exported` makes of `{WEIGHTS_FILE}` "
        "and `config.json` a module that can be trained on.",
    ]


def _files(facts: CardFacts) -> list[str]:
    rows = [
        [f"`{path.name}`", f"{path.stat().st_size:,}", f"`{_sha256(path)}`"]
        for path in sorted(facts.folder.iterdir())
    ]
    return markdown_table(["file", "bytes", "SHA-256"], rows)


def _checks(facts: CardFacts) -> list[str]:
    rows = []
    for check in facts.checks:
        difference, agreement_fraction = check.comparison
        is_tokenizer = check.accuracy is None
        rows.append(
            [
                f"`{check.file}`",
                str(check.num_samples),
                "equal tokens" if is_tokenizer else f"{difference:.2g}",
                NONE if is_tokenizer else f"{agreement_fraction:.2%}",
                NONE
                if check.accuracy is None
                else fraction_words(check.accuracy, check.num_samples),
            ]
        )
    lines = [
        "Each file was read back and compared with eager PyTorch from the checkpoint, on samples "
        "of the validation part, in batches of 1, 3 and more. Difference: the greatest of any "
        "logit, as a fraction of the largest.",
        "",
        *markdown_table(["file", "samples", "difference", "same class", "accuracy"], rows),
    ]
    return [*lines, "", _slo_words(facts.slo)]


def _slo_words(slo: SloOutcome | None) -> str:
    if slo is None:
        return "The sweep had no latency SLO."
    if slo.fault is not None:
        return f"**The SLO is not shown to be met: `{slo.file}` {slo.fault}.**"
    assert slo.figure is not None
    assert slo.target.slo.limit_ms is not None
    span = slo.target.slo.span(slo.figure)
    assert span is not None
    margin = 1 - span.value_ms / slo.target.slo.limit_ms
    elsewhere = (
        ""
        if slo.figure.device == slo.target.device
        else f" (the sweep measured on {slo.target.device})"
    )
    return (
        f"The SLO, {slo.target.slo.column} <= {slo.target.slo.limit_ms:g} ms, is met with a margin "
        f"of {margin:.0%}: {span}, measured of `{slo.file}` in {slo.figure.runtime} "
        f"{slo.figure.precision} on {slo.figure.device}{elsewhere}."
    )


def _data(facts: CardFacts) -> list[str]:
    told, spec = facts.sweep["dataset"], facts.sweep["spec"]
    limit = "" if not spec.get("limit_train") else f", training limited to {told['limit_train']}"
    note = str(told["note"]).replace("<", "&lt;")  # or Markdown takes it for HTML
    return [
        f"- Data set: {told['name']} ({note})",
        f"- Fingerprint of inputs, labels and split: `{told['fingerprint']}`",
        f"- Split by seed {spec['seed']}: {len(facts.data.train)} training, {len(facts.data.val)} "
        f"validation, {len(facts.data.test)} test samples{limit}",
        f"- Licence of the data: {licence_of(spec['dataset'], told['name'])}",
    ]


def _training(facts: CardFacts) -> list[str]:
    row, sweep = facts.row, facts.sweep
    config = json.loads(row["config"])
    gangs, hardware = sweep.get("gangs") or {}, sweep.get("hardware") or {}
    versions = ", ".join(f"{name} {v}" for name, v in (sweep.get("versions") or {}).items())
    lines = [
        f"- Sweep: {sweep['name']}, {sweep['num_trials']} trials, scheduler "
        f"{sweep.get('scheduler')}, chosen by {', '.join(sweep['objectives'])}",
        f"- Trial: {row['trial_id']}, {row['status']} ({row['reason'] or 'trained to the end'}), "
        f"weights after epoch {row['epoch']}",
        f"- On {gangs.get('workers_per_gang')} DDP workers, {hardware.get('processor')}",
        f"- Versions: {versions or 'not recorded'}; commit {sweep.get('commit') or 'not known'}",
        "",
        "Hyperparameters that differ from their defaults (all are in `config.json`):",
        "",
        *markdown_table(
            ["name", "value"],
            [[f"`{name}`", f"{value:g}" if isinstance(value, float) else str(value)]
             for name, value in config.items() if value != default_of(name)],
        ),
    ]  # fmt: skip
    if len(row["lineage"]) > 1:
        steps = [
            [str(step["from_epoch"]), step["parent_trial_id"] or NONE] for step in row["lineage"]
        ]
        lines += ["", "Lineage of the weights (population-based training):", ""]
        lines += markdown_table(["from epoch", "weights of"], steps)
    return lines


def _scores(facts: CardFacts) -> list[str]:
    row = facts.row
    if row.get("val_accuracy") is None:
        return ["The run holds no scores of this epoch."]
    lines = [
        "In brackets: 95 % intervals (Wilson), of the samples alone, not of the training.",
        "",
        *score_table(row, len(facts.data.val), len(facts.data.test)),
    ]
    if row.get("test_accuracy") is None:
        lines += ["", "**This trial was not examined on the test part.**"]
    if row.get("val_per_class"):
        lines += ["", "By class, on the validation part:", ""]
        lines += class_table(row["val_per_class"], facts.data.class_names)
    if facts.robustness:
        lines += ["", "On samples of the test part, corrupted or attacked:", ""]
        lines += robustness_table(facts.robustness)
    return lines


def _latency(facts: CardFacts) -> list[str]:
    measured = None if facts.slo is None else facts.slo.figure
    if not facts.latencies and measured is None:
        return ["Not measured."]
    return [
        "`latency` is the shortest call as on a quiet host; p50, p95 and p99 are as the host was.",
        "",
        *latency_table(facts.latencies, measured),
    ]


def _cost(facts: CardFacts) -> list[str]:
    row, totals = facts.row, facts.sweep.get("totals") or {}
    lines = cost_table(row, totals)
    energy, carbon = row.get("energy_kwh"), row.get("carbon_kg")
    per_million = row.get("serving_usd_per_million")
    return [
        *lines,
        "",
        f"Energy: {'not measured' if energy is None else f'{energy:.4g} kWh'}; carbon: "
        f"{'not known' if carbon is None else f'{carbon:.4g} kg'}; a million inferences: "
        f"{'no price was given' if per_million is None else f'{per_million:.4g} USD'}.",
    ]


def _limits(facts: CardFacts) -> list[str]:
    sweep, task = facts.sweep, facts.data.task
    lines = [
        f"It always names one of its {task.num_classes} classes, whatever it is shown.",
        "It was trained once, on one split: how much another seed changes is not in the intervals.",
        f"It was chosen among {sweep['num_trials']} trials by figures of the validation part, "
        "which therefore flatter it; those of the test part, where there are any, do not.",
        "Latencies hold for the host and the versions that they name.",
    ]
    if task.kind == "image":
        lines.append("It takes images of this one size, from where those of the data set are from.")
    else:
        lines.append(
            f"Texts are cut as in training, but for words of more than {MAX_PIECES} tokens, which "
            f"training cut to {MAX_PIECES} and `{TOKENIZER_FILE}` leaves whole."
        )
    precision = (sweep.get("serving") or {}).get("precision", "fp32")
    if precision != "fp32":
        lines.append(
            f"The files compute in fp32. Latencies in {precision} are of what the runtime makes of "
            f"`{ONNX_FILE}` or of the weights; that is not in this folder."
        )
    return lines


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
