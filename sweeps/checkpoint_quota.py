"""How large checkpoints are, known before any is written, and whether a quota can hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from trainables.errors import InputError
from trainables.trial_config import TrialConfig

BYTES_PER_GB: Final = 10**9

_OPTIMIZER_COPIES: Final[Mapping[str, int]] = {
    "sgd": 1,  # momentum; a mutation can bring it where there was none
    "adam": 2,  # the two moments
    "adamw": 2,
    "rmsprop": 2,  # the mean square, and momentum
    "muon": 2,  # one for its own matrices, AdamW's two for the rest
}
"""Tensors that an optimizer keeps of each parameter, at most."""


def expected_bytes(config: TrialConfig, weights_bytes: int) -> int:
    """Return the size of a trial's checkpoint: weights, optimizer and moving average.

    Args:
        config: of the trial.
        weights_bytes: of its architecture's weights on disk.
    """
    copies = 1 + _OPTIMIZER_COPIES[config.optimizer] + (1 if config.ema_decay else 0)
    return copies * weights_bytes


def check_quota(quota_gb: float | None, checkpoint_bytes: Iterable[int], num_gangs: int) -> None:
    """Check that a quota holds at least one checkpoint of every gang.

    Args:
        quota_gb: None: there is none.
        checkpoint_bytes: of every trial that will train.
        num_gangs: that write at the same time.

    Raises:
        InputError: if it doesn't.
    """
    if quota_gb is None:
        return
    largest = max(checkpoint_bytes, default=0)
    if quota_gb * BYTES_PER_GB < num_gangs * largest:
        raise InputError(
            f"--checkpoint-quota-gb must be >= {num_gangs} gangs x {largest / BYTES_PER_GB:.3g} GB "
            f"of the largest checkpoint = {num_gangs * largest / BYTES_PER_GB:.3g} GB, got "
            f"{quota_gb:g}; raise it or search smaller models"
        )
