"""Latency figures by architecture, so that each is measured once. Imports no Torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.latency.measure import Subject, measure_all
from trainables.latency.serving import Serving
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig

_DEFAULT_SERVING = Serving()

Measure = Callable[..., Sequence[LatencyFigure]]

# All that a latency depends on; `device` holds the processor's name.
_KEY_FIELDS = (
    "architecture",
    "runtime",
    "precision",
    "batch_size",
    "num_threads",
    "device",
    "versions",
)


class LatencyCache:
    """Figures for one way of serving, on this host and with this Torch.

    Args:
        task: what the models must fit.
        rows: of an earlier latency table, by column name; those from another host, Torch, runtime,
            batch size or number of threads do not match, and are measured again.
        serving: how the models are served.
        measure: `measure_all`, or a stand-in with its arguments.
    """

    def __init__(
        self,
        task: Task,
        *,
        rows: Iterable[Mapping[str, Any]] = (),
        serving: Serving = _DEFAULT_SERVING,
        measure: Measure = measure_all,
    ) -> None:
        self._task = task
        self._serving = serving
        self._key_of_serving = {
            **asdict(serving),
            "device": device_name(serving.device),
            "versions": runtime_versions(serving.runtime),
        }
        self._measure = measure
        self._figures: dict[tuple[Any, ...], LatencyFigure] = {}
        names = [field.name for field in fields(LatencyFigure)]
        for row in rows:
            self._add(LatencyFigure(**{name: row[name] for name in names}))

    def get(self, config: TrialConfig) -> LatencyFigure:
        """Return the figure of a config's architecture, measured if it is not known."""
        return self.get_all([config])[0]

    def get_all(self, configs: Sequence[TrialConfig]) -> list[LatencyFigure]:
        """Return the figures of configs, with the unknown ones measured in one process.

        Returns:
            [len(configs)], in order.

        Raises:
            LatencyError: if the process that measures failed.
        """
        keys = [self._key(config) for config in configs]
        unknown = {
            key: config
            for key, config in zip(keys, configs, strict=True)
            if key not in self._figures
        }
        if unknown:
            subjects = [Subject(config) for config in unknown.values()]
            figures = self._measure(subjects, self._task, self._serving)
            for figure in figures:
                self._add(figure)
        return [self._figures[key] for key in keys]

    @property
    def figures(self) -> list[LatencyFigure]:
        """All known figures, those of the rows first."""
        return list(self._figures.values())

    def _add(self, figure: LatencyFigure) -> None:
        self._figures[tuple(getattr(figure, name) for name in _KEY_FIELDS)] = figure

    def _key(self, config: TrialConfig) -> tuple[Any, ...]:
        architecture = architecture_fingerprint(config, self._task)
        return (architecture, *(self._key_of_serving[name] for name in _KEY_FIELDS[1:]))
