"""What a budget is to the lease desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from trainables.ledger import Holding


class Gate(Protocol):
    """What decides whether epochs may be paid: a budget."""

    def refusal(
        self,
        trial_id: str,
        config: Mapping[str, Any],
        num_epochs: int,
        holding: Holding,
        *,
        is_retraining: bool = False,
    ) -> str | None:
        """Return why a trial's next epochs can't be paid; None if they can.

        Args:
            trial_id: of the trial.
            config: with which it trains.
            num_epochs: that are to be paid.
            holding: so far.
            is_retraining: of a finalist, after the finalists were examined.
        """

    def observe(
        self, trial_id: str, config: Mapping[str, Any], seconds: float, result: Mapping[str, Any]
    ) -> None:
        """Hear how long an epoch took, its checkpoint included, and what it gave."""

    def is_spent(self, holding: Holding) -> bool:
        """Tell whether no epoch of any trial can be paid any more."""
