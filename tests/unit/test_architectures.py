import functools

import pytest
from sample_data import random_data

from analysis.records import LATENCY_SCHEMA
from sweeps import architectures
from sweeps.architectures import Architectures
from trainables.errors import InputError
from trainables.latency.cache import LatencyCache
from trainables.latency.figure import LatencyFigure
from trainables.latency.host import device_name, runtime_versions
from trainables.models import (
    architecture_fingerprint,
    count_parameters,
    create_model,
    describe_architecture,
)
from trainables.trial_config import TrialConfig

DATA = random_data(30)
SMALL, LARGE = TrialConfig(width=4), TrialConfig(width=8)


class FakeMeasure:
    """Says that a model takes a tenth of a millisecond per channel of its first stage."""

    def __init__(self):
        self.measured = []

    def __call__(self, subjects, task, serving):
        configs = [subject.config for subject in subjects]
        self.measured += [(config.model, config.width) for config in configs]
        return [
            LatencyFigure(
                architecture=architecture_fingerprint(config, task),
                description=describe_architecture(config, task),
                runtime=serving.runtime, precision=serving.precision,
                batch_size=serving.batch_size, num_threads=serving.num_threads,
                device=device_name(serving.device), versions=runtime_versions(serving.runtime),
                p50_ms=config.width / 10, status="exact", measured_unix_s=0.0, measure_seconds=0.0,
            )
            for config in configs
        ]  # fmt: skip


@pytest.fixture
def measure(monkeypatch):
    measure = FakeMeasure()
    monkeypatch.setattr(
        architectures, "LatencyCache", functools.partial(LatencyCache, measure=measure)
    )
    return measure


def test_each_architecture_is_measured_once(measure):
    known = Architectures(DATA.task)
    known.measure([SMALL, LARGE, TrialConfig(width=4, learning_rate=0.5)])
    for config in (SMALL, LARGE, SMALL):
        known.describe(config.to_dict())
    assert measure.measured == [("resnet8", 4), ("resnet8", 8)]


def test_a_config_is_described_by_its_architecture_alone(measure):
    known = Architectures(DATA.task)
    described = known.describe(SMALL.to_dict())
    model = create_model(SMALL, DATA.task)
    assert described.figures["num_parameters"] == count_parameters(model)
    assert described.figures["latency_p50_ms"] == 0.4
    assert described.figures["flops"] > 1000
    assert described.fingerprint == architecture_fingerprint(SMALL, DATA.task)
    assert known.describe({**SMALL.to_dict(), "momentum": 0.1, "seed": 9}) == described
    assert known.describe(LARGE.to_dict()).fingerprint != described.fingerprint


def test_rows_are_those_of_the_latency_table(measure):
    known = Architectures(DATA.task)
    known.measure([SMALL, LARGE])
    rows = known.rows()
    assert [row["p50_ms"] for row in rows] == [0.4, 0.8]
    assert list(rows[0]) == LATENCY_SCHEMA.names


def test_what_is_slower_than_the_slo_is_refused(measure):
    known = Architectures(DATA.task)
    assert known.refusal(LARGE, None) is None
    assert known.refusal(LARGE, 0.8) is None
    reason = known.refusal(LARGE, 0.5)
    assert reason == "latency_p50_ms must be <= 0.5 ms (the SLO), got 0.8 ms"


def test_an_slo_that_nothing_meets_is_refused_with_the_fastest(measure):
    known = Architectures(DATA.task)
    for slo_ms in (None, 0.4, 0.5):
        known.check_slo([LARGE, SMALL], slo_ms)
    with pytest.raises(InputError) as caught:
        known.check_slo([LARGE, SMALL], 0.3)
    message = str(caught.value)
    assert message.startswith("--latency-slo-ms must be >= 0.4 ms, the p50 of the fastest")
    assert "(model resnet8, width 4), got 0.3; raise it" in message
