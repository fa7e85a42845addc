import importlib
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from trainables.compiling import check_compiler
from trainables.errors import InputError
from trainables.latency import RUNTIMES, LatencyError, RuntimeEntry, compiled
from trainables.latency.compiled import CompiledRuntime
from trainables.latency.outputs import check_outputs
from trainables.latency.reference import reference_call
from trainables.latency.worker import load_checked
from trainables.models import create_model
from trainables.models.example import example_inputs
from trainables.task import Task
from trainables.trial_config import TrialConfig

IMAGES = Task(kind="image", input_shape=(3, 8, 8), num_classes=4)
TEXTS = Task(kind="text", input_shape=(12,), num_classes=4, vocab_size=50)
EXPORTING = ("onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def need(runtime):
    for name in RUNTIMES[runtime].modules:
        pytest.importorskip(name)


def small_model(config, task):
    return create_model(config, task).eval()


@pytest.mark.parametrize("runtime", ["eager", *EXPORTING])
@pytest.mark.parametrize(
    ("config", "task"),
    [
        (TrialConfig(model="resnet8", width=4), IMAGES),
        (TrialConfig(model="text_transformer", width=8, depth=1, heads=2), TEXTS),
    ],
)
def test_a_runtime_computes_what_eager_does(runtime, config, task):
    need(runtime)
    model, example = small_model(config, task), example_inputs(task, 3)
    with torch.inference_mode():
        expected = model(example)
    found = load_checked(runtime, model, example)()
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_compiled_computes_what_eager_does():
    try:
        check_compiler(torch.device("cpu"))
    except InputError as error:
        pytest.skip(str(error))
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    assert load_checked("compiled", model, torch.randn(2, 3, 8, 8))().shape == (2, 4)


def test_compiled_refuses_a_machine_without_a_compiler(monkeypatch):
    def refuse(device):
        raise InputError("no compiler")

    monkeypatch.setattr(compiled, "check_compiler", refuse)
    with pytest.raises(InputError, match=r"got 'compiled'; choose another, or mend .* no compiler"):
        CompiledRuntime().prepare(nn.Linear(2, 2), torch.ones(1, 2))


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
def test_a_graph_that_a_runtime_cannot_run_is_an_error(runtime, message, monkeypatch):
    need(runtime)
    module_name, _, class_name = RUNTIMES[runtime].target.partition(":")
    module = importlib.import_module(module_name)
    monkeypatch.setattr(module, "export_onnx", lambda model, example: b"no graph")
    with pytest.raises(LatencyError, match=message):
        getattr(module, class_name)().prepare(nn.Linear(2, 2).eval(), torch.ones(1, 2))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_missing_provider_is_an_error(monkeypatch):
    need("onnxruntime")
    from trainables.latency import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "_PROVIDER", "AbacusExecutionProvider")
    with pytest.raises(LatencyError, match="took CPUExecutionProvider with 1 threads, not Abacus"):
        onnx_runtime.OnnxRuntime().prepare(nn.Linear(2, 2).eval(), torch.ones(1, 2))


LOGITS = np.array([[1.0, 2.0, -4.0], [3.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            LOGITS + 5e-4,
            "rt must compute logits within 0.0004 of eager's, got a difference of 0.00",
        ),
        (LOGITS[:1], r"shape \(1, 3\), eager of \(2, 3\)"),
        (np.full((2, 3), np.nan), "got a difference of nan"),
    ],
)
def test_outputs_that_differ_are_refused(found, message):
    check_outputs(LOGITS + 3e-4, LOGITS, "rt")
    with pytest.raises(LatencyError, match=message):
        check_outputs(found, LOGITS, "rt")


def test_another_class_is_refused_unless_eager_holds_both_level():
    # The tolerance is 1e-4: nine tenths of it up and down turn a lead of 1.5e-4 round.
    found = np.array([[1.0 - 9e-5, 1.0 - 1.5e-4 + 9e-5]])
    with pytest.raises(LatencyError, match="must predict eager's classes, got 1 others of 1"):
        check_outputs(found, np.array([[1.0, 1.0 - 1.5e-4]]), "rt")
    check_outputs(found, np.array([[1.0, 1.0 - 5e-5]]), "rt")


class Broken:
    """A runtime that adds one to the first logit."""

    def prepare(self, model, example):
        return lambda: model(example).detach() + torch.tensor([1.0, 0.0])


def test_a_runtime_that_computes_something_else_fails(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "broken", RuntimeEntry(f"{__name__}:Broken"))
    with pytest.raises(LatencyError, match=r"broken must compute logits within .* of eager's"):
        load_checked("broken", nn.Linear(2, 2).eval(), torch.ones(1, 2))


def test_models_that_start_with_level_logits_pass():
    check_outputs(np.zeros((2, 3)), np.zeros((2, 3)), "rt")


def test_the_reference_network_runs():
    assert reference_call()().shape == (1, 10)


def test_runtimes_name_modules_that_exist():
    for name, entry in RUNTIMES.items():
        module, _, _ = entry.target.partition(":")
        assert importlib.util.find_spec(module) is not None, name
        assert bool(entry.extra) == bool(entry.modules)
