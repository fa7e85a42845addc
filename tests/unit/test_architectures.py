import pytest
from sample_data import random_data
from sample_latency import FakeBench, SilentProgress, make_target

from analysis.records import LATENCY_STATUSES, TRIALS_SCHEMA
from sweeps.architectures import Architectures
from sweeps.latencies import Latencies
from trainables.errors import InputError
from trainables.latency.slo import Slo
from trainables.models import architecture_fingerprint, count_parameters, create_model
from trainables.trial_config import TrialConfig

DATA = random_data(30)
SMALL, LARGE = TrialConfig(width=4), TrialConfig(width=8)


@pytest.fixture
def make(tmp_path):
    def make(bench=None, slo=Slo(), **target):  # noqa: B008
        latencies = Latencies(
            DATA.task,
            make_target(tmp_path / "cache", slo=slo, **target),
            bench or FakeBench(),
            samples=None,
            progress=SilentProgress(),
            sleep=lambda seconds: None,
        )
        return Architectures(DATA.task, latencies)

    return make


def test_a_config_is_described_by_its_architecture_alone(make):
    known = make()
    described = known.describe(SMALL.to_dict())
    model = create_model(SMALL, DATA.task)
    assert described.figures["num_parameters"] == count_parameters(model)
    assert described.figures["latency_ms"] == described.figures["latency_p50_ms"] == 0.4
    assert described.figures["flops"] > 1000
    assert described.fingerprint == architecture_fingerprint(SMALL, DATA.task)
    assert known.describe({**SMALL.to_dict(), "momentum": 0.1, "seed": 9}) == described
    assert known.describe(LARGE.to_dict()).fingerprint != described.fingerprint


def test_what_is_told_of_a_latency_are_columns_of_the_trials(make):
    figures = make().describe(SMALL.to_dict()).figures
    assert set(figures) <= set(TRIALS_SCHEMA.names)
    assert (figures["latency_status"], figures["latency_runtime"]) == ("exact", "eager")
    assert figures["serving_usd_per_million"] is None


def test_nothing_ranks_by_an_uncertain_figure(make):
    figures = (
        make(FakeBench(statuses=("uncertain",)), price_usd_per_hour=1.0)
        .describe(SMALL.to_dict())
        .figures
    )
    assert figures["latency_status"] == "uncertain"
    names = [name for name in figures if name.endswith("_ms")]
    assert len(names) == 4
    assert {figures[name] for name in [*names, "serving_usd_per_million"]} == {None}


def test_what_straddles_the_slo_trains_and_is_marked(make):
    known = make(FakeBench(spreads=(0.2,)), Slo(0.7))
    known.measure([SMALL, LARGE])
    assert known.refusal(LARGE) is None
    figures = known.describe(LARGE.to_dict()).figures
    assert (figures["latency_status"], figures["latency_ms"]) == ("undecided", 0.8)
    counts = [known.num_of_status([SMALL, LARGE], status) for status in LATENCY_STATUSES]
    assert counts == [1, 1, 0, 0]


def test_what_misses_the_slo_is_refused(make):
    known = make(slo=Slo(0.5))
    known.measure([SMALL, LARGE])
    assert known.refusal(SMALL) is None
    assert known.refusal(LARGE).reason == (
        "latency_ms must be <= 0.5 ms (the SLO), got 0.8 ms (0.792 to 0.808 ms)"
    )


def test_an_slo_that_nothing_meets_is_refused_with_the_fastest(make):
    for limit_ms in (None, 0.41, 0.4):
        make(slo=Slo(limit_ms, 99)).measure([LARGE, SMALL])
    with pytest.raises(InputError) as caught:
        make(slo=Slo(0.3, 99)).measure([LARGE, SMALL])
    assert str(caught.value) == (
        "--latency-slo-ms must be >= 0.396 ms, the latency_p99_ms of the fastest architecture in "
        "the space (model resnet8, width 4: 0.4 ms (0.396 to 0.404 ms)), got 0.3; raise it or add "
        "smaller --models or --widths"
    )


def test_a_runtime_that_can_run_nothing_is_refused_with_the_reason(make):
    with pytest.raises(InputError) as caught:
        make(FakeBench(cannot=("eager",))).measure([SMALL, LARGE])
    assert str(caught.value) == (
        "--runtime must be one that can run a model of the space, got eager in fp32: operator "
        "aten::x can't be exported (model resnet8, width 4); choose another, name a "
        "--fallback-runtime or leave the model out"
    )


def test_a_million_inferences_cost_the_hours_that_they_take(make):
    figures = make(price_usd_per_hour=3.6).describe(SMALL.to_dict()).figures
    assert figures["serving_usd_per_million"] == pytest.approx(0.4)  # of 0.4 ms each
