"""int8 in PyTorch: static post-training quantisation by torchao, for Inductor on x86 CPUs."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from trainables.latency.eager import channels_last
from trainables.latency.export import export_program
from trainables.latency.protocol import Recipe


def quantise(model: nn.Module, recipe: Recipe) -> ExportedProgram:
    """Return a model with the scales of weights and activations fixed by the calibration samples.

    Inductor turns what it computes into int8 convolutions and products: run as it is, it would
    round to int8 and compute in fp32.

    Raises:
        LatencyError: if the model can't be exported.
    """
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torchao's, of its own insides
        model = model.to(memory_format=torch.channels_last)
        example = channels_last(recipe.example)
        prepared = prepare_pt2e(export_program(model, example).module(), quantizer)
        for batch in recipe.calibration_batches():
            prepared(channels_last(batch))
        return export_program(convert_pt2e(prepared), example)


def load_quantised(path: Path) -> nn.Module:
    """Return the module of a quantised program in a file; torchao's import brings its operators."""
    return torch.export.load(path).module()
