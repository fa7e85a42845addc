"""A sweep's figures for Prometheus, through the exporter that Ray runs on every node.

There they bear Ray's prefix: `ray_paretune_trials`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ray.util.metrics import Gauge

from analysis.records import LEDGER_KINDS, TRIAL_STATUSES
from sweeps.trial_record import TrialRecord
from trainables.cost import time_usd
from trainables.ledger import Standing


class SweepGauges:
    """Sets the gauges of one sweep.

    Args:
        sweep: name of its run folder, the tag `sweep` of all figures.
        usd_per_gang_hour: None without a price, and then no cost is told.
    """

    def __init__(self, sweep: str, usd_per_gang_hour: float | None) -> None:
        self._usd_per_gang_hour = usd_per_gang_hour
        tags = {"sweep": sweep}
        self._trials = Gauge("paretune_trials", "trials by status", ("sweep", "status"))
        self._gangs = Gauge("paretune_gangs", "gangs by what they do", ("sweep", "kind"))
        self._held = Gauge("paretune_held_gang_seconds", "of all gangs together", ("sweep",))
        self._cost = Gauge("paretune_cost_usd", "of what the gangs were held for", ("sweep",))
        for gauge in (self._trials, self._gangs, self._held, self._cost):
            gauge.set_default_tags(tags)

    def show(self, trials: Collection[TrialRecord], standing: Standing) -> None:
        """Set all of them."""
        statuses: Counter[str] = Counter(trial.status for trial in trials)
        for status in TRIAL_STATUSES:
            self._trials.set(statuses[status], {"status": status})
        kinds: Counter[str] = Counter(gang.kind for gang in standing.gangs)
        for kind in (*LEDGER_KINDS, "awaited"):
            self._gangs.set(kinds[kind], {"kind": kind})
        held_seconds = standing.holding.held_seconds
        self._held.set(held_seconds)
        if self._usd_per_gang_hour is not None:
            self._cost.set(time_usd(held_seconds, self._usd_per_gang_hour))
