"""The simulator against reality: the same small sweep, with actors and without."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from sample_table import NUM_CONFIGS, NUM_EPOCHS, write_table

from analysis.records import Objective
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.searchers.tune_feed import SearcherFeed
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable, read_table
from sweeps.simulate.replay import Setup, replay

pytestmark = pytest.mark.ray

# Workers can not import a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

OBJECTIVES = (Objective("error", "min"), Objective("latency_ms", "min"))


class RealTrial(tune.Trainable):
    """Reports a recorded curve from an actor."""

    def setup(self, config: dict[str, Any], table: RecordedTable | None = None) -> None:
        assert table is not None
        self._table = table
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._curve = self._table.curves[new_config[CONFIG_ID]]
        self._place = 0
        return True

    def step(self) -> dict[str, Any]:
        place = self._place
        self._place += 1
        return {
            "epoch": int(self._curve.epochs[place]),
            "error": float(self._curve.values[place]),
            "done": self._place == len(self._curve.epochs),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "place").write_text(str(self._place))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self._place = int(Path(checkpoint, "place").read_text())


class Log(tune.Callback):
    """Keeps the order of reports and ends."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def on_trial_result(self, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        self.events.append((trial.trial_id, result["epoch"]))


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Any:
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(tmp_path_factory.mktemp("ray")),
    )
    yield
    ray.shutdown()


def adapter(table: RecordedTable, variant: Any) -> TuneAdapter:
    options = HalvingOptions(NUM_EPOCHS, variant=variant)
    scheduler = MoAsha(OBJECTIVES, table.known, options)
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


@pytest.mark.parametrize("variant", ["stopping", "promotion"])
def test_one_worker_takes_the_same_decisions(
    tmp_path: Path, local_ray: Any, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")  # as simulated
    table = read_table(write_table(tmp_path / "table"))
    num_trials = 12
    log = Log()
    tune.run(
        tune.with_resources(
            tune.with_parameters(RealTrial, table=table), tune.PlacementGroupFactory([{"CPU": 1}])
        ),
        storage_path=str(tmp_path / "tune"),
        search_alg=SearcherFeed(
            RandomSearcher(NUM_CONFIGS, 0),
            lambda index: (f"trial_{index:05d}", {CONFIG_ID: index}),
            num_trials,
        ),
        scheduler=adapter(table, variant),
        callbacks=[log],
        reuse_actors=True,
        verbose=0,
    )
    simulated = replay(
        table, adapter(table, variant), RandomSearcher(NUM_CONFIGS, 0), Setup(1, num_trials)
    )
    assert log.events == [(report.trial_id, report.epoch) for report in simulated.reports]
