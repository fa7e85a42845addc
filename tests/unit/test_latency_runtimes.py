import importlib.util
import os
import time

import numpy as np
import pytest
import torch
from torch import nn

from trainables.compiling import check_compiler
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError, compiled
from trainables.latency.compiled import CompiledRuntime
from trainables.latency.isolated import call_isolated
from trainables.latency.outputs import Comparison, compare, fp32_fault
from trainables.latency.protocol import Recipe, open_runtime, prepare
from trainables.latency.reference import reference_calls
from trainables.latency.serving import Serving, check_serving
from trainables.models import create_model
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

IMAGES = Task(kind="image", input_shape=(3, 8, 8), num_classes=4)
TEXTS = Task(kind="text", input_shape=(12,), num_classes=4, vocab_size=50)
RESNET = TrialConfig(model="resnet8", width=4)
TRANSFORMER = TrialConfig(model="text_transformer", width=8, depth=1, heads=2)
ON_CPU = [
    (runtime, precision)
    for runtime, entry in RUNTIMES.items()
    for precision in entry.precisions.get("cpu", ())
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def need(runtime, precision="fp32"):
    try:
        check_serving(Serving(runtime=runtime, precision=precision))
        if runtime in ("compiled", "aot_inductor"):
            check_compiler(torch.device("cpu"))
    except InputError as error:
        pytest.skip(str(error))


def recipe_of(task, precision="fp32", batch_size=3):
    return Recipe(precision, example_inputs(task, batch_size), example_inputs(task, 32))


@pytest.mark.parametrize(("config", "task"), [(RESNET, IMAGES), (TRANSFORMER, TEXTS)])
@pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "openvino"])
def test_a_runtime_computes_what_eager_does(runtime, config, task):
    need(runtime)
    model, recipe = create_model(config, task).eval(), recipe_of(task)
    other = example_inputs(task, 3)
    with torch.inference_mode():
        expected, of_other = model(recipe.example), model(other)
    runner = prepare(open_runtime(runtime), model, recipe)
    found = np.array(np.asarray(runner(recipe.example)))
    np.testing.assert_allclose(np.asarray(runner(other)), of_other, atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("runtime", "precision"), ON_CPU)
def test_every_precision_runs_and_stays_near_fp32(runtime, precision):
    need(runtime, precision)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    recipe = recipe_of(IMAGES, precision)
    with torch.inference_mode():
        expected = model.eval()(recipe.example).numpy()
    runner = prepare(open_runtime(runtime), model, recipe)
    found = compare(np.asarray(runner(recipe.example)), expected)
    assert found.max_difference < {"fp32": 1e-4, "bf16": 0.03, "int8": 0.1}[precision]
    # What claims another arithmetic must not compute in fp32 in silence.
    assert (found.max_difference > 1e-4) == (precision != "fp32")


def test_calibration_comes_in_batches_of_the_static_shape():
    example, samples = torch.zeros(4, 2), torch.arange(20.0).view(10, 2)
    batches = Recipe("int8", example, samples).calibration_batches()
    assert torch.equal(torch.cat(batches), samples[:8])
    (batch,) = Recipe("int8", example, samples[:3]).calibration_batches()
    assert torch.equal(batch, samples[[0, 1, 2, 0]])


def test_compiled_refuses_a_machine_without_a_compiler(monkeypatch):
    def refuse(device):
        raise InputError("no compiler")

    monkeypatch.setattr(compiled, "check_compiler", refuse)
    with pytest.raises(InputError, match=r"got 'compiled'; choose another, or mend .* no compiler"):
        prepare(CompiledRuntime(), nn.Flatten(), recipe_of(IMAGES))


@torch.library.custom_op("paretune_test::twice", mutates_args=())
def twice(inputs: torch.Tensor) -> torch.Tensor:
    return inputs * 2


@twice.register_fake
def _(inputs):
    return torch.empty_like(inputs)


class Twice(nn.Module):
    def forward(self, inputs):
        return twice(inputs)


class Fork(nn.Module):
    def forward(self, inputs):
        return inputs if inputs.sum().item() > 0 else -inputs


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Twice(), "Twice has no ONNX form: operator paretune_test.twice can't be exported"),
        (Fork(), "Fork has no ONNX form: Could not guard on data-dependent expression"),
    ],
)
def test_what_cannot_be_exported_is_named(model, message):
    need("onnxruntime")
    from trainables.latency.onnx_export import export_onnx

    with pytest.raises(LatencyError, match=message):
        export_onnx(model, torch.ones(1, 3))


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("onnxruntime", "ONNX Runtime can't run the model: .*"),
        ("openvino", "OpenVINO can't run the model: .*"),
    ],
)
def test_a_graph_that_a_runtime_cannot_run_is_an_error(runtime, message, tmp_path):
    need(runtime)
    recipe = recipe_of(IMAGES)
    entry = open_runtime(runtime)

    def convert_and_load():
        entry.convert(b"no graph", recipe, tmp_path)
        entry.load(tmp_path, recipe)

    with pytest.raises(LatencyError, match=message):
        convert_and_load()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_missing_provider_is_an_error(monkeypatch):
    need("onnxruntime")
    from trainables.latency import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "_PROVIDER", "AbacusExecutionProvider")
    with pytest.raises(LatencyError, match="took CPUExecutionProvider with 1 threads, not Abacus"):
        prepare(onnx_runtime.OnnxRuntime(), nn.Flatten().eval(), recipe_of(IMAGES))


LOGITS = np.array([[1.0, 2.0, -4.0], [3.0, 1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (LOGITS + 3e-4, None),
        (LOGITS + 5e-4, "rt must compute logits within 0.0001 of eager's largest, got a differ"),
        (np.full((2, 3), np.nan), "got a difference of nan"),
    ],
)
def test_fp32_logits_that_differ_are_a_fault(found, message):
    fault = fp32_fault(compare(found, LOGITS), "rt")
    assert fault is None if message is None else message in fault


def test_logits_of_another_shape_are_an_error():
    with pytest.raises(LatencyError, match=r"shape \(1, 3\), eager of \(2, 3\)"):
        compare(LOGITS[:1], LOGITS)


def test_another_class_counts_unless_eager_holds_both_level():
    # The tolerance is 1e-4: nine tenths of it up and down turn a lead of 1.5e-4 round.
    found = np.array([[1.0 - 9e-5, 1.0 - 1.5e-4 + 9e-5]])
    assert compare(found, np.array([[1.0, 1.0 - 1.5e-4]])).agreement_fraction == 0.0
    assert compare(found, np.array([[1.0, 1.0 - 5e-5]])).agreement_fraction == 1.0
    assert "must predict eager's classes" in fp32_fault(Comparison(0.0, 0.5), "rt")


def test_models_that_start_with_level_logits_pass():
    level = np.zeros((2, 3), np.float32)
    assert compare(level, level) == Comparison(0.0, 1.0)
    assert compare(level + 1, level).max_difference == np.inf


def test_the_reference_networks_run():
    assert [call().shape for call in reference_calls()] == [(1, 10), (1, 10)]


def test_runtimes_name_modules_that_exist():
    for name, entry in RUNTIMES.items():
        module, _, _ = entry.target.partition(":")
        assert importlib.util.find_spec(module) is not None, name


# Processes of their own


def fail(kind):
    raise kind("first\nsecond")


@pytest.mark.parametrize(
    ("function", "argument", "kind", "message"),
    [
        (fail, InputError, InputError, "first\nsecond"),
        (fail, ZeroDivisionError, LatencyError, "ZeroDivisionError: first$"),
        (os._exit, 3, LatencyError, "its process ended with exit status 3"),
        (os.abort, None, LatencyError, "its process was killed by SIGABRT"),
        (time.sleep, 60, LatencyError, "it took over 1 s"),
    ],
)
def test_what_happens_in_a_process_of_its_own_is_told(
    monkeypatch, function, argument, kind, message
):
    # Under pytest others' threads live; none of them matters to these functions.
    monkeypatch.setattr("trainables.latency.isolated._num_threads", lambda: None)
    arguments = () if argument is None else (argument,)
    with pytest.raises(kind, match=message):
        call_isolated(function, *arguments, limit_s=1.0)


def test_a_result_comes_back_from_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr("trainables.latency.isolated._num_threads", lambda: None)
    assert call_isolated(os.getpid, limit_s=60.0) != os.getpid()
