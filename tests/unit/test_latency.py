import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.records import LATENCY_SCHEMA
from trainables.errors import InputError
from trainables.latency.cache import LatencyCache
from trainables.latency.figure import (
    LatencyFigure,
    host_device,
    median_interval,
    quantile,
    torch_version,
)
from trainables.latency.measure import measure_all
from trainables.latency.worker import sample_latencies_ms
from trainables.models import architecture_fingerprint, describe_architecture
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
SMALL = TrialConfig(width=4)


def test_a_figure_is_a_row_of_the_latency_table():
    assert list(LatencyFigure.__dataclass_fields__) == LATENCY_SCHEMA.names


def test_fresh_process_measures_each_architecture():
    configs = [SMALL, TrialConfig(width=4, model="resnet20")]
    small, large = measure_all(configs, TASK, min_samples=30, time_limit_s=0.1)
    for figure, config in ((small, configs[0]), (large, configs[1])):
        assert figure.architecture == architecture_fingerprint(config, TASK)
        assert json.loads(figure.description)["model"] == config.model
        assert 0 < figure.p50_low_ms <= figure.p50_ms <= figure.p50_high_ms
        assert figure.p95_ms is not None
        assert figure.p50_ms <= figure.p95_ms
        assert figure.num_samples >= 30
        assert (figure.device, figure.torch_version) == (host_device(), torch_version())
    assert small.p50_ms < large.p50_ms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "abacus"}, "runtime must be one of eager, got 'abacus'"),
        ({"num_threads": 0}, "num_threads must be > 0, got 0"),
        ({"time_limit_s": -1.0}, "time_limit_s must be > 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        measure_all([SMALL], TASK, **options)


def sample(call_s, *, min_samples, time_limit_s):
    """Time a call of a known length by a clock that only the call moves."""
    now_s = [0.0]

    def call():
        now_s[0] += call_s

    return sample_latencies_ms(
        call, min_samples=min_samples, time_limit_s=time_limit_s, clock_s=lambda: now_s[0]
    )


def test_a_slow_call_is_timed_as_often_as_asked():
    samples_ms = sample(10.0, min_samples=3, time_limit_s=1.0)
    assert samples_ms == pytest.approx([10_000.0] * 3)


def test_a_quick_call_is_timed_until_the_limit():
    samples_ms = sample(0.01, min_samples=3, time_limit_s=1.0)
    assert len(samples_ms) == pytest.approx(100, abs=2)
    assert samples_ms == pytest.approx([10.0] * len(samples_ms))


def test_quantiles_are_nearest_ranks():
    ordered = [float(value) for value in range(1, 101)]
    assert [quantile(ordered, fraction) for fraction in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([3.0], 0.5) == 3.0


@pytest.mark.parametrize(
    ("num_samples", "rank"),
    # The rank of the lower end, from tables of the sign test at 5 %.
    [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (20, 6), (25, 8), (50, 18), (100, 40)],
)
def test_median_interval_has_the_ranks_of_the_sign_test(num_samples, rank):
    ordered = [float(value) for value in range(1, num_samples + 1)]
    assert median_interval(ordered) == (rank, num_samples + 1 - rank)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300).map(sorted))
def test_median_lies_in_its_interval(ordered):
    low_ms, high_ms = median_interval(ordered)
    assert low_ms <= quantile(ordered, 0.5) <= high_ms


class Meter:
    """Stands in for the process that measures; counts what it was asked for."""

    def __init__(self):
        self.measured = []

    def __call__(self, configs, task, *, runtime, batch_size, num_threads):
        self.measured += configs
        return [
            LatencyFigure(
                architecture=architecture_fingerprint(config, task),
                description=describe_architecture(config, task),
                runtime=runtime,
                precision="fp32",
                batch_size=batch_size,
                num_threads=num_threads,
                device=host_device(),
                p50_ms=float(config.width),
                p95_ms=None,
                p99_ms=None,
                p50_low_ms=0.0,
                p50_high_ms=1.0,
                num_samples=5,
                torch_version=torch_version(),
                measured_unix_s=0.0,
            )
            for config in configs
        ]


def test_each_architecture_is_measured_once():
    meter = Meter()
    cache = LatencyCache(TASK, measure=meter)
    wide = TrialConfig(width=8)
    figures = cache.get_all([SMALL, wide, replace(SMALL, learning_rate=0.5)])
    assert [figure.p50_ms for figure in figures] == [4.0, 8.0, 4.0]
    assert cache.get(replace(wide, seed=3)).p50_ms == 8.0
    assert [config.width for config in meter.measured] == [4, 8]
    assert cache.figures == figures[:2]


def test_rows_are_reused_only_where_they_hold():
    first = LatencyCache(TASK, measure=Meter())
    row = asdict(first.get(SMALL))
    meter = Meter()
    LatencyCache(TASK, rows=[row], measure=meter).get(SMALL)
    assert meter.measured == []
    for changed in ({"device": "cpu other"}, {"torch_version": "1.0"}, {"num_threads": 2}):
        meter = Meter()
        LatencyCache(TASK, rows=[{**row, **changed}], measure=meter).get(SMALL)
        assert meter.measured == [SMALL]
