"""The files of an exported model: weights, `torch.export` program, ONNX and what goes before."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from trainables.data.dataset import ImageData, SplitData
from trainables.data.text.dataset import TextData
from trainables.data.text.tokenizer import serving_tokenizer
from trainables.errors import InputError
from trainables.export import (
    CONFIG_FILE,
    ONNX_FILE,
    PROGRAM_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ExportError,
)
from trainables.latency.export import export_failure

FORMAT_VERSION: Final = 1
"""Raise it with every change of what `config.json` means."""

_MODULES: Final = ("onnx", "onnxruntime", "onnxscript", "safetensors")
_BATCH: Final = "batch"
_EXAMPLE_BATCH: Final = 2  # one sample would make the exporters take the batch for a constant


def check_export_installed() -> None:
    """Check that what exports is there.

    Raises:
        InputError: with the line that installs it.
    """
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"what exports must be installed, got it without {', '.join(missing)}; run: "
            "pip install 'paretune[export]'"
        )


def write_artefacts(
    model: nn.Module, weights: Mapping[str, Tensor], data: SplitData, folder: Path
) -> None:
    """Write what runs the model, each with a dynamic batch, and the tokenizer of texts.

    Args:
        model: with its preprocessing, in evaluation mode, on the CPU.
        weights: of the model without it.
        data: that it was trained on.
        folder: to write into.

    Raises:
        ExportError: if the model can't be exported.
    """
    from safetensors.torch import save_file

    own = {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}
    save_file(own, folder / WEIGHTS_FILE, {"format": "pt"})
    program = _program(model, _example(data))
    torch.export.save(program, folder / PROGRAM_FILE)
    (folder / ONNX_FILE).write_bytes(_onnx(program, input_name(data)))
    if isinstance(data, TextData):
        text = serving_tokenizer(
            data.tokenizer, max_words=data.train.inputs.shape[1], max_tokens=data.max_tokens
        )
        (folder / TOKENIZER_FILE).write_text(text, encoding="utf-8")


def write_config(told: Mapping[str, Any], data: SplitData, folder: Path) -> None:
    """Write `config.json`: all that must be known to feed the model and to read its answer.

    Args:
        told: of the trial: its config, where it comes from.
        data: that it was trained on.
        folder: to write into.
    """
    dtype = "uint8" if data.task.kind == "image" else "int64"
    content = {
        "format_version": FORMAT_VERSION,
        **told,
        "task": data.task.to_dict(),
        "class_names": list(data.class_names),
        "input": {
            "name": input_name(data),
            "dtype": dtype,
            "shape": [_BATCH, *data.task.input_shape],
        },
        "output": {
            "name": "logits",
            "dtype": "float32",
            "shape": [_BATCH, data.task.num_classes],
        },
        "preprocessing": _preprocessing(data),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def input_name(data: SplitData) -> str:
    """Return what the one input of the program and of the ONNX graph is called."""
    return "pixels" if data.task.kind == "image" else "tokens"


def _preprocessing(data: SplitData) -> dict[str, Any]:
    if isinstance(data, ImageData):
        return {
            "is_inside": True,  # of the program and the graph; beside the weights
            "mean": list(data.mean),
            "std": list(data.std),
        }
    assert isinstance(data, TextData)
    return {
        "is_inside": False,
        "tokenizer": TOKENIZER_FILE,
        "max_words": data.train.inputs.shape[1],
        "max_tokens": data.max_tokens,
    }


def _example(data: SplitData) -> Tensor:
    shape = (_EXAMPLE_BATCH, *data.task.input_shape)
    return torch.ones(shape, dtype=torch.uint8 if data.task.kind == "image" else torch.int64)


def _program(model: nn.Module, example: Tensor) -> ExportedProgram:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's, of its own insides
        try:
            return torch.export.export(model, (example,), dynamic_shapes=({0: Dim(_BATCH, min=1)},))
        except Exception as error:  # it raises many kinds
            raise ExportError(
                f"the model must be one that torch.export takes with a dynamic batch, got "
                f"{export_failure(error)}; ship another trial"
            ) from error


def _onnx(program: ExportedProgram, name: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # likewise
        try:
            exported = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[name],
                output_names=["logits"],
                dynamic_shapes=({0: _BATCH},),
            )
        except Exception as error:
            raise ExportError(
                f"the model must be one that ONNX can express with a dynamic batch, got "
                f"{export_failure(error)}; ship another trial"
            ) from error
    assert exported is not None
    return bytes(exported.model_proto.SerializeToString())
