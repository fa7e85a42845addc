import pytest
from sample_latency import make_figure

from sweeps.slo import refusal_of
from trainables.latency.slo import Slo


@pytest.mark.parametrize(
    ("limit_ms", "verdict"),
    [(None, "meets"), (1.2, "meets"), (1.1, "meets"), (1.0, "undecided"), (0.9, "undecided"),
     (0.8, "misses")],
)  # fmt: skip
def test_the_interval_decides(limit_ms, verdict):
    assert Slo(limit_ms).judge(make_figure(1.0, spread=0.1)) == verdict


def test_the_percentile_says_which_figure_is_held_against_the_limit():
    figure = make_figure(1.0, spread=0.0, p99_ms=3.0, p99_low_ms=2.9, p99_high_ms=3.1)
    assert Slo(2.0).judge(figure) == Slo(2.0, 95).judge(figure) == "meets"
    assert Slo(2.0, 99).judge(figure) == "misses"
    assert Slo(2.0, 99).column == "latency_p99_ms"


def test_what_was_not_measured_or_is_uncertain_decides_nothing():
    no_tail = make_figure(p99_ms=None, p99_low_ms=None, p99_high_ms=None)
    assert Slo(0.1, 99).judge(no_tail) == "undecided"
    assert Slo(0.1).judge(make_figure(status="uncertain")) == "undecided"
    assert refusal_of(make_figure(status="uncertain"), Slo(0.1)) is None


def test_a_refusal_says_the_figure_and_its_interval():
    refusal = refusal_of(make_figure(1.0, spread=0.1), Slo(0.5, 95))
    assert refusal.reason == (
        "latency_p95_ms must be <= 0.5 ms (the SLO), got 1 ms (0.9 to 1.1 ms)"
    )
    assert refusal.figure.latency_ms == 1.0
    assert refusal_of(make_figure(1.0), Slo(2.0)) is None
    assert refusal_of(make_figure(1.0), Slo()) is None


def test_what_cannot_run_is_refused_with_operator_and_runtime():
    figure = make_figure(None, status="failed", reason="operator x can't be exported")
    expected = "model must run in eager in fp32, got: operator x can't be exported"
    assert refusal_of(figure, Slo()).reason == expected
