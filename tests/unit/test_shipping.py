from types import SimpleNamespace

import pytest
from sample_latency import FakeBench, SilentProgress, make_target

from sweeps.latencies import Latencies
from sweeps.shipping import finalist_limits, measure_finalists, subject_of
from trainables.latency import LatencyError
from trainables.latency.blocks import MAX_TRIES, Limits
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=3)
TRIALS = [
    SimpleNamespace(
        trial_id=f"trial_{width:04d}",
        config=TrialConfig(width=width).to_dict(),
        checkpoint=f"checkpoints/{width}",
    )
    for width in (4, 8)
]


@pytest.mark.parametrize("seconds", [60.0, 4.0])
def test_all_tries_together_keep_to_the_time(seconds):
    limits = finalist_limits(seconds)
    assert limits.time_limit_s * MAX_TRIES == seconds
    assert 0 < limits.min_time_s <= limits.time_limit_s


def ship(tmp_path, is_stopping=lambda: False, bench=None, pruned=()):
    bench = bench or FakeBench()
    target = make_target(tmp_path / "cache")
    latencies = Latencies(TASK, target, bench, samples=None, progress=SilentProgress())
    latencies.measure([TrialConfig(width=4), TrialConfig(width=8)])
    subjects = [subject_of(trial, lambda checkpoint: f"/run/{checkpoint}") for trial in TRIALS]
    subjects += [subjects[index]._replace(pruned_fraction=0.5) for index in pruned]
    failures = measure_finalists(
        subjects, latencies, None, Limits(1.0, 2.0), is_stopping=is_stopping
    )
    return bench, latencies, failures


def test_each_finalist_is_measured_from_its_checkpoint(tmp_path):
    bench, latencies, failures = ship(tmp_path)
    assert failures == {}
    subjects = [subject for request in bench.requests[1:] for subject in request.subjects]
    assert [(s.trial_id, s.checkpoint, s.config.width) for s in subjects] == [
        ("trial_0004", "/run/checkpoints/4", 4),
        ("trial_0008", "/run/checkpoints/8", 8),
    ]
    trial_ids = [row["trial_id"] for row in latencies.rows()]
    assert trial_ids == [None, None, "trial_0004", "trial_0008"]


def test_a_pruned_one_is_measured_beside_its_finalist_and_fails_alone(tmp_path):
    class Breaks(FakeBench):
        def measure(self, request, on_figure):
            if request.subjects[0].pruned_fraction:
                raise LatencyError("hung")
            super().measure(request, on_figure)

    bench, latencies, failures = ship(tmp_path, pruned=[0])
    assert failures == {}
    assert bench.requests[-1].subjects[0].pruned_fraction == 0.5
    assert [row["trial_id"] for row in latencies.rows()][-1] == "trial_0004"
    _, _, failures = ship(tmp_path / "other", bench=Breaks(), pruned=[0])
    assert failures == {"trial_0004 pruned": "hung"}


def test_none_is_begun_once_the_sweep_stops(tmp_path):
    answers = iter([False, True])
    bench, _, failures = ship(tmp_path, lambda: next(answers))
    assert len(bench.requests) == 2
    assert failures == {"trial_0008": "the sweep was interrupted"}


def test_one_whose_measuring_breaks_costs_no_other(tmp_path):
    class Breaks(FakeBench):
        def measure(self, request, on_figure):
            if request.subjects[0].trial_id == "trial_0004":
                raise LatencyError("hung")
            super().measure(request, on_figure)

    _, latencies, failures = ship(tmp_path, bench=Breaks())
    assert failures == {"trial_0004": "hung"}
    assert latencies.rows()[-1]["trial_id"] == "trial_0008"
