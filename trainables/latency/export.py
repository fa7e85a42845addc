"""A model as an exported program, and what is said where it can't be one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from trainables.latency import LatencyError


def export_program(model: nn.Module, example: Tensor) -> ExportedProgram:
    """Return a model as `torch.export` captures it, with the example's shape.

    Args:
        model: in evaluation mode.
        example: its one input.

    Raises:
        LatencyError: if it can't be captured.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's, of its own insides
        try:
            return torch.export.export(model, (example,))
        except Exception as error:  # it raises many kinds
            raise LatencyError(
                f"{type(model).__name__} can't be exported: {export_failure(error)}"
            ) from error


def export_failure(error: BaseException) -> str:
    """Return why an exporter failed, in one line: the operator, if it is one, or its last cause."""
    causes = list(_causes(error))
    for cause in causes:
        found = re.search(r"OpOverload\(op='([^']+)'", str(cause))
        if found:
            return f"operator {found[1]} can't be exported"
    return first_line(causes[-1])


def first_line(error: BaseException) -> str:
    """Return the first paragraph of an error's text as one line, or the name of its kind."""
    return " ".join(str(error).strip().partition("\n\n")[0].split()) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
