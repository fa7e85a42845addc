import pytest
import torch

from trainables import precision as precision_module
from trainables.errors import InputError
from trainables.precision import autocast, check_precision, make_scaler

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_forward_runs_in_the_precision(precision, dtype):
    with autocast(precision, CPU):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_what_every_cpu_can_is_allowed():
    check_precision("fp32", CPU)
    check_precision("bf16", CPU)


def test_a_gpu_that_only_emulates_bf16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    with pytest.raises(InputError, match="an old GPU has, got bf16; use fp16 or fp32"):
        check_precision("bf16", GPU)
    check_precision("fp16", GPU)


def test_a_driver_without_a_gpu_leaves_the_question_to_the_workers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_precision("bf16", GPU)


def test_a_cpu_that_only_emulates_fp16_is_refused(monkeypatch):
    monkeypatch.setattr(precision_module, "_has_cpu_fp16", lambda: False)
    with pytest.raises(InputError, match="this CPU has, got fp16; use bf16"):
        check_precision("fp16", CPU)
    monkeypatch.setattr(precision_module, "_has_cpu_fp16", lambda: True)
    check_precision("fp16", CPU)


def test_torch_can_be_asked_for_fp16():
    assert precision_module._has_cpu_fp16() in (True, False)


def test_only_fp16_is_scaled():
    assert make_scaler("fp32", CPU) is None
    assert make_scaler("bf16", CPU) is None
    assert make_scaler("fp16", CPU) is not None


def test_a_scaler_resumes_with_its_scale():
    scaler, resumed = make_scaler("fp16", CPU), make_scaler("fp16", CPU)
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scaler.scale(parameter.sum() * torch.inf).backward()
    scaler.step(optimizer)
    scaler.update()
    resumed.load_state_dict(scaler.state_dict())
    assert resumed.get_scale() == scaler.get_scale() == 2.0**15
    assert parameter == 1
