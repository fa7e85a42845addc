"""A Keras 3 network as a trial, on Keras's torch backend (`pip install "paretune[keras]"`).

An example to copy: `keras_cnn` writes the network in Keras alone, and `KerasModule` makes of any
Keras network a Torch module that trains, saves and loads like the others.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import TrialConfig


def import_keras() -> Any:
    """Import Keras on its torch backend.

    Raises:
        InputError: if it isn't installed, or set to or already imported with another backend.
    """
    imported = sys.modules.get("keras")
    backend = (
        imported.backend.backend() if imported else os.environ.setdefault("KERAS_BACKEND", "torch")
    )
    if backend != "torch":
        raise InputError(
            f"KERAS_BACKEND must be torch for a Keras model, got {backend}; unset it, and import "
            "keras nowhere before"
        )
    try:
        return importlib.import_module("keras")
    except ModuleNotFoundError as error:
        raise InputError(
            f'keras must be installed for a Keras model, got "{error}"; run '
            'pip install "paretune[keras]"'
        ) from error


class KerasModule(nn.Module):
    """A Keras network whose weights are this module's own parameters and buffers.

    Keras would register moving averages as parameters, name weights by a global counter, and keep
    using its first tensors when Torch puts others in their place (`to_empty`). So the network is
    called without state, through Keras's `stateless_call`.

    Args:
        network: built, its layers with weights named. What is random in training must draw from
            Torch's global generator, as `keras.layers.TorchModuleWrapper` makes possible, not from
            Keras's own.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._device_scope = import_keras().device
        self._stateless_call = network.stateless_call  # a method: no submodule
        # Pairs: a dict's keys would be sorted.
        self.weights = nn.ParameterDict([(v.path, v.value) for v in network.trainable_variables])
        for variable in network.non_trainable_variables:
            self.register_buffer(variable.path, variable.value.detach())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy weights and buffers, and share the network, which is called without state.

        Keras can't copy a network of meta tensors, and its own are never used.
        """
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        memo[id(self._stateless_call)] = self._stateless_call
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to what the network gives; moving averages change in training only."""
        state = list(self.buffers())
        with self._device_scope(str(x.device)):
            y, new_state = self._stateless_call(
                list(self.weights.values()), state, x, training=self.training
            )
        if self.training:
            with torch.no_grad():
                for old, new in zip(state, new_state, strict=True):
                    old.copy_(new)
        return y  # type: ignore[no-any-return]


def keras_cnn(config: TrialConfig, task: Task) -> KerasModule:
    """Build three stages of convolution, norm and ReLU in Keras; the last two halve the image.

    Args:
        config: `width` channels of the first stage, doubled by each other one; `dropout`.
        task: of images.

    Raises:
        InputError: if Keras isn't there, or has another backend than Torch.
    """
    keras = import_keras()
    layers = keras.layers
    # Where Torch would make them, and not on a GPU because there is one, as Keras does by default.
    with keras.device(torch.get_default_device().type):
        conv = partial(layers.Conv2D, padding="same", data_format="channels_first", use_bias=False)
        x = image = keras.Input(task.input_shape)
        for stage in range(3):
            x = conv(
                config.width << stage,
                3,
                strides=1 if stage == 0 else 2,
                kernel_initializer=keras.initializers.HeNormal(seed=_draw_seed()),
                name=f"conv{stage}",
            )(x)
            x = layers.BatchNormalization(axis=1, name=f"norm{stage}")(x)
            x = layers.ReLU()(x)
        x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
        # Keras's own dropout keeps a generator in its weights.
        x = layers.TorchModuleWrapper(nn.Dropout(config.dropout), output_shape=x.shape)(x)
        initializer = keras.initializers.GlorotUniform(seed=_draw_seed())
        logits = layers.Dense(task.num_classes, kernel_initializer=initializer, name="head")(x)
        return KerasModule(keras.Model(image, logits))


def _draw_seed() -> int:
    """Draw from Torch's global generator: Keras would take Python's."""
    return int(torch.randint(2**31, (), device="cpu"))
