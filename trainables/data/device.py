"""A data set on the device that trains on it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from trainables.augment.image import ImageDraws, augment, draw
from trainables.data.dataset import ImageData, Part
from trainables.task import Task
from trainables.trial_config import TrialConfig


class Draws(Protocol):
    """What chance decided for each of a number of samples."""

    def take(self, samples: Tensor | slice) -> Self:
        """Return the draws of some samples."""
        ...

    def to(self, device: torch.device) -> Self:
        """Return the draws on another device."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedPart:
    """A part on a device; its tensors may share the memory of arrays that are read-only.

    Attributes:
        inputs: as in `Part`.
        labels: [num_samples] int64.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def inputs_at(self, positions: Tensor) -> Tensor:
        """Return the inputs at some positions ([num_taken]), laid out in memory as all are."""
        if self.inputs.ndim < 4:
            return self.inputs.index_select(0, positions)
        # Seen with channels last, a whole image is copied at once.
        images = self.inputs.permute(0, 2, 3, 1)
        return images.index_select(0, positions).permute(0, 3, 1, 2)


class DeviceData(Protocol):
    """The train and validation parts on a device; built once per worker.

    Attributes:
        task: what a model must fit.
        train: trained on.
        val: validated on.
    """

    task: Task
    train: PlacedPart
    val: PlacedPart

    def place(self, part: Part) -> PlacedPart:
        """Place another part beside them."""
        ...

    def draw(self, config: TrialConfig, num_samples: int, generator: torch.Generator) -> Any:
        """Return the `Draws` of a number of samples, made on the CPU."""
        ...

    def augmented(self, inputs: Tensor, draws: Any) -> Tensor:
        """Return what a model takes of a batch of a part's inputs, augmented."""
        ...

    def model_inputs(self, inputs: Tensor) -> Tensor:
        """Return what a model takes of a batch of a part's inputs, as they are."""
        ...


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return what pixels from 0 to 255 are multiplied by, and what is added then.

    Args:
        mean: [channels], as `ImageData` has it.
        std: likewise.

    Returns:
        Two times [channels] float32.
    """
    means = torch.tensor(mean, dtype=torch.float64)
    stds = torch.tensor(std, dtype=torch.float64)
    return (1 / (255 * stds)).float(), (-means / stds).float()


class ImageOnDevice:
    """Images on a device; a `DeviceData`."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.task = data.task
        self._device = device
        self.train = self.place(data.train)
        self.val = self.place(data.val)
        mean = torch.tensor(data.mean, dtype=torch.float64)
        self._mean_pixel = (255 * mean).float().to(device)
        self._scale, self._shift = map(self._image_of, normalisation(data.mean, data.std))

    def _image_of(self, color: Tensor) -> Tensor:
        """Return an image of one colour: arithmetic with it is quicker than with the colour."""
        image = color.view(1, -1, 1, 1).expand(1, *self.task.input_shape)
        return image.to(self._device).contiguous(memory_format=torch.channels_last)

    def place(self, part: Part) -> PlacedPart:
        """Place images and labels; on the CPU the tensors share their memory."""
        return place(part, self._device)

    def draw(self, config: TrialConfig, num_samples: int, generator: torch.Generator) -> ImageDraws:
        """Draw the augmentation of a number of images."""
        channels, height, width = self.task.input_shape
        return draw(config, num_samples, (channels, height, width), generator)

    def augmented(self, inputs: Tensor, draws: ImageDraws) -> Tensor:
        """Return augmented floats of mean 0 and deviation 1."""
        return self.model_inputs(augment(inputs, draws, fill=self._mean_pixel))

    def model_inputs(self, inputs: Tensor) -> Tensor:
        """Map [batch, channels, height, width] from 0..255 to floats of mean 0 and deviation 1."""
        floats = inputs.to(torch.float32, memory_format=torch.channels_last)
        if floats is inputs:
            return torch.addcmul(self._shift, floats, self._scale)
        return floats.mul_(self._scale).add_(self._shift)


def place(part: Part, device: torch.device) -> PlacedPart:
    """Place a part on a device."""
    with warnings.catch_warnings():
        # The arrays may be read-only views of shared memory. Nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        inputs, labels = torch.from_numpy(part.inputs), torch.from_numpy(part.labels)
    return PlacedPart(inputs.to(device), labels.to(device))


def spread_positions(num_samples: int, part: PlacedPart) -> Tensor:
    """Return positions spread evenly over a part: no class is left out where they are in order.

    Args:
        num_samples: wanted; fewer if the part is smaller.
        part: to choose from.

    Returns:
        [num_samples] int64, ascending, on the device of the part.
    """
    num_samples = min(num_samples, len(part))
    # In whole numbers: those of linspace are too coarse for a large part, which it may leave.
    numbers = torch.arange(num_samples, device=part.labels.device)
    return numbers * (len(part) - 1) // max(num_samples - 1, 1)
