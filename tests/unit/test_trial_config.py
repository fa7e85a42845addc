import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import (
    ARCHITECTURE_FIELDS,
    MUTABLE_FIELDS,
    TrialConfig,
    parse_values,
    rules,
)


def test_round_trip_through_json():
    config = TrialConfig(model="resnet20", learning_rate=0.03, seed=7)
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_numpy_numbers_become_plain_ones():
    config = TrialConfig.from_dict({"width": np.int64(8), "learning_rate": np.float32(0.5)})
    assert type(config.width) is int
    assert type(config.learning_rate) is float


def test_whole_numbers_are_taken_for_fractions():
    assert TrialConfig(learning_rate=1).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learnin_rate": 0.1}, "'learnin_rate'; choose from model"),
        ({"model": "vgg"}, "model must be one of resnet8"),
        ({"optimizer": None}, "optimizer must be one of sgd, adam, adamw, rmsprop, muon, got None"),
        ({"width": 1.5}, "width must be a whole number, got 1.5"),
        ({"width": True}, "width must be a whole number"),
        ({"width": 0}, "width must be >= 1 and <= 4096 channels, got 0"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number, got '0.1'"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"learning_rate": math.nan}, "got nan"),
        ({"weight_decay": math.inf}, "got inf"),
        ({"momentum": 1.0}, "momentum must be >= 0 and <= 0.9999"),
        ({"flip_probability": 1.1}, "flip_probability must be"),
        ({"crop_padding_px": -1}, "crop_padding_px must be >= 0 and <= 64 px, got -1; "),
        ({"num_epochs": 2, "warmup_epochs": 3}, "warmup_epochs must be <= num_epochs"),
        ({"is_compiled": "yes"}, "is_compiled must be True or False, got 'yes'"),
        ({"heads": 8}, "heads must be left out for model resnet8, which has none, got 8"),
        ({"model": "vit", "width": 30}, "heads must divide the width (30), got 4"),
        ({"beta2": 0.9}, "beta2 must be left out for optimizer sgd"),
        (
            {"schedule": "one_cycle", "warmup_epochs": 1},
            "warmup_epochs must be left out for schedule one_cycle",
        ),
        ({"optimizer": "muon"}, "muon must be for a model of matrices (vit, text_transformer)"),
        ({"model": "torchvision:resnet18", "width": 8}, "width must be left out for model torch"),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(InputError) as caught:
        TrialConfig.from_dict(values)
    assert message in str(caught.value)


def test_architecture_is_only_the_graph():
    assert TrialConfig(width=8, learning_rate=0.5).architecture() == {
        "model": "resnet8",
        "width": 8,
    }


def test_fields_are_sorted_into_their_kinds():
    assert set(rules()) == {field.name for field in dataclasses.fields(TrialConfig)}
    augmentation = {name for name, rule in rules().items() if rule.group == "augmentation"}
    assert MUTABLE_FIELDS == augmentation | {
        "learning_rate",
        "momentum",
        "beta2",
        "weight_decay",
        "label_smoothing",
        "dropout",
        "stochastic_depth",
    }
    assert not MUTABLE_FIELDS & ARCHITECTURE_FIELDS


def test_config_and_latency_cache_need_no_torch():
    code = (
        "import sys, trainables.trial_config, trainables.latency.cache, trainables.data.load;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
TEXTS = Task(kind="text", input_shape=(16,), num_classes=3, vocab_size=100)


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ({"model": "text_cnn", "rotation_degrees": 5}, TEXTS, "rotation_degrees must be left out"),
        ({"word_dropout_probability": 0.1}, IMAGES, "it is for text data"),
        ({"model": "text_cnn"}, IMAGES, "model must be one for image data, got text_cnn"),
        ({"model": "resnet8"}, TEXTS, "model must be one for text data, got resnet8"),
        ({"model": "vit", "patch_px": 5}, IMAGES, "must divide the image (32x32 px), got 5"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(values, task, message):
    with pytest.raises(InputError) as caught:
        TrialConfig(**values).check_task(task)
    assert message in str(caught.value)


def test_values_are_read_by_the_type_of_their_field():
    texts = ["optimizer=adamw", "dropout=0.1", "is_compiled=True", "width=8"]
    assert parse_values(texts) == {
        "optimizer": "adamw",
        "dropout": 0.1,
        "is_compiled": True,
        "width": 8,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=3", "--fix must be hyperparameters as name=value, got 'speed=3'"),
        ("width=wide", "--fix width must be of type int, got 'wide'"),
        ("is_compiled=maybe", "--fix is_compiled must be of type bool"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_values([text])
