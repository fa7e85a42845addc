from dataclasses import replace

import pytest
from sample_data import random_data
from sample_latency import IDENTITY, FakeBench, SilentProgress, make_figure, make_target

from analysis.records import LATENCY_SCHEMA
from sweeps.latencies import REPEATS, Latencies
from trainables.errors import InputError
from trainables.latency import LatencyError
from trainables.latency.blocks import Limits
from trainables.latency.cache import KeptFigure, add_to_cache, read_cache
from trainables.latency.measure import Subject
from trainables.latency.serving import Serving
from trainables.latency.slo import Slo
from trainables.models import architecture_fingerprint
from trainables.trial_config import TrialConfig

TASK = random_data(30).task
SMALL, LARGE = TrialConfig(width=4), TrialConfig(width=8)
BOTH = [SMALL, LARGE]


def make_latencies(tmp_path, bench, sleep=lambda seconds: None, known=(), **target):
    return Latencies(
        TASK,
        make_target(tmp_path / "cache", **target),
        bench,
        samples=None,
        progress=SilentProgress(),
        known=known,
        sleep=sleep,
    )


def test_each_architecture_is_measured_once(tmp_path):
    bench = FakeBench()
    latencies = make_latencies(tmp_path, bench)
    latencies.measure([SMALL, LARGE, replace(SMALL, learning_rate=0.5)])
    assert latencies.figure(replace(LARGE, seed=3)).latency_ms == 0.8
    assert bench.measured == [4, 8]
    assert (latencies.num_measured, latencies.num_architectures) == (2, 2)
    assert latencies.device == IDENTITY.device
    rows = latencies.rows()
    assert [row["latency_ms"] for row in rows] == [0.4, 0.8]
    assert list(rows[0]) == LATENCY_SCHEMA.names


def test_an_architecture_that_was_not_foreseen_is_measured_when_it_is_asked_for(tmp_path):
    bench = FakeBench()
    assert make_latencies(tmp_path, bench).figure(SMALL).latency_ms == 0.4
    assert bench.measured == [4]


def test_another_sweep_measures_nothing_that_is_known(tmp_path):
    make_latencies(tmp_path, FakeBench()).measure(BOTH)
    bench = FakeBench()
    again = make_latencies(tmp_path, bench)
    again.measure(BOTH)
    assert bench.requests == []
    assert [row["latency_ms"] for row in again.rows()] == [0.4, 0.8]


@pytest.mark.parametrize(
    "changed", [{"device": "cpu other"}, {"versions": "torch 1"}, {"num_threads": 2}]
)
def test_what_was_measured_otherwise_is_measured_anew(tmp_path, changed):
    figure = make_figure(7.0, architecture=architecture_fingerprint(SMALL, TASK))
    add_to_cache(tmp_path / "cache", [KeptFigure(replace(figure, **changed), None, 9.0)])
    bench = FakeBench()
    assert make_latencies(tmp_path, bench).figure(SMALL).latency_ms == 0.4
    assert bench.measured == [4]


def test_known_figures_have_the_scale_of_this_host(tmp_path):
    make_latencies(tmp_path, FakeBench(nominal_ms=1.0)).measure([SMALL])
    known = make_latencies(tmp_path, FakeBench(nominal_ms=2.0))
    assert known.figure(SMALL).latency_ms == 0.8
    # A host that has no time of its own yet finds it while it measures.
    bench = FakeBench(nominal_ms=2.0)
    bench.identify = lambda serving: replace(IDENTITY, nominal_ms=None)
    found = make_latencies(tmp_path, bench)
    found.measure(BOTH)
    assert bench.measured == [8]
    assert found.figure(SMALL).latency_ms == 0.8


def test_what_is_uncertain_is_measured_again_later_and_longer(tmp_path):
    slept = []
    bench = FakeBench(statuses=("uncertain", "uncertain", "exact"))
    latencies = make_latencies(tmp_path, bench, slept.append)
    latencies.measure(BOTH)
    assert bench.measured == [4, 8] * 3
    assert [request.limits for request in bench.requests[1:]] == [limits for _, limits in REPEATS]
    assert slept == [pause_s for pause_s, _ in REPEATS]
    assert latencies.figure(SMALL).status == "exact"


def test_what_stays_uncertain_is_given_up_and_not_kept_for_others(tmp_path):
    bench = FakeBench(statuses=("uncertain",))
    latencies = make_latencies(tmp_path, bench)
    latencies.measure([SMALL])
    assert len(bench.measured) == 1 + len(REPEATS)
    latencies.measure([SMALL])
    assert len(bench.measured) == 1 + len(REPEATS)
    assert latencies.figure(SMALL).status == "uncertain"
    assert read_cache(tmp_path / "cache") == []


def test_a_sweep_that_goes_on_keeps_what_it_went_by(tmp_path):
    uncertain = make_figure(
        7.0, architecture=architecture_fingerprint(SMALL, TASK), status="uncertain"
    )
    trained = replace(uncertain, trial_id="trial_0000", latency_ms=9.0)
    bench = FakeBench(nominal_ms=2.0)
    latencies = make_latencies(tmp_path, bench, known=[uncertain, trained])
    latencies.measure(BOTH)
    assert latencies.figure(SMALL) == uncertain
    assert bench.measured == [8]  # of the others it knows nothing


def test_only_what_straddles_the_slo_is_measured_again(tmp_path):
    bench = FakeBench(spreads=(0.2, 0.01))
    latencies = make_latencies(tmp_path, bench, slo=Slo(0.7))
    latencies.measure(BOTH)
    assert bench.measured == [4, 8, 8]
    assert latencies.target.slo.judge(latencies.figure(LARGE)) == "misses"


def test_what_more_time_does_not_decide_is_not_tried_for_ever(tmp_path):
    for num_measured in (1 + len(REPEATS), 0):
        bench = FakeBench(spreads=(0.2,))
        make_latencies(tmp_path, bench, slo=Slo(0.7)).measure([LARGE])
        assert len(bench.measured) == num_measured


def test_a_figure_that_was_exact_is_not_lost_to_a_noisy_repeat(tmp_path):
    bench = FakeBench(spreads=(0.2,), statuses=("exact", "uncertain"))
    latencies = make_latencies(tmp_path, bench, slo=Slo(0.7))
    assert latencies.figure(LARGE).status == "exact"
    assert len(read_cache(tmp_path / "cache")) == 1


def test_a_noisy_repeat_does_not_change_the_scale(tmp_path):
    make_latencies(tmp_path, FakeBench(nominal_ms=1.0, spreads=(0.2,))).measure([LARGE])
    add_to_cache(tmp_path / "cache", [replace(read_cache(tmp_path / "cache")[0], min_time_s=0.5)])
    bench = FakeBench(statuses=("uncertain",), nominal_ms=9.0)
    bench.identify = lambda serving: replace(IDENTITY, nominal_ms=2.0)
    latencies = make_latencies(tmp_path, bench, slo=Slo(1.5))
    latencies.measure([LARGE])
    assert bench.measured == [8] * len(REPEATS)
    assert (latencies.figure(LARGE).status, latencies.figure(LARGE).latency_ms) == ("exact", 1.6)


def test_what_cannot_run_goes_on_in_the_fallback_if_there_is_one(tmp_path):
    serving = Serving(runtime="openvino")
    bench = FakeBench(cannot=("openvino",))
    alone = make_latencies(tmp_path, bench, serving=serving)
    assert alone.figure(SMALL).status == "failed"
    assert bench.measured == [4]  # once: nothing about it is uncertain
    fallback = make_latencies(tmp_path, bench, serving=serving, fallback=Serving())
    assert fallback.figure(SMALL).runtime == "eager"
    assert [(row["runtime"], row["status"]) for row in fallback.rows()] == [
        ("openvino", "failed"),
        ("eager", "exact"),
    ]
    assert fallback.num_architectures == 1


def test_what_runs_as_asked_for_is_not_measured_in_the_fallback(tmp_path):
    bench = FakeBench()
    make_latencies(tmp_path, bench, fallback=Serving(runtime="compiled")).measure(BOTH)
    assert [request.serving.runtime for request in bench.requests] == ["eager"]


def test_what_was_measured_before_measuring_broke_is_kept(tmp_path):
    class Breaks(FakeBench):
        def measure(self, request, on_figure):
            super().measure(replace(request, subjects=request.subjects[:1]), on_figure)
            raise LatencyError("hung")

    with pytest.raises(LatencyError):
        make_latencies(tmp_path, Breaks()).measure(BOTH)
    assert len(read_cache(tmp_path / "cache")) == 1


def test_trained_weights_are_measured_as_their_architecture_was(tmp_path):
    bench = FakeBench(cannot=("openvino",))
    latencies = make_latencies(
        tmp_path, bench, serving=Serving(runtime="openvino"), fallback=Serving()
    )
    latencies.measure([SMALL])
    subject = Subject(SMALL, "checkpoints/x", "trial_0001")
    latencies.measure_trained(subject, None, Limits(3.0, 4.0))
    request = bench.requests[-1]
    assert request.subjects == [subject]
    assert (request.serving.runtime, request.limits) == ("eager", Limits(3.0, 4.0))
    assert latencies.rows()[-1]["trial_id"] == "trial_0001"
    assert latencies.figure(SMALL).trial_id is None
    assert {kept.figure.trial_id for kept in read_cache(tmp_path / "cache")} == {None}


def test_figures_of_another_machine_come_from_the_cache_alone(tmp_path):
    figure = make_figure(
        9.0, architecture=architecture_fingerprint(SMALL, TASK), device="cpu ARM", versions="other"
    )
    newer = replace(figure, p50_ms=3.0, measured_unix_s=1.0, versions="newer")
    kept = [KeptFigure(newer, "pi5"), KeptFigure(figure, "pi5")]
    add_to_cache(tmp_path / "cache", kept)
    latencies = make_latencies(tmp_path, None, machine="pi5")
    assert latencies.figure(SMALL) == newer
    assert latencies.device == "pi5 (cpu ARM)"
    with pytest.raises(InputError) as caught:
        latencies.measure(BOTH)
    assert str(caught.value) == (
        "--latency-device must be a machine with figures of every architecture, got 'pi5' without "
        "1 of 2 in eager fp32, batch 1, 1 thread (such as model resnet8, width 8); run this "
        "command there with --trials 1 --latency-device cpu --latency-cache FILE, then here: "
        "python -m trainables.latency import FILE pi5"
    )


def test_a_machine_without_figures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\(none was\), got 'pi5'; run this command there"):
        make_latencies(tmp_path, None, machine="pi5")
    add_to_cache(tmp_path / "cache", [KeptFigure(make_figure(), "nano")])
    with pytest.raises(InputError, match=r"imported \(nano\), got 'pi5'"):
        make_latencies(tmp_path, None, machine="pi5")
