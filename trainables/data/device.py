"""A data set on the device that trains on it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from trainables.data.dataset import ImageData, Part


class DeviceData:
    """The train and validation parts on a device; built once per worker.

    On the CPU the tensors share the arrays' memory, which may be read-only.

    Attributes:
        train_images: [num_train, channels, height, width] uint8.
        train_labels: [num_train] int64.
        val_images: [num_val, channels, height, width] uint8.
        val_labels: [num_val] int64.
        input_shape: channels, height, width.
        num_classes: of the logits.
    """

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.train_images, self.train_labels = _place(data.train, device)
        self.val_images, self.val_labels = _place(data.val, device)
        self.input_shape = data.input_shape
        self.num_classes = data.num_classes
        std = torch.tensor(data.std, dtype=torch.float64)
        mean = torch.tensor(data.mean, dtype=torch.float64)
        self._scale = (1 / (255 * std)).float().view(-1, 1, 1).to(device)
        self._shift = (-mean / std).float().view(-1, 1, 1).to(device)

    def normalise(self, images: Tensor) -> Tensor:
        """Map [batch, channels, height, width] uint8 to floats of mean 0 and deviation 1."""
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return floats.mul_(self._scale).add_(self._shift)


def _place(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings():
        # The arrays may be read-only views of shared memory. Nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(part.images).to(device), torch.from_numpy(part.labels).to(device)
