"""Compiling a model with torch.compile."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import cast

import torch
from torch import nn

from trainables.errors import InputError


def check_compiler(device: torch.device) -> None:
    """Refuse to compile where torch.compile lacks a tool.

    The machine that this runs on is asked, for a GPU too: a driver need not have one.

    Raises:
        InputError: for a CPU without a C++ compiler; for a GPU without Triton or the C compiler
            that Triton calls; for either without the headers of Python.
    """
    missing = _missing_tool(device.type)
    if missing is not None:
        raise InputError(
            f"is_compiled must be False where torch.compile finds no {missing}, got True; install "
            "it or leave is_compiled out"
        )


def compile_model(model: nn.Module) -> nn.Module:
    """Wrap a model so that its first call compiles it, for each shape of input anew.

    The wrapper shares parameters and buffers with `model`. Save and load those of `model`: the
    wrapper puts `_orig_mod.` before their names. Evaluate with `model` as well: the wrapper
    compiles again for evaluation, and for every other size of batch.

    What was compiled before is forgotten: a gang's process trains one trial after another, and
    after eight versions of a function Dynamo would go on without compiling.
    """
    torch.compiler.reset()
    return cast("nn.Module", torch.compile(model, dynamic=False))


def _missing_tool(device_type: str) -> str | None:
    """Return what torch.compile lacks for a type of device, or None."""
    if device_type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "Triton"
        if not _is_there("CC", "gcc") and not _is_there("CC", "clang"):
            return "C compiler ($CC, gcc or clang)"
    else:
        default = "clang++" if sys.platform == "darwin" else "g++"
        if not _is_there("CXX", default):
            return f"C++ compiler ($CXX or {default})"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (the headers of this Python)"
    return None


def _is_there(variable: str, default: str) -> bool:
    # The variable may hold options, or a cache before the compiler.
    command = shlex.split(os.environ.get(variable, default))
    return bool(command) and shutil.which(command[0]) is not None
