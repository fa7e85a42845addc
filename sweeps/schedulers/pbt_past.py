"""What Ray's PBT knew of its members before the process that it ran in ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.journal import Event


@dataclass
class MemberPast:
    """A member's fields of Ray's `_PBTTrialState`, of which the names are."""

    last_score: float | None = None
    last_train_time: int = 0
    last_perturbation_time: int = 0
    last_result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Look:
    """A report after which the scheduler looked at a member.

    Attributes:
        result: that was reported.
        donor_id: whose weights the member then took over; None: it went on with its own.
    """

    result: Mapping[str, Any]
    donor_id: str | None


class PbtPast:
    """Follows the rules by which Ray's PBT changes what it knows.

    Args:
        metric: steers.
        sign: 1.0 if more of it is better, else -1.0.
        interval_epochs: between two decisions.
    """

    def __init__(self, metric: str, sign: float, interval_epochs: int) -> None:
        self.members: dict[str, MemberPast] = {}
        self._metric = metric
        self._sign = sign
        self._interval_epochs = interval_epochs
        self._donors: dict[str, str] = {}  # of exploits whose report comes next

    def replay(self, event: Event) -> Look | None:
        """Hear of an event; an exploit comes before the report that led to it.

        Returns:
            The look at a member that it was; None if it was none.
        """
        trial_id = event.fields.get("trial_id", "")
        if event.kind == "exploit":
            self._donors[trial_id] = event.fields["donor_id"]
        elif event.kind == "report":
            return self._report(trial_id, event.fields["result"])
        return None

    def _report(self, trial_id: str, result: Mapping[str, Any]) -> Look | None:
        member = self.members.setdefault(trial_id, MemberPast())
        epoch = int(result["epoch"])
        if epoch - member.last_perturbation_time < self._interval_epochs:
            return None
        member.last_score = self._sign * result[self._metric]
        member.last_train_time = member.last_perturbation_time = epoch
        member.last_result = result
        donor_id = self._donors.pop(trial_id, None)
        donor = self.members.get(donor_id or "")
        if donor is not None:
            member.last_train_time = donor.last_train_time
            member.last_perturbation_time = donor.last_perturbation_time
        return Look(result, donor_id)
