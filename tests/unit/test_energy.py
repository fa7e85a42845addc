import logging
from types import SimpleNamespace

import pytest
import torch

from trainables import energy
from trainables.energy import EnergyMeter

UUIDS = ["a1b2", "c3d4"]  # in the order of NVML


class FakeNvml:
    """The part of pynvml that is used, over two GPUs."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, has_driver=True, has_counter=True):
        self.has_driver = has_driver
        self.has_counter = has_counter
        self.millijoules = {f"GPU-{uuid}": 1000 for uuid in UUIDS}

    def nvmlInit(self):  # noqa: N802
        if not self.has_driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        if uuid not in self.millijoules:
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if not self.has_counter:
            raise self.NVMLError("Not Supported")
        return self.millijoules[handle]


@pytest.fixture
def install(monkeypatch):
    def install(nvml):
        monkeypatch.setattr(energy, "pynvml", nvml)
        # CUDA sees the GPUs in the other order.
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda device: SimpleNamespace(uuid=UUIDS[1 - device.index]),
        )
        return nvml

    return install


def test_the_counter_is_that_of_the_gpu_behind_the_device(install):
    nvml = install(FakeNvml())
    meters = [EnergyMeter(torch.device("cuda", index)) for index in range(2)]
    nvml.millijoules["GPU-c3d4"] += 2500
    assert [meter.read_joules() for meter in meters] == [3.5, 1.0]


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (FakeNvml(has_driver=False), "Driver Not Loaded"),
        (FakeNvml(has_counter=False), "Not Supported"),
    ],
)
def test_without_driver_or_counter_there_is_no_figure_and_one_reason(install, caplog, nvml, reason):
    install(nvml)
    meter = EnergyMeter(torch.device("cuda", 0))
    assert [meter.read_joules(), meter.read_joules()] == [None, None]
    assert [record.getMessage() for record in caplog.records] == [
        f"energy of cuda:0 is not recorded: {reason}"
    ]


def test_a_gpu_that_nvml_does_not_know_has_no_figure(install, caplog):
    install(FakeNvml()).millijoules.clear()
    assert EnergyMeter(torch.device("cuda", 0)).read_joules() is None
    assert "Not Found" in caplog.text


def test_a_cpu_has_no_figure(caplog):
    with caplog.at_level(logging.INFO):
        meter = EnergyMeter(torch.device("cpu"))
    assert meter.read_joules() is None
    assert len(caplog.records) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_counts_upwards():
    meter = EnergyMeter(torch.device("cuda", 0))
    before = meter.read_joules()
    if before is None:
        pytest.skip("this GPU has no counter")
    x = torch.randn(4096, 4096, device="cuda")
    for _ in range(50):
        x = (x @ x).tanh()
    torch.cuda.synchronize()
    assert meter.read_joules() > before
