import io
import json
import subprocess

import numpy as np
import pytest
from sample_data import random_data

from analysis.records import LATENCY_SCHEMA
from trainables.errors import InputError
from trainables.latency import RUNTIMES, Extra, LatencyError, RuntimeEntry
from trainables.latency.blocks import Limits
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.latency.measure import Samples, Subject, measure_all
from trainables.latency.nominal import read_nominal
from trainables.latency.serving import Serving, check_serving
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=3)
SMALL = TrialConfig(model="small_cnn", width=4)
SHORT = Limits(min_time_s=0.1, time_limit_s=0.3)


def test_a_figure_is_a_row_of_the_latency_table():
    assert list(LatencyFigure.__dataclass_fields__) == LATENCY_SCHEMA.names


def test_fresh_processes_measure_each_model_and_one_that_cannot_run_stops_no_other():
    data = random_data()
    placed = data.val.inputs.astype(np.float32) / 255
    samples = Samples(placed, placed, data.val.labels)
    configs = [SMALL, TrialConfig(model="vit", width=8, heads=2, patch_px=3), SMALL]
    told = []
    figures = measure_all(
        [Subject(config) for config in configs],
        TASK,
        Serving(batch_size=2),
        samples=samples,
        limits=SHORT,
        on_figure=told.append,
    )
    assert told == figures
    small, failed, again = figures
    assert failed.status == "failed"
    assert "patch_px" in failed.reason
    assert failed.latency_ms is None
    assert small.architecture == again.architecture == architecture_fingerprint(SMALL, TASK)
    assert json.loads(small.description)["model"] == "small_cnn"
    assert (small.device, small.versions) == (device_name(), runtime_versions("eager"))
    assert 0 < small.p50_low_ms <= small.p50_ms <= small.p50_high_ms
    assert 0 < small.latency_low_ms <= small.latency_ms <= small.latency_high_ms
    assert (small.p95_ms is None) == (small.tail_reason is not None)
    assert small.num_samples >= 5
    assert 0 < small.min_ms <= small.p50_ms
    nominal_ms = read_nominal(1).mean_ms
    assert small.latency_ms == pytest.approx(nominal_ms * small.reference_ratio)
    assert (small.status == "exact") == (small.reason is None)
    assert small.throughput_per_s == pytest.approx(2000 / small.latency_ms)
    assert small.max_difference < 1e-4
    assert small.agreement_fraction == 1.0
    # The same weights and the same samples, whichever process computes.
    assert small.accuracy == small.fp32_accuracy == again.accuracy
    assert small.cold_start_ms > 0
    assert small.artefact_bytes > 4 * small.num_parameters > 0


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


def test_a_processor_without_bf16_refuses_it(monkeypatch):
    monkeypatch.setattr("trainables.latency.serving.cpu_has_bf16", lambda: False)
    with pytest.raises(InputError, match=r"got bf16 on .*, which has neither AVX512-BF16 nor AMX"):
        check_serving(Serving(precision="bf16"))


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


@pytest.mark.parametrize(
    ("precision", "missing", "extra"),
    [("fp32", "no_such_module", "wood"), ("int8", "no_such_module, no_beads", "wood")],
)
def test_a_runtime_that_is_not_installed_is_refused_with_the_line_that_installs_it(
    monkeypatch, precision, missing, extra
):
    entry = RuntimeEntry(
        "no_such_module:Abacus",
        {"cpu": ("fp32", "int8")},
        Extra("wood", ("json", *missing.split(", "))),
        Extra("beads", ("no_beads",)),
    )
    monkeypatch.setitem(RUNTIMES, "abacus", entry)
    with pytest.raises(InputError) as caught:
        check_serving(Serving(runtime="abacus", precision=precision))
    assert str(caught.value) == (
        f"runtime must be one that is installed, got 'abacus' without {missing}; "
        f"run: pip install 'paretune[{extra}]'"
    )


class FakeServer:
    """Stands in for the process that measures: its log, its replies, its exit code."""

    def __init__(self, log="", replies="", exit_code=0):
        self.stdin, self.stdout = io.StringIO(), io.StringIO(replies)
        self._log, self._exit_code = log, exit_code

    def __call__(self, command, *, stderr, **_):
        stderr.write(self._log)
        return self

    def wait(self):
        return self._exit_code

    def kill(self):
        pass


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (FakeServer("first\nout of memory\n", exit_code=1), "failed: out of memory"),
        (FakeServer(exit_code=-9), "failed: exit status -9"),
    ],
)
def test_a_process_that_breaks_is_an_error(monkeypatch, server, message):
    monkeypatch.setattr(subprocess, "Popen", server)
    with pytest.raises(LatencyError, match=f"measuring latencies {message}"):
        measure_all([Subject(SMALL)], TASK, Serving())
