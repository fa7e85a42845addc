"""What a sweep may cost, costs and will cost, in one place for the launcher and the display."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sweeps.budget import END_RESERVE_S, Budget, Examination, Limits, epoch_key
from sweeps.draw import DrawnTrial
from sweeps.forecast import Forecast, Outlook, Rungs, Situation, asha_rungs, forecast
from sweeps.gangs_table import clock_words
from sweeps.plan import SweepPlan
from sweeps.prices import Price, PriceRequest, find_price
from sweeps.resources import GangPlan, Node
from sweeps.spec import HALVING, POPULATION, SweepSpec
from sweeps.trial_record import TrialRecord
from trainables.cost import SECONDS_PER_HOUR, paid_seconds, time_usd
from trainables.data.dataset import SplitData
from trainables.errors import InputError
from trainables.ledger import Account, Standing
from trainables.step_times import TimedWorker, time_epochs
from trainables.trial_config import TrialConfig

FIRST_EPOCHS: Final = 2
"""Epochs of the first trials after which the forecast is kept, to be compared with the end."""

REFRESH_INTERVAL_S: Final = 5.0

OVER: Final = ("completed", "stopped", "failed", "refused", "interrupted")


def price_of(spec: SweepSpec, nodes: Sequence[Node], gangs: GangPlan) -> Price | None:
    """Return what a gang costs; None if nobody asks.

    Raises:
        InputError: if somebody does and it can't be found.
    """
    if not spec.asks_for_price:
        return None
    request = PriceRequest(spec.price_usd_per_hour, spec.instance, spec.prices, spec.spot)
    return find_price(request, nodes, gangs, datetime.date.today())


def limits_of(
    spec: SweepSpec, gangs: GangPlan, price: Price | None, started_s: float
) -> Limits | None:
    """Return what may be held; None without a budget.

    Args:
        spec: with flags of the budget.
        gangs: of the sweep.
        price: needed for dollars.
        started_s: when the command began.
    """
    if not spec.has_budget:
        return None
    seconds = []
    if spec.budget_usd is not None:
        assert price is not None, "a budget in dollars asks for a price"
        seconds.append(paid_seconds(spec.budget_usd, price.usd_per_gang_hour))
    if spec.budget_gpu_hours is not None:
        per_gang = gangs.gpus_per_gang or gangs.workers_per_gang
        seconds.append(spec.budget_gpu_hours * SECONDS_PER_HOUR / per_gang)
    limit_s = spec.time_limit_s
    ends_at_s = None if limit_s is None else started_s + limit_s
    return Limits(min(seconds, default=None), ends_at_s)


def examination_of(plan: SweepPlan, data: SplitData) -> Examination:
    """Return how much the finalists' examination computes."""
    spec, gangs = plan.spec, plan.gangs
    return Examination(
        num_finalists=min(spec.finalists, plan.num_trials),
        num_gangs=gangs.num_gangs,
        num_workers=gangs.workers_per_gang,
        num_val=len(data.val),
        num_train=len(data.train),
        num_test=len(data.test),
        robustness_samples=spec.robustness_samples if data.task.kind == "image" else 0,
        attribution_samples=spec.attribution_samples,
    )


def make_spending(
    plan: SweepPlan,
    data: SplitData,
    price: Price | None,
    trials: Sequence[DrawnTrial],
    started_s: float,
    held_before_s: float = 0.0,
) -> Spending:
    """Return a sweep's spending, with a forecast where cost matters enough to time steps first.

    Args:
        plan: of the sweep.
        data: of the sweep.
        price: of a gang; None: nobody asked.
        trials: that will train, and those refused.
        started_s: when the command began.
        held_before_s: by gangs of earlier processes of the sweep.

    Raises:
        InputError: if the budget can't pay for one epoch.
    """
    spec = plan.spec
    timed: dict[str, float] = {}
    configs = [trial.config for trial in trials if trial.refusal is None]
    if (price is not None or spec.has_budget or spec.dry_run) and spec.address is None:
        kinds = {epoch_key(config.to_dict()): config for config in configs}
        worker = TimedWorker(
            plan.gangs.workers_per_gang,
            plan.gangs.threads_per_worker,
            has_gpu=plan.gangs.gpus_per_worker > 0,
        )
        timed = dict(zip(kinds, time_epochs(list(kinds.values()), data, worker), strict=True))
    limits = limits_of(spec, plan.gangs, price, started_s)
    if limits is not None and limits.gang_seconds is not None:
        limits = replace(limits, gang_seconds=max(0.0, limits.gang_seconds - held_before_s))
    spending = Spending(
        plan,
        price,
        limits,
        examination_of(plan, data),
        timed,
        started_s,
        held_before_s=held_before_s,
    )
    spending.check_first_epoch()
    spending.foresee_start(configs)
    return spending


def rungs_of(plan: SweepPlan) -> Rungs:
    """Return where the plan's scheduler stops trials."""
    if plan.spec.scheduler not in HALVING or plan.spec.halving_variant == "promotion":
        return Rungs()
    return asha_rungs(plan.spec.grace_epochs, plan.spec.reduction_factor, plan.num_epochs)


@dataclass
class Spending:
    """Price, limits and forecasts of a sweep.

    Args:
        plan: of the sweep.
        price: of a gang; None: nobody asked.
        limits: None: without a budget.
        examination: of the finalists.
        timed_seconds: of an epoch by `epoch_key`, from steps timed before the start.
        started_s: when the command began, on the clock.
        clock: seconds, monotonic; that of the ledger.
        held_before_s: by gangs of earlier processes of the sweep; the limits are what is left.
    """

    plan: SweepPlan
    price: Price | None
    limits: Limits | None
    examination: Examination
    timed_seconds: Mapping[str, float]
    started_s: float
    clock: Callable[[], float] = time.monotonic
    held_before_s: float = 0.0
    budget: Budget | None = field(init=False)
    at_start: Forecast | None = field(init=False, default=None)
    after_first_epochs: Forecast | None = field(init=False, default=None)
    last: Forecast | None = field(init=False, default=None)
    _keys: dict[tuple[str, int], str] = field(init=False, default_factory=dict)
    _refreshed_s: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.budget = (
            None
            if self.limits is None
            else Budget(self.limits, self.examination, self.timed_seconds)
        )

    @property
    def usd_per_gang_hour(self) -> float | None:
        """Price of a gang."""
        return None if self.price is None else self.price.usd_per_gang_hour

    def check_first_epoch(self) -> None:
        """Check that the budget pays for one epoch, as far as steps were timed.

        Raises:
            InputError: if it doesn't.
        """
        if self.limits is None or not self.timed_seconds:
            return
        need_s = min(self.timed_seconds.values()) + END_RESERVE_S
        spec, num_gangs = self.plan.spec, self.plan.gangs.num_gangs
        left_s = None if self.limits.gang_seconds is None else self.limits.gang_seconds / num_gangs
        if left_s is not None and left_s < need_s:
            raise InputError(
                f"{self._budget_words()} must pay for one epoch of the fastest architecture while "
                f"all gangs are held ({need_s:.3g} s of {num_gangs} gangs, without their start), "
                f"got {left_s:.3g} s; raise it"
            )
        ends_at_s = self.limits.ends_at_s
        if ends_at_s is not None and ends_at_s - self.clock() < need_s:
            raise InputError(
                f"--time-limit must leave {need_s:.3g} s for one epoch of the fastest architecture "
                f"after the preparation ({self.clock() - self.started_s:.3g} s), got "
                f"{spec.time_limit}; raise it"
            )

    def _budget_words(self) -> str:
        spec = self.plan.spec
        given = [
            f"--budget-usd {spec.budget_usd:g}" if spec.budget_usd is not None else "",
            f"--budget-gpu-hours {spec.budget_gpu_hours:g}"
            if spec.budget_gpu_hours is not None
            else "",
            f"--time-limit {spec.time_limit}" if spec.time_limit is not None else "",
        ]
        return ", ".join(filter(None, given))

    def foresee_start(self, configs: Iterable[TrialConfig]) -> None:
        """Make the forecast before anything is trained, from the steps that were timed."""
        num_epochs = self.plan.num_epochs
        outlooks = [
            Outlook(
                epoch_key(config.to_dict()),
                relative=None,
                num_epochs=num_epochs,
                patience_epochs=config.patience_epochs,
            )
            for config in configs
        ]
        val_s = 0.2 * min(self.timed_seconds.values(), default=0.0)
        self.at_start = self._foresee(outlooks, None, self.examination.seconds(val_s))

    def look(self, trials: Sequence[TrialRecord], standing: Standing) -> None:
        """Make the forecast anew: every few seconds, and once the first epochs are measured."""
        is_due = self.clock() - self._refreshed_s >= REFRESH_INTERVAL_S
        is_first = self.after_first_epochs is None and self._has_first_epochs(trials)
        if not is_due and not is_first:
            return
        trained = [t for t in trials if t.epoch or t.status != "refused"]
        outlooks = [self._outlook(trial) for trial in trained]
        rest_s = self.examination.seconds(_val_seconds(trials))
        # The lower median: the first start on a gang costs it seconds that come only once.
        around = [seconds for trial in trials for seconds in trial.around_seconds]
        around_s = statistics.median_low(around) if around else 0.0
        self.last = self._foresee(outlooks, standing, rest_s, around_s)
        self._refreshed_s = self.clock()
        if is_first:
            self.after_first_epochs = self.last

    def _outlook(self, trial: TrialRecord) -> Outlook:
        """Return a trial as a forecast sees it; what its epochs depend on is found once."""
        known = (trial.trial_id, trial.num_exploits)
        if known not in self._keys:
            self._keys[known] = epoch_key(trial.config)
        return Outlook(
            self._keys[known],
            relative=trial.value("latency_p50_ms"),
            num_epochs=self.plan.num_epochs,
            patience_epochs=int(trial.config.get("patience_epochs") or 0),
            epoch=trial.epoch,
            is_over=trial.status in OVER,
            seconds=tuple(trial.epoch_seconds),
        )

    def _has_first_epochs(self, trials: Sequence[TrialRecord]) -> bool:
        """Tell whether the trials that began first have trained their first epochs."""
        begun = [t for t in trials if t.epoch or t.status not in ("refused", "pending")]
        first = begun[: self.plan.gangs.num_gangs]
        return bool(first) and all(t.epoch >= FIRST_EPOCHS or t.status in OVER for t in first)

    def num_finalists(self, trials: Sequence[TrialRecord], standing: Standing | None) -> int:
        """Return how many finalists the budget lets examine."""
        if self.budget is None or standing is None:
            return self.examination.num_finalists
        left_s = self.budget.until_end_s(standing.holding)
        return self.examination.num_fitting(_val_seconds(trials), left_s)

    def _foresee(
        self,
        outlooks: Sequence[Outlook],
        standing: Standing | None,
        examination_s: float,
        around_s: float = 0.0,
    ) -> Forecast | None:
        is_pbt = self.plan.spec.scheduler in POPULATION
        situation = Situation(
            num_gangs=self.plan.gangs.num_gangs,
            rungs=rungs_of(self.plan),
            chunk_epochs=self.plan.perturbation_epochs if is_pbt else None,
            held_seconds=self._held_s(standing),
            elapsed_s=self.clock() - self.started_s,
            idle_seconds=0.0 if standing is None else _idle_seconds(standing),
            around_seconds=around_s,
            rest_s=examination_s + END_RESERVE_S,
            timed_seconds=self.timed_seconds,
            num_finalists=self.examination.num_finalists,
            num_seeds=self.plan.spec.seeds,
        )
        return forecast(outlooks, situation, self.usd_per_gang_hour, self.plan.spec.seed)

    def _held_s(self, standing: Standing | None) -> float:
        now_s = 0.0 if standing is None else standing.holding.held_seconds
        return self.held_before_s + now_s

    def text(self, standing: Standing | None) -> str | None:
        """Return what has been spent and what will be, for the display."""
        if standing is None:
            return None
        parts = []
        if self.usd_per_gang_hour is not None:
            spent = time_usd(self._held_s(standing), self.usd_per_gang_hour)
            budget_usd = self.plan.spec.budget_usd
            limit = "" if budget_usd is None else f" of {budget_usd:g}"
            parts.append(f"USD {spent:.4g}{limit}")
        if self.last is not None:
            words = forecast_words(self.last, self.clock() - self.started_s)
            parts.append(f"forecast {words}")
        return ", ".join(parts) or None

    def describe_plan(self) -> list[str]:
        """Return lines on price, budget and forecast, for the start."""
        lines = []
        if self.price is not None:
            lines.append(f"price      {self.price.note}")
        if self.limits is not None:
            lines.append(f"budget     {self._budget_words()}{self._budget_seconds()}")
        if self.at_start is None:
            lines.append("forecast   not known before the first epochs: no steps were timed")
        else:
            words = forecast_words(self.at_start, self.clock() - self.started_s)
            lines.append(
                f"forecast   {words}, and the start of the gangs, which is not known yet; from "
                f"{self.at_start.basis}"
            )
        return lines

    def _budget_seconds(self) -> str:
        assert self.limits is not None
        if self.limits.gang_seconds is None:
            return ""
        seconds = self.limits.gang_seconds / self.plan.gangs.num_gangs
        return f": the gangs can be held for {clock_words(seconds)}, used or not"

    def spent_words(self, account: Account) -> str:
        """Return what was held in the end, against what might be."""
        parts = [f"{account.held_seconds:.1f} s of gangs held"]
        if self.usd_per_gang_hour is not None:
            parts.append(f"USD {time_usd(account.held_seconds, self.usd_per_gang_hour):.4g}")
        if self.plan.spec.time_limit is not None:
            parts.append(f"{self.clock() - self.started_s:.1f} s since the start")
        return f"{', '.join(parts)}, of {self._budget_words()}"

    def describe(self, account: Account, trials: Iterable[TrialRecord]) -> dict[str, Any]:
        """Return what `sweep.json` says of cost at the end.

        Args:
            account: the ledger's sums.
            trials: of the sweep.
        """
        usd = self.usd_per_gang_hour
        final = {
            "seconds": self.clock() - self.started_s,
            "gang_seconds": account.held_seconds,
            "cost_usd": None if usd is None else time_usd(account.held_seconds, usd),
        }
        return {
            "totals": {
                "held_gang_seconds": account.held_seconds,
                "held_cost_usd": final["cost_usd"],
                "energy_kwh": _total(trials, "energy_kwh"),
                "carbon_kg": _total(trials, "carbon_kg"),
            },
            "price": None if self.price is None else vars(self.price),
            "limits": None if self.limits is None else vars(self.limits),
            "ledger": dict(account.by_kind),
            "forecasts": {
                "start": None if self.at_start is None else self.at_start.to_dict(),
                "after_first_epochs": None
                if self.after_first_epochs is None
                else self.after_first_epochs.to_dict(),
                "final": final,
            },
        }


def _total(trials: Iterable[TrialRecord], column: str) -> float | None:
    """Return the sum of what trials that trained have in a column; None if one has nothing."""
    values = [trial.value(column) for trial in trials if trial.epoch]
    return None if not values or None in values else sum(values)


def _val_seconds(trials: Sequence[TrialRecord]) -> float:
    """Return how long the longest validation took."""
    return max((t.val_seconds for t in trials), default=0.0)


def _idle_seconds(standing: Standing) -> float:
    return standing.idle_seconds / max(1, standing.num_leases)


def forecast_words(found: Forecast, elapsed_s: float) -> str:
    """Return a forecast's cost and the time that is left, with intervals."""
    left, low, high = (
        clock_words(max(0.0, seconds - elapsed_s))
        for seconds in (found.seconds, found.seconds_low, found.seconds_high)
    )
    time_words = f"{left} [{low}, {high}] to go"
    if found.cost_usd is None:
        return time_words
    return (
        f"USD {found.cost_usd:.4g} [{found.cost_usd_low:.4g}, {found.cost_usd_high:.4g}], "
        f"{time_words}"
    )
