"""The latency of every architecture of a sweep: looked up, or measured until it can be used."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sweeps.latency_bench import Bench, Identity, Request
from sweeps.latency_progress import LatencyProgress
from sweeps.serving import Target, identify, serving_words
from trainables.errors import InputError
from trainables.latency.blocks import Limits
from trainables.latency.cache import KeptFigure, add_to_cache, read_cache, rescaled
from trainables.latency.figure import LatencyFigure
from trainables.latency.measure import Samples, Subject
from trainables.latency.serving import Serving
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig

FIRST_LIMITS: Final = Limits()

REPEATS: Final = ((5.0, Limits(5.0, 10.0)), (15.0, Limits(8.0, 10.0)))
"""What is uncertain, or does not tell whether the SLO is met, is measured again: after a pause
[seconds] for whatever disturbed it to pass, and longer."""


class Latencies:
    """Figures by architecture, each measured once, for the way in which models will be served.

    Args:
        task: what the models must fit.
        target: how they are served, and where figures are kept.
        bench: that measures; is not asked where the target is another machine.
        samples: that int8 is fitted to; None: the precision needs none.
        progress: is told how far measuring is.
        known: figures of an earlier process of the sweep, which went by them: they stay as they
            are, uncertain ones too.
        sleep: waits seconds.

    Raises:
        InputError: if the cache can't be used, the bench can't serve so, or there are no figures
            of the other machine at all.
    """

    def __init__(
        self,
        task: Task,
        target: Target,
        bench: Bench,
        *,
        samples: Samples | None,
        progress: LatencyProgress,
        known: Sequence[LatencyFigure] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.target = target
        self._task = task
        self._bench = bench
        self._samples = samples
        self.progress = progress
        self._sleep = sleep
        kept = read_cache(target.cache_path)
        _check_machine(target.machine, kept)
        self._identities = {} if target.machine else identify(target, bench)
        self._nominals_ms = {s: i.nominal_ms for s, i in self._identities.items()}
        self._kept: dict[tuple[str, Serving], KeptFigure] = {}
        # The newest last, so that it is the one that stays.
        for one in sorted(kept, key=lambda one: one.figure.measured_unix_s):
            for serving in target.servings:
                if self._is_of(one, serving):
                    self._kept[one.figure.architecture, serving] = one
        if target.machine:
            self._nominals_ms = {
                serving: one.figure.nominal_reference_ms for (_, serving), one in self._kept.items()
            }
        self._as_known: set[tuple[str, Serving]] = set()
        for figure, serving in itertools.product(known, target.servings):
            if figure.runtime == serving.runtime and figure.trial_id is None:
                self._kept[figure.architecture, serving] = KeptFigure(figure, None, math.inf)
                self._as_known.add((figure.architecture, serving))
        self._used: dict[tuple[str, Serving], None] = {}  # in order
        self._measured: set[str] = set()
        self._trained: list[LatencyFigure] = []

    def measure(self, configs: Iterable[TrialConfig]) -> None:
        """Find the latencies of the architectures that aren't known yet.

        Raises:
            InputError: if a figure of another machine is missing.
            LatencyError: if measuring itself broke down.
        """
        models = {architecture_fingerprint(c, self._task): c for c in configs}
        self._fill(models, self.target.serving, FIRST_LIMITS)
        if self.target.fallback is not None:
            failed = {a: c for a, c in models.items() if self._serving_of(a) != self.target.serving}
            self._fill(failed, self.target.fallback, FIRST_LIMITS)
        if self.target.machine is None:
            self._repeat(models)

    def figure(self, config: TrialConfig) -> LatencyFigure:
        """Return the figure of a config's architecture, found if it is not known.

        It is the fallback's where the model can't run as asked for.
        """
        architecture = architecture_fingerprint(config, self._task)
        if (architecture, self.target.serving) not in self._used:
            self.measure([config])
        return self._figure(architecture, self._serving_of(architecture))

    def measure_trained(self, subject: Subject, samples: Samples, limits: Limits) -> None:
        """Measure trained weights, as their architecture was measured.

        Raises:
            LatencyError: if measuring itself broke down.
        """
        serving = self._serving_of(architecture_fingerprint(subject.config, self._task))

        def enter(figure: LatencyFigure) -> None:
            self._trained.append(figure)
            self.progress.advance()

        self._bench.measure(Request([subject], self._task, serving, samples, limits), enter)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `latency.parquet`, failures included, trained weights last."""
        known = [self._figure(*key) for key in self._used]
        return [dataclasses.asdict(figure) for figure in [*known, *self._trained]]

    @property
    def num_architectures(self) -> int:
        """How many are known."""
        return len({architecture for architecture, _ in self._used})

    @property
    def num_measured(self) -> int:
        """How many of these were measured, and not looked up."""
        return len(self._measured)

    @property
    def device(self) -> str:
        """What the figures are of, in words."""
        devices = {self._kept[key].figure.device for key in self._used}
        names = ", ".join(sorted(devices))
        return f"{self.target.machine} ({names})" if self.target.machine else names

    def _fill(self, models: Mapping[str, TrialConfig], serving: Serving, limits: Limits) -> None:
        """Find what is not known, and note all as used."""
        unknown = {a: c for a, c in models.items() if (a, serving) not in self._kept}
        if unknown:
            if self.target.machine is not None:
                raise _missing(self.target.machine, serving, unknown, len(models))
            self._measure(unknown, serving, limits, "latencies")
        self._used |= {(architecture, serving): None for architecture in models}

    def _repeat(self, models: Mapping[str, TrialConfig]) -> None:
        for pause_s, limits in REPEATS:
            open_models: dict[Serving, dict[str, TrialConfig]] = {}
            for architecture, config in models.items():
                serving = self._serving_of(architecture)
                if self._is_open(architecture, serving, limits):
                    open_models.setdefault(serving, {})[architecture] = config
            if open_models:
                self._sleep(pause_s)
            for serving, repeated in open_models.items():
                self._measure(repeated, serving, limits, "uncertain latencies again")

    def _is_open(self, architecture: str, serving: Serving, limits: Limits) -> bool:
        """Return whether a longer measurement could tell more of what must be known."""
        figure = self._figure(architecture, serving)
        if figure.status == "failed":
            return False
        is_telling = figure.status == "exact" and self.target.slo.judge(figure) != "undecided"
        is_short = self._kept[architecture, serving].min_time_s < limits.min_time_s
        return is_short and not is_telling

    def _measure(
        self, models: Mapping[str, TrialConfig], serving: Serving, limits: Limits, what: str
    ) -> None:
        self.progress.begin(what, len(models))
        new: list[KeptFigure] = []

        def enter(figure: LatencyFigure) -> None:
            key = (figure.architecture, serving)
            old = self._kept.get(key)
            if figure.status == "exact":
                self._nominals_ms[serving] = figure.nominal_reference_ms
            elif old is not None and old.figure.status == "exact":
                figure = old.figure  # it was measured well once
            self._kept[key] = KeptFigure(figure, None, limits.min_time_s)
            new.append(self._kept[key])
            self._measured.add(figure.architecture)
            self.progress.advance()

        subjects = [Subject(config) for config in models.values()]
        request = Request(subjects, self._task, serving, self._samples, limits)
        try:
            self._bench.measure(request, enter)
        finally:
            add_to_cache(self.target.cache_path, new)

    def _serving_of(self, architecture: str) -> Serving:
        """Return the way of serving that an architecture's figure is of."""
        asked, fallback = self.target.serving, self.target.fallback
        one = self._kept.get((architecture, asked))
        if fallback is None or (one is not None and one.figure.status != "failed"):
            return asked
        return fallback

    def _figure(self, architecture: str, serving: Serving) -> LatencyFigure:
        figure = self._kept[architecture, serving].figure
        if (architecture, serving) in self._as_known:
            return figure
        return rescaled(figure, self._nominals_ms.get(serving))

    def _is_of(self, one: KeptFigure, serving: Serving) -> bool:
        """Return whether a kept figure is one of what the target asks for."""
        figure, asked = one.figure, dataclasses.asdict(serving)
        names = ("runtime", "precision", "batch_size", "num_threads")
        if one.machine != self.target.machine or any(getattr(figure, n) != asked[n] for n in names):
            return False
        identity = self._identities.get(serving)
        return identity is None or _is_from(figure, identity)


def _is_from(figure: LatencyFigure, identity: Identity) -> bool:
    return (figure.device, figure.versions) == (identity.device, identity.versions)


def _check_machine(machine: str | None, kept: Sequence[KeptFigure]) -> None:
    known = sorted({one.machine for one in kept if one.machine is not None})
    if machine is not None and machine not in known:
        raise InputError(
            "--latency-device must be cpu, cuda or a machine whose figures were imported "
            f"({', '.join(known) or 'none was'}), got {machine!r}; {_how_to_import(machine)}"
        )


def _missing(
    machine: str, serving: Serving, unknown: Mapping[str, TrialConfig], num_models: int
) -> InputError:
    config = next(iter(unknown.values()))
    return InputError(
        f"--latency-device must be a machine with figures of every architecture, got {machine!r} "
        f"without {len(unknown)} of {num_models} in {serving_words(serving)} (such as "
        f"{describe(config)}); {_how_to_import(machine)}"
    )


def _how_to_import(machine: str) -> str:
    return (
        "run this command there with --trials 1 --latency-device cpu --latency-cache FILE, then "
        f"here: python -m trainables.latency import FILE {machine}"
    )


def describe(config: TrialConfig) -> str:
    """Return an architecture in words."""
    return ", ".join(f"{name} {value}" for name, value in config.architecture().items())
