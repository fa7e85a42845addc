import json
import subprocess
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.records import LATENCY_SCHEMA
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError, RuntimeEntry, measure
from trainables.latency.blocks import Limits
from trainables.latency.cache import LatencyCache
from trainables.latency.figure import (
    LatencyFigure,
    host_device,
    median_interval,
    quantile,
    torch_version,
)
from trainables.latency.measure import Measurement, calibrate_all, measure_all
from trainables.latency.nominal import keep_nominal_ms, read_nominal_ms
from trainables.models import architecture_fingerprint, describe_architecture
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
SMALL = TrialConfig(width=4)


def test_a_figure_is_a_row_of_the_latency_table():
    assert list(LatencyFigure.__dataclass_fields__) == LATENCY_SCHEMA.names


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_fresh_process_measures_each_architecture(cache_folder):
    keep_nominal_ms(1, 2.0)
    configs = [SMALL, TrialConfig(width=4, model="resnet20")]
    limits = Limits(min_time_s=0.1, time_limit_s=0.3)
    measured = calibrate_all(configs, TASK, limits=limits)
    for (figure, calibration), config in zip(measured, configs, strict=True):
        assert figure.architecture == architecture_fingerprint(config, TASK)
        assert json.loads(figure.description)["model"] == config.model
        assert 0 < figure.p50_low_ms <= figure.p50_ms <= figure.p50_high_ms
        assert (figure.p95_ms is None) == (calibration.tail_reason is not None)
        assert figure.num_samples >= 5
        assert (figure.device, figure.torch_version) == (host_device(), torch_version())
        assert 0 < calibration.min_ms <= figure.p50_ms
        assert calibration.calibrated_ms == pytest.approx(
            2.0 * calibration.min_ms / calibration.reference_min_ms
        )
    small, large = (calibration for _, calibration in measured)
    assert small.calibrated_ms < large.calibrated_ms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "abacus"}, "runtime must be one of eager, .*, got 'abacus'"),
        ({"num_threads": 0}, "num_threads must be > 0, got 0"),
        ({"num_threads": 10_000}, "num_threads must be <= .* CPUs .*, got 10000; lower it"),
        ({"limits": Limits(time_limit_s=-1.0)}, "time_limit_s must be > 0"),
        ({"limits": Limits(3.0, 2.0)}, r"time_limit_s must be >= min_time_s \(3 s\), got 2"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        calibrate_all([SMALL], TASK, **options)


def test_a_runtime_that_is_not_installed_is_refused_with_the_line_that_installs_it(monkeypatch):
    entry = RuntimeEntry("no_such_module:Abacus", "fp32", "wood", ("json", "no_such_module"))
    monkeypatch.setitem(RUNTIMES, "abacus", entry)
    with pytest.raises(InputError) as caught:
        calibrate_all([SMALL], TASK, runtime="abacus")
    assert str(caught.value) == (
        "runtime must be one that is installed, got 'abacus' without no_such_module; "
        "run: pip install 'paretune[wood]'"
    )


def reply(text):
    """Return a stand-in for subprocess.run: a process that prints a text."""
    return lambda command, **options: subprocess.CompletedProcess(command, 0, stdout=text)


@pytest.mark.parametrize("kind", [InputError, LatencyError])
def test_an_error_of_the_process_that_measures_is_raised_here(kind, cache_folder, monkeypatch):
    keep_nominal_ms(1, 2.0)
    text = json.dumps({"error": kind.__name__, "message": "operator x can't be exported"})
    monkeypatch.setattr(subprocess, "run", reply(text))
    with pytest.raises(kind, match="operator x can't"):
        calibrate_all([SMALL], TASK)


def test_the_nominal_time_is_measured_once_and_kept_if_it_was_stable(cache_folder, monkeypatch):
    requests = []

    def run(command, **options):
        request = json.loads(options["input"])
        requests.append(request)
        found = {"measured": []} if "configs" in request else nominal
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(found))

    monkeypatch.setattr(subprocess, "run", run)
    for is_stable, num_requests in ((False, 2), (True, 2), (True, 1)):
        requests.clear()
        nominal = {"reference_ms": 2.0, "is_stable": is_stable}
        calibrate_all([SMALL], TASK)
        assert len(requests) == num_requests
        assert requests[-1]["nominal"] == nominal
        assert read_nominal_ms(1) == (2.0 if is_stable else None)


def test_an_unstable_figure_is_never_silent(monkeypatch, caplog):
    figure = Meter()([SMALL], TASK, runtime="eager", batch_size=1, num_threads=1)[0]
    for is_stable in (True, False):
        calibration = SimpleNamespace(is_stable=is_stable, num_tries=4)
        measured = [Measurement(figure, calibration)]
        monkeypatch.setattr(measure, "calibrate_all", lambda *_, m=measured, **__: m)
        assert measure_all([SMALL], TASK) == [figure]
        assert ("unstable after 4 tries" in caplog.text) != is_stable


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


def test_median_interval_of_many_samples_goes_on_where_the_exact_one_ends():
    (exact, _), (approximate, _) = (
        median_interval([float(value) for value in range(number)]) for number in (2000, 2001)
    )
    assert approximate == pytest.approx(exact, abs=2)


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
