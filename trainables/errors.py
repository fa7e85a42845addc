"""The two errors of a trial: a wrong input, and a training that went wrong."""

from __future__ import annotations

from typing import Final

EXIT_BAD_INPUT: Final = 2
"""What a command exits with after an `InputError`."""


class InputError(ValueError):
    """What a user gave is wrong.

    Reads `<name> must be <rule> [unit], got <value>; <next step>`.
    """


class TrainingError(RuntimeError):
    """A trial itself failed, as with a loss that is not finite; the gang it ran on is sound."""
