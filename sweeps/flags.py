"""The command line of a sweep, read into its spec."""

from __future__ import annotations

import contextlib
import io
import re
import sys

import tyro

from sweeps.spec import SweepSpec
from trainables.errors import InputError


def parse_spec(default: SweepSpec, arguments: list[str] | None = None) -> SweepSpec:
    """Read the command line into a spec.

    Raises:
        InputError: for an unknown flag or a value of the wrong type.
        SystemExit: 0 after `--help`.
    """
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(SweepSpec, default=default, args=arguments, prog=sys.argv[0])
    except SystemExit as error:
        if error.code == 0:
            raise
        raise InputError(_one_line(captured.getvalue())) from None


def _one_line(box: str) -> str:
    """Return what tyro's error box says first, on one line; ours as we wrote it."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()][1:]
    first = lines[: lines.index("")] if "" in lines else lines
    text = re.sub(r"\s+", " ", " ".join(first)).rstrip(".")
    ours = text.removeprefix("Error parsing SweepSpec: ")
    if ours != text:
        return ours
    return f"flags must be those of --help, got: {text}; see --help"
