"""When a trial has stopped getting better. Needs no Torch."""

from __future__ import annotations

import math
from typing import Any, final


@final
class EarlyStopping:
    """Stops a trial whose validation loss hasn't improved for some epochs.

    The rule of Goodfellow, Bengio and Courville 2016 (Deep Learning, algorithm 7.1); Prechelt 1998
    (Early Stopping - But When?) compares it with others of its kind.

    Args:
        patience_epochs: epochs without a new best after which to stop; 0: never.
    """

    def __init__(self, patience_epochs: int) -> None:
        self._patience_epochs = patience_epochs
        self._best_loss = math.inf
        self._num_epochs_since = 0

    def update(self, val_loss: float) -> bool:
        """Take in an epoch's validation loss and return whether to stop now.

        Args:
            val_loss: nats; one that is not a number is no improvement.
        """
        if val_loss < self._best_loss:
            self._best_loss = val_loss
            self._num_epochs_since = 0
        else:
            self._num_epochs_since += 1
        return 0 < self._patience_epochs <= self._num_epochs_since

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resume needs; the patience is a hyperparameter and no part of it."""
        return {"best_loss": self._best_loss, "num_epochs_since": self._num_epochs_since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; the patience stays."""
        self._best_loss = state["best_loss"]
        self._num_epochs_since = state["num_epochs_since"]
