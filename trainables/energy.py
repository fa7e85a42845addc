"""Energy of a GPU, as its own counter has it."""

from __future__ import annotations

import logging

import pynvml
import torch

_LOGGER = logging.getLogger(__name__)


class EnergyMeter:
    """Reads the counter of the GPU behind a CUDA device: all that ran on it, by whomever.

    Args:
        device: of the training.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._handle: object | None = None
        if device.type != "cuda":
            self._give_up("only NVIDIA GPUs count it")
            return
        try:
            pynvml.nvmlInit()
            # By UUID: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER renumber the devices.
            uuid = torch.cuda.get_device_properties(device).uuid
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except pynvml.NVMLError as error:
            self._give_up(str(error))

    def read_joules(self) -> float | None:
        """Return the energy drawn since the driver was loaded, to take differences of.

        Returns:
            Joules, or None where the hardware doesn't tell (a CPU, a GPU without the counter); the
            log says why, once.
        """
        if self._handle is None:
            return None
        try:
            millijoules: int = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except pynvml.NVMLError as error:
            self._give_up(str(error))
            return None
        return millijoules / 1000

    def _give_up(self, reason: str) -> None:
        self._handle = None
        level = logging.WARNING if self._device.type == "cuda" else logging.INFO
        _LOGGER.log(level, "energy of %s is not recorded: %s", self._device, reason)
