import pytest
from sample_sweep import make_result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweeps.trackers.tensorboard import TensorBoardTracker
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig().to_dict()


@pytest.fixture
def tracker(tmp_path):
    return TensorBoardTracker(tmp_path, ("val_accuracy", "latency_p50_ms"))


def scalars(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_each_trial_has_its_curves_in_one_file(tracker, tmp_path):
    for epoch in (1, 2):
        for name in "ab":
            tracker.report(name, make_result(epoch, cost_usd=None))
    tracker.close()
    for name in "ab":
        assert len(list((tmp_path / name).iterdir())) == 1
        found = scalars(tmp_path / name)
        assert found["val_accuracy"] == [(1, 0.5), (2, 0.75)]
        assert found["gang_seconds"] == [(1, 10.0), (2, 20.0)]
        assert "cost_usd" not in found


def test_a_finished_trial_has_its_objectives(tracker, tmp_path):
    tracker.report("a", make_result(2))
    tracker.finish("a", CONFIG, make_result(2) | {"latency_p50_ms": 1.5})
    tracker.close()
    found = scalars(tmp_path / "a")
    assert found["objective/val_accuracy"] == [(2, 0.75)]
    assert found["objective/latency_p50_ms"] == [(2, 1.5)]
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_a_trial_without_figures_has_no_file(tracker, tmp_path):
    tracker.finish("a", CONFIG, {"epoch": 0, "val_accuracy": None, "latency_p50_ms": None})
    tracker.close()
    assert list(tmp_path.iterdir()) == []
