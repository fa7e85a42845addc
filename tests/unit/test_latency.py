import json
import subprocess

import pytest

from analysis.records import LATENCY_SCHEMA
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError, RuntimeEntry
from trainables.latency.blocks import Limits
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.latency.measure import Subject, measure_all
from trainables.latency.nominal import keep_nominal_ms, read_nominal_ms
from trainables.latency.serving import Serving, check_serving
from trainables.models import architecture_fingerprint
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
    told = []
    figures = measure_all(
        [Subject(config) for config in configs],
        TASK,
        Serving(),
        limits=Limits(min_time_s=0.1, time_limit_s=0.3),
        on_figure=told.append,
    )
    assert told == figures
    for figure, config in zip(figures, configs, strict=True):
        assert figure.architecture == architecture_fingerprint(config, TASK)
        assert json.loads(figure.description)["model"] == config.model
        assert 0 < figure.p50_low_ms <= figure.p50_ms <= figure.p50_high_ms
        assert (figure.p95_ms is None) == (figure.tail_reason is not None)
        assert figure.num_samples >= 5
        assert (figure.device, figure.versions) == (device_name(), runtime_versions("eager"))
        assert 0 < figure.min_ms <= figure.p50_ms
        assert figure.latency_ms == pytest.approx(2.0 * figure.min_ms / figure.reference_min_ms)
        assert (figure.status == "exact") == (figure.reason is None)
    small, large = figures
    assert small.latency_ms < large.latency_ms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "abacus"}, "runtime must be one of eager, .*, got 'abacus'"),
        ({"precision": "int1"}, "precision of eager must be one of fp32.*, got 'int1'"),
        ({"device": "tpu"}, "device of eager must be one of cpu.*, got 'tpu'"),
        ({"batch_size": 0}, "batch_size must be > 0, got 0"),
        ({"num_threads": 0}, "num_threads must be > 0, got 0"),
        ({"num_threads": 10_000}, "num_threads must be <= .* CPUs .*, got 10000; lower it"),
    ],
)
def test_what_this_host_cannot_serve_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        check_serving(Serving(**options))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(time_limit_s=-1.0), "time_limit_s must be > 0"),
        (Limits(3.0, 2.0), r"time_limit_s must be >= min_time_s \(3 s\), got 2"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        measure_all([Subject(SMALL)], TASK, Serving(), limits=limits)


def test_a_runtime_that_is_not_installed_is_refused_with_the_line_that_installs_it(monkeypatch):
    entry = RuntimeEntry("no_such_module:Abacus", extra="wood", modules=("json", "no_such_module"))
    monkeypatch.setitem(RUNTIMES, "abacus", entry)
    with pytest.raises(InputError) as caught:
        check_serving(Serving(runtime="abacus"))
    assert str(caught.value) == (
        "runtime must be one that is installed, got 'abacus' without no_such_module; "
        "run: pip install 'paretune[wood]'"
    )


def test_the_nominal_time_is_measured_once_and_kept_if_it_was_stable(cache_folder, monkeypatch):
    requests = []

    def run(command, **options):
        request = json.loads(options["input"])
        requests.append(request)
        found = {"figures": []} if "subjects" in request else nominal
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(found))

    monkeypatch.setattr(subprocess, "run", run)
    for is_stable, num_requests in ((False, 2), (True, 2), (True, 1)):
        requests.clear()
        nominal = {"reference_ms": 2.0, "is_stable": is_stable}
        measure_all([Subject(SMALL)], TASK, Serving())
        assert len(requests) == num_requests
        assert requests[-1]["nominal"] == nominal
        assert read_nominal_ms(1) == (2.0 if is_stable else None)


def test_a_process_that_breaks_is_an_error(cache_folder, monkeypatch):
    keep_nominal_ms(1, 2.0)

    def run(command, **options):
        raise subprocess.CalledProcessError(1, command, stderr="first\nout of memory\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(LatencyError, match="measuring latencies failed: out of memory"):
        measure_all([Subject(SMALL)], TASK, Serving())
