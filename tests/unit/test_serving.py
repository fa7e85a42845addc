from pathlib import Path

import pytest
from sample_latency import FakeBench, make_target

from sweeps.serving import identify, serving_words, target_of
from sweeps.spec import SweepSpec
from trainables.errors import InputError
from trainables.latency.cache import default_cache_path
from trainables.latency.serving import Serving, check_serving
from trainables.latency.slo import Slo


def test_the_flags_say_how_models_are_served():
    spec = SweepSpec(
        runtime="openvino", precision="int8", fallback_runtime="eager", latency_slo_ms=5.0,
        latency_percentile=99, latency_batch_size=8, latency_cache="figures", latency_device="cuda",
        serving_price_usd_per_hour=0.5,
    )  # fmt: skip
    target = target_of(spec)
    assert target.serving == Serving(
        runtime="openvino", precision="int8", batch_size=8, num_threads=1, device="cuda"
    )
    assert target.fallback.runtime == "eager"
    assert target.servings == (target.serving, target.fallback)
    assert (target.slo, target.machine, target.cache_path) == (Slo(5.0, 99), None, Path("figures"))
    assert serving_words(target.serving) == "openvino int8, batch 8, 1 thread"
    assert target.to_dict() == {
        "runtime": "openvino", "precision": "int8", "batch_size": 8, "num_threads": 1,
        "device": "cuda", "fallback_runtime": "eager", "machine": None, "slo_ms": 5.0,
        "percentile": 99, "price_usd_per_hour": 0.5,
    }  # fmt: skip


def test_without_flags_it_is_eager_on_the_cpu():
    target = target_of(SweepSpec())
    assert target.servings == (Serving(),)
    assert (target.slo, target.cache_path) == (Slo(), default_cache_path())


def test_another_machine_is_a_name():
    target = target_of(SweepSpec(latency_device="pi5"))
    assert (target.machine, target.serving.device) == ("pi5", "cpu")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"fallback_runtime": "eager"}, "--fallback-runtime must be another than --runtime"),
        ({"latency_percentile": 99, "latency_threads": 2}, "more than one thread, got 99 with 2"),
    ],
)
def test_flags_that_contradict_one_another_are_refused(flags, said):
    with pytest.raises(InputError, match=said):
        target_of(SweepSpec(**flags))


class StrictBench(FakeBench):
    def identify(self, serving):
        check_serving(serving)
        return super().identify(serving)


@pytest.mark.parametrize(
    ("serving", "fallback", "said"),
    [
        (Serving(runtime="abacus"), None, "--runtime must be one of eager"),
        (Serving(), Serving(runtime="abacus"), "--fallback-runtime must be one of eager"),
        (Serving(num_threads=999), None, "--latency-threads must be <= "),
        (Serving(device="abacus"), None, "--latency-device of eager must be one of cpu"),
        (Serving(precision="fp7"), None, "--precision of eager must be one of fp32"),
    ],
)
def test_what_the_bench_cannot_serve_is_refused_by_the_name_of_the_flag(serving, fallback, said):
    target = make_target(Path("unused"), serving=serving, fallback=fallback)
    with pytest.raises(InputError) as caught:
        identify(target, StrictBench())
    assert str(caught.value).startswith(said)


def test_a_wrong_precision_says_how_trainings_is_set():
    target = make_target(Path("unused"), serving=Serving(precision="fp7"))
    with pytest.raises(InputError, match="--fix precision=bf16 sets training's"):
        identify(target, StrictBench())
