"""Whether an exported model is the one that was trained: read from its files, and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from trainables.data.dataset import SplitData
from trainables.data.device import spread_positions
from trainables.data.text.dataset import TextData
from trainables.data.text.tokenizer import MAX_PIECES
from trainables.export import (
    ONNX_FILE,
    PROGRAM_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ExportError,
)
from trainables.export.served_model import load_exported
from trainables.latency.outputs import Comparison, Logits, compare, fp32_fault
from trainables.latency.samples import num_evaluated

_FIRST_BATCHES: Final = (1, 3)
_BATCH: Final = 128
_ADVICE: Final = "ship another trial, or report this model"
_REPLACEMENT: Final = "\ufffd"  # of bytes that are no text


@dataclass(frozen=True, eq=False)
class CheckedSamples:
    """Samples of the validation part, before and after the preprocessing of training.

    Attributes:
        raw: [num_samples, ...], as the exported model takes them: pixels, or token ids.
        inputs: likewise, as the trained model takes them.
        labels: [num_samples] int64.
        words: [num_samples, max_words] word ids of texts; of images what `raw` is.
    """

    raw: Tensor
    inputs: Tensor
    labels: Tensor
    words: Tensor


def draw_samples(data: SplitData) -> CheckedSamples:
    """Return samples that are spread over the validation part: as many as accuracies are of."""
    placed = data.on_device(torch.device("cpu"))
    whole = placed.place(data.val)
    chosen = spread_positions(num_evaluated(data), whole)
    taken = whole.inputs_at(chosen)
    inputs = placed.model_inputs(taken)
    raw = inputs if data.task.kind == "text" else taken.contiguous()
    return CheckedSamples(raw, inputs, whole.labels[chosen], taken)


@dataclass(frozen=True)
class Check:
    """What came of comparing one file with the checkpoint.

    Attributes:
        file: that was read.
        comparison: of its logits with those of eager PyTorch from the checkpoint; for a tokenizer
            the part of the texts whose tokens are equal.
        accuracy: on the samples; None for a tokenizer.
        num_samples: compared.
    """

    file: str
    comparison: Comparison
    accuracy: float | None
    num_samples: int


def check_artefacts(
    model: nn.Module, samples: CheckedSamples, data: SplitData, folder: Path
) -> list[Check]:
    """Compare what each file of a folder computes with what the trained model does.

    In batches of 1, 3 and more: a batch that isn't dynamic would be found out.

    Args:
        model: from the checkpoint, in evaluation mode, without preprocessing.
        samples: to compare on.
        data: of the run.
        folder: with all files.

    Raises:
        ExportError: if one is another model.
    """
    expected = _logits(model, samples.inputs)
    checks = []
    for file, opens in _ARTEFACTS.items():
        try:
            found = _logits(opens(folder / file), samples.raw)
            comparison = compare(found, expected)
        except Exception as error:  # each of them raises kinds of its own
            raise ExportError(f"{file} must run, got {type(error).__name__}: {error}") from error
        fault = fp32_fault(comparison, file, _ADVICE)
        if fault is not None:
            raise ExportError(fault)
        accuracy = float((found.argmax(1) == samples.labels.numpy()).mean())
        checks.append(Check(file, comparison, accuracy, len(found)))
    if isinstance(data, TextData):
        checks.append(_check_tokenizer(samples, data, folder / TOKENIZER_FILE))
    return checks


def _logits(model: Callable[[Tensor], object], inputs: Tensor) -> Logits:
    with torch.no_grad():
        batches = [np.asarray(model(batch), np.float32) for batch in _batches(inputs)]
    return cast("Logits", np.concatenate(batches))


def _batches(inputs: Tensor) -> Iterator[Tensor]:
    first = 0
    for size in _FIRST_BATCHES:
        if first < len(inputs):
            yield inputs[first : first + size]
        first += size
    for start in range(first, len(inputs), _BATCH):
        yield inputs[start : start + _BATCH]


def _open_weights(path: Path) -> Callable[[Tensor], object]:
    return load_exported(path.parent)


def _open_program(path: Path) -> Callable[[Tensor], object]:
    return torch.export.load(path).module()


def _open_onnx(path: Path) -> Callable[[Tensor], object]:
    from trainables.latency.onnx_runtime import open_session

    return open_session(path.read_bytes(), is_optimised=True)


_ARTEFACTS: Final = {
    WEIGHTS_FILE: _open_weights,
    PROGRAM_FILE: _open_program,
    ONNX_FILE: _open_onnx,
}


def _check_tokenizer(samples: CheckedSamples, data: TextData, path: Path) -> Check:
    """Compare the tokenizer's ids of texts with those that the model was trained on.

    The texts are read back from their tokens, so those with a word that was cut are left out, and
    of a text that was cut, its last word.
    """
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    num_pieces = torch.from_numpy(data.pieces > 0).sum(1)
    is_whole = (num_pieces[samples.words] < MAX_PIECES).all(1)
    num_equal = num_texts = 0
    for tokens in samples.raw[is_whole].tolist():
        text = tokenizer.decode([token for token in tokens if token])
        if _REPLACEMENT in text:
            continue
        end = len(tokens) - (MAX_PIECES if tokens[-1] else 0)
        num_texts += 1
        num_equal += tokenizer.encode(text).ids[:end] == tokens[:end]
    if num_equal < num_texts:
        raise ExportError(
            f"{path.name} must give the tokens that the model was trained on, got others for "
            f"{num_texts - num_equal} of {num_texts} texts; {_ADVICE}"
        )
    return Check(path.name, Comparison(0.0, 1.0), None, num_texts)
