import importlib.util
import sysconfig

import pytest
import torch
from torch import nn

from trainables.compiling import check_compiler, compile_model
from trainables.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """A machine that has every tool."""
    compiler = tmp_path / "compiler"
    compiler.touch(mode=0o755)
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("CC", f"{compiler} -O1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    return monkeypatch


@pytest.mark.parametrize("device", [CPU, GPU])
def test_with_all_tools_nothing_is_refused(tools, device):
    check_compiler(device)


def test_a_cpu_needs_a_cpp_compiler(tools):
    tools.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"no C\+\+ compiler .* got True; install it"):
        check_compiler(CPU)
    check_compiler(GPU)


def test_a_gpu_needs_triton(tools):
    tools.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="finds no Triton, got True"):
        check_compiler(GPU)
    check_compiler(CPU)


def test_a_gpu_needs_the_c_compiler_of_triton(tools):
    tools.setenv("CC", "no-such-compiler")
    with pytest.raises(InputError, match="no C compiler"):
        check_compiler(GPU)


@pytest.mark.parametrize("device", [CPU, GPU])
def test_the_headers_of_python_are_needed(tools, device, tmp_path):
    (tmp_path / "Python.h").unlink()
    with pytest.raises(InputError, match=r"no Python\.h"):
        check_compiler(device)


def test_a_compiled_model_computes_what_the_model_does():
    try:
        check_compiler(CPU)
    except InputError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    keys = list(model.state_dict())
    compiled = compile_model(model)
    assert list(model.state_dict()) == keys
    inputs = torch.randn(5, 3)
    seen = []
    for each in (model, compiled):
        model.zero_grad()
        outputs = each(inputs)
        outputs.square().mean().backward()
        seen.append([outputs.detach(), *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(*seen)
