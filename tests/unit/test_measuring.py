import io

import pytest
from rich.console import Console
from sample_data import random_data
from sample_latency import FakeBench
from sample_sweep import make_plan

from sweeps import measuring
from sweeps.measuring import describe_serving, measure_architectures, say_latencies

DATA = random_data(150)


@pytest.fixture
def measure(monkeypatch, tmp_path):
    def measure(bench, **flags):
        monkeypatch.setattr(measuring, "choose_bench", lambda on_wait: bench)
        flags = {"models": ("resnet8",), "widths": (4, 8), **flags}
        plan = make_plan(latency_cache=str(tmp_path / "cache"), **flags)
        return plan, measure_architectures(plan, DATA, Console(file=io.StringIO()))

    return measure


def test_every_architecture_is_measured_and_it_is_told(measure, tmp_path):
    plan, architectures = measure(FakeBench())
    assert say_latencies(architectures, plan.architectures) == (
        "eager fp32, batch 1, 1 thread on cpu Sample: 2 architectures, 2 measured now; kept in "
        f"{tmp_path / 'cache'}"
    )


def test_what_a_latency_does_not_decide_is_told(measure):
    plan, architectures = measure(FakeBench(spreads=(0.2,)), latency_slo_ms=0.7)
    told = say_latencies(architectures, plan.architectures)
    assert told.endswith("; 1 undecided against the SLO: they train")


@pytest.mark.parametrize(("precision", "has_samples"), [("fp32", False), ("int8", True)])
def test_int8_is_fitted_to_samples(measure, precision, has_samples):
    bench = FakeBench()
    measure(bench, precision=precision)
    assert (bench.requests[0].samples is not None) == has_samples


def test_what_the_run_folder_is_told_of_serving(measure):
    _, architectures = measure(FakeBench(), latency_slo_ms=1.0, latency_percentile=95)
    told = describe_serving(architectures.latencies, DATA)
    assert (told["runtime"], told["slo_ms"], told["percentile"]) == ("eager", 1.0, 95)
    assert (told["measured_on"], told["num_evaluated"]) == ("cpu Sample", len(DATA.val))
