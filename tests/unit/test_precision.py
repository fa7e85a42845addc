import pytest
import torch

from trainables.errors import InputError
from trainables.precision import autocast, check_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_forward_runs_in_the_precision(precision, dtype):
    check_precision(precision, CPU)
    with autocast(precision, CPU):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_a_gpu_without_bf16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    with pytest.raises(InputError, match="an old GPU has, got bf16; use fp32"):
        check_precision("bf16", torch.device("cuda"))
