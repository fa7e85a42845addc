import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from trainables.errors import InputError
from trainables.trial_config import ARCHITECTURE_FIELDS, MUTABLE_FIELDS, TrialConfig, rules


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
        ({"optimizer": None}, "optimizer must be one of sgd, adamw, got None"),
        ({"width": 1.5}, "width must be a whole number, got 1.5"),
        ({"width": True}, "width must be a whole number"),
        ({"width": 0}, "width must be >= 1 and <= 1024 channels, got 0"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number, got '0.1'"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"learning_rate": math.nan}, "got nan"),
        ({"weight_decay": math.inf}, "got inf"),
        ({"momentum": 1.0}, "momentum must be >= 0 and <= 0.9999"),
        ({"flip_probability": 1.1}, "flip_probability must be"),
        ({"crop_padding_px": -1}, "crop_padding_px must be >= 0 and <= 64 px, got -1; "),
        ({"num_epochs": 2, "warmup_epochs": 3}, "warmup_epochs must be <= num_epochs"),
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
    assert MUTABLE_FIELDS == {
        "learning_rate",
        "momentum",
        "weight_decay",
        "label_smoothing",
        "crop_padding_px",
        "flip_probability",
    }
    assert not MUTABLE_FIELDS & ARCHITECTURE_FIELDS


def test_config_and_latency_cache_need_no_torch():
    code = (
        "import sys, trainables.trial_config, trainables.latency.cache, trainables.data.load;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
