"""Training on one worker and on two. Everything of two ranks runs in a single pair of processes."""

import copy
import math
import warnings
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from sample_data import random_data
from sample_text import random_source
from torch import nn

from trainables import train_loop
from trainables.data.dataset import ImageData, Part
from trainables.data.text.dataset import split_text
from trainables.errors import InputError, TrainingError
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU, None)
CONFIG = TrialConfig(
    width=4, batch_size=16, crop_padding_px=1, learning_rate=0.05, num_epochs=4, warmup_epochs=0.5
)
TIMES = {
    "train_seconds",
    "val_seconds",
    "started_unix_s",
    "ended_unix_s",
    "data_wait_fraction",
    "samples_per_second",
}


def with_values(config, **values):
    return TrialConfig.from_dict({**config.to_dict(), **values})


def start(config=CONFIG, ranks=ALONE, data=None):
    return Training(config, (data or random_data()).on_device(ranks.device), ranks)


def curve(results):
    """Everything of the results but the times."""
    return [
        {name: value for name, value in result.to_dict().items() if name not in TIMES}
        for result in results
    ]


def weights(training):
    return torch.cat([value.flatten().double() for value in training.model.state_dict().values()])


def resumed_curve(config, ranks, num_before):
    """Train to the end through a state that was copied after `num_before` epochs."""
    first = start(config, ranks)
    results = [first.train_epoch() for _ in range(num_before)]
    state = copy.deepcopy(first.state_dict())
    first.train_epoch()  # must not reach what was copied
    second = start(with_values(config, seed=99), ranks)
    second.load_state_dict(state)
    results += [second.train_epoch() for _ in range(config.num_epochs - num_before)]
    return curve(results), weights(second)


def undisturbed_curve(config, ranks):
    training = start(config, ranks)
    results = [training.train_epoch() for _ in range(config.num_epochs)]
    return curve(results), weights(training)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_bit_for_bit(optimizer, precision):
    config = with_values(CONFIG, optimizer=optimizer, precision=precision, num_epochs=3)
    expected, expected_weights = undisturbed_curve(config, ALONE)
    resumed, resumed_weights = resumed_curve(config, ALONE, 1)
    assert resumed == expected
    assert torch.equal(resumed_weights, expected_weights)


def test_same_seed_same_curve_and_another_seed_another():
    first, again = (undisturbed_curve(CONFIG, ALONE)[0] for _ in range(2))
    assert first == again
    assert undisturbed_curve(with_values(CONFIG, seed=1), ALONE)[0] != first


def test_it_learns():
    training = start()
    results = [training.train_epoch() for _ in range(4)]
    assert results[-1].val.accuracy > 0.6  # chance is a third
    assert results[-1].train_loss < results[0].train_loss
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert results[0].num_train_samples == 80  # 90 samples in batches of 16


def test_new_values_are_in_force_after_a_load():
    donor = start()
    donor.train_epoch()
    config = with_values(CONFIG, learning_rate=0.2, momentum=0.5, weight_decay=0.1, seed=5)
    receiver = Training(config, donor._data, donor._ranks, donor.state_dict())
    assert torch.equal(weights(donor), weights(receiver))
    result = receiver.train_epoch()
    for group in receiver._optimizer.param_groups:
        assert group["lr"] == result.learning_rate > 0.05
        assert group["momentum"] == 0.5
        assert group["weight_decay"] == (0.1 if group["is_decayed"] else 0.0)


def test_a_loaded_state_is_a_copy():
    donor = start()
    donor.train_epoch()
    receiver = start()
    receiver.load_state_dict(donor.state_dict())
    before = copy.deepcopy(donor.state_dict())
    receiver.train_epoch()
    after = donor.state_dict()
    for name, value in before["model"].items():
        assert torch.equal(value, after["model"][name])
    for key, values in before["optimizer"].items():
        assert torch.equal(values["momentum_buffer"], after["optimizer"][key]["momentum_buffer"])


@pytest.mark.parametrize("values", [{"width": 8}, {"optimizer": "adamw"}])
def test_a_state_of_another_kind_is_refused(values):
    with pytest.raises(InputError, match="must be that of the checkpoint"):
        start(with_values(CONFIG, **values)).load_state_dict(start().state_dict())


@pytest.mark.parametrize(
    ("batch_size", "world_size", "message"),
    [
        (91, 1, "batch_size must be <= 90 samples"),
        (15, 2, "must be a multiple of 2 workers, got 15; use 14"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(batch_size, world_size, message):
    with pytest.raises(InputError, match=message):
        start(with_values(CONFIG, batch_size=batch_size), Ranks(0, world_size, CPU, None))


def test_a_diverged_training_raises():
    training = start(with_values(CONFIG, learning_rate=100.0, momentum=0.99))
    with torch.no_grad():
        training.model.head.bias.fill_(math.inf)
    with pytest.raises(TrainingError, match="train_loss must be finite, got nan in epoch 1"):
        training.train_epoch()
    assert training.epoch == 0


def test_read_only_arrays_are_shared_without_a_warning():
    data = random_data()
    for part in (data.train, data.val):
        part.inputs.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placed = data.on_device(CPU)
    assert placed.train.inputs.data_ptr() == data.train.inputs.ctypes.data
    assert placed.val.labels.data_ptr() == data.val.labels.ctypes.data


def test_normalised_images_have_mean_0_and_deviation_1():
    data = random_data(600, shape=(3, 8, 8))
    placed = data.on_device(CPU)
    floats = placed.model_inputs(placed.train.inputs).double()
    assert floats.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert floats.std((0, 2, 3)).tolist() == pytest.approx([1] * 3, abs=1e-4)


RICH = {
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "ema_decay": 0.9,
    "patience_epochs": 9,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 0.4,
    "rotation_degrees": 10,
    "randaugment_magnitude": 5,
    "dropout": 0.2,
    "stochastic_depth": 0.2,
    "accumulation_steps": 2,
    "num_epochs": 3,
}


def test_a_resume_with_everything_switched_on_is_bit_for_bit():
    config = with_values(CONFIG, **RICH)
    expected, expected_weights = undisturbed_curve(config, ALONE)
    resumed, resumed_weights = resumed_curve(config, ALONE, 2)
    assert resumed == expected
    assert torch.equal(resumed_weights, expected_weights)


def test_parts_of_a_batch_add_up_to_the_batch(monkeypatch):
    monkeypatch.setattr(train_loop, "create_model", lambda config, task: PlainNet())
    whole, parts = (
        start(with_values(CONFIG, learning_rate=0.01, accumulation_steps=num)) for num in (1, 4)
    )
    parts.model.load_state_dict(whole.model.state_dict())
    losses = [training.train_epoch().train_loss for training in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-5, atol=1e-6)


def test_the_average_of_the_weights_is_what_is_validated():
    training = start(with_values(CONFIG, ema_decay=0.99, learning_rate=0.3))
    result = training.train_epoch()
    assert not torch.equal(training.served_model.head.weight, training.model.head.weight.detach())
    inputs, labels = training._data.val.inputs, training._data.val.labels
    with torch.no_grad():
        logits = training.served_model(training._data.model_inputs(inputs))
    assert result.val.accuracy == (logits.argmax(1) == labels).double().mean()


def test_a_training_that_no_longer_improves_says_so():
    training = start(with_values(CONFIG, learning_rate=1e-12, patience_epochs=2))
    training._early_stopping.load_state_dict({"best_loss": 0.0, "num_epochs_since": 0})
    assert [training.train_epoch().is_stopped_early for _ in range(2)] == [False, True]


def test_the_gap_is_between_samples_trained_on_and_others():
    row = start().train_epoch().to_dict()
    assert row["generalisation_gap"] == row["train_accuracy"] - row["val_accuracy"]
    assert row["samples_per_second"] == 80 / row["train_seconds"]
    assert 0 < row["data_wait_fraction"] < 1
    assert row["energy_joules"] is None
    assert row["peak_memory_bytes"] is None


def test_a_compiled_training_is_that_of_the_model():
    config = with_values(CONFIG, is_compiled=True, num_epochs=1)
    compiled = start(config)
    plain = start(with_values(config, is_compiled=False))
    losses = [training.train_epoch().train_loss for training in (compiled, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert compiled.state_dict()["model"].keys() == plain.state_dict()["model"].keys()


def test_text_is_trained_like_images():
    config = TrialConfig(
        model="text_cnn", width=8, batch_size=16, learning_rate=0.01, optimizer="adamw",
        word_dropout_probability=0.1, num_epochs=3,
    )  # fmt: skip
    data = split_text(random_source(150), seed=0)
    training = start(config, data=data)
    results = [training.train_epoch() for _ in range(3)]
    assert results[-1].train_loss < results[0].train_loss
    with pytest.raises(InputError, match="rotation_degrees must be left out for text data"):
        start(with_values(config, rotation_degrees=5.0), data=data)


# Two ranks


class PlainNet(nn.Module):
    """Without batch norm, whose statistics are each worker's own, the gradients add up exactly."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


def odd_data() -> ImageData:
    """Return data whose validation part can't be halved."""
    data = random_data()
    val = Part(data.val.inputs[:29], data.val.labels[:29])
    return replace(data, val=val)


def plain_training(ranks):
    """Two epochs of a net without batch norm."""
    original = train_loop.create_model
    train_loop.create_model = lambda config, task: PlainNet()
    try:
        training = start(with_values(CONFIG, learning_rate=0.01), ranks, odd_data())
    finally:
        train_loop.create_model = original
    return [training.train_epoch() for _ in range(2)], weights(training)


def validate(ranks):
    return start(CONFIG, ranks, odd_data())._validate()[0]


def raises_on_nan(ranks):
    training = start(CONFIG, ranks)
    if ranks.rank == 1:  # only one of them has a bad loss
        training._data._shift.fill_(math.nan)
    try:
        training.train_epoch()
    except TrainingError as error:
        return str(error)
    return None


def run_rank(rank, folder):
    """Do everything that two ranks are tested for, and write down what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, CPU, dist.group.WORLD)
    config = with_values(CONFIG, num_epochs=3)
    outcome = {
        "undisturbed": undisturbed_curve(config, ranks),
        "resumed": resumed_curve(config, ranks, 1),
        "rich": undisturbed_curve(with_values(CONFIG, **RICH), ranks),
        "rich resumed": resumed_curve(with_values(CONFIG, **RICH), ranks, 2),
        "plain": plain_training(ranks),
        "validation": validate(ranks),
        "nan": raises_on_nan(ranks),
    }
    torch.save(outcome, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ranks"))
    torch.multiprocessing.spawn(run_rank, (folder,), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(2)]


def test_two_ranks_agree_and_resume_bit_for_bit(outcomes):
    expected, expected_weights = outcomes[0]["undisturbed"]
    for outcome in outcomes:
        for kind in ("undisturbed", "resumed"):
            assert outcome[kind][0] == expected
            assert torch.equal(outcome[kind][1], expected_weights)


def test_two_ranks_resume_bit_for_bit_with_everything_switched_on(outcomes):
    expected, expected_weights = outcomes[0]["rich"]
    for outcome in outcomes:
        for kind in ("rich", "rich resumed"):
            assert outcome[kind][0] == expected
            assert torch.equal(outcome[kind][1], expected_weights)


def test_two_ranks_train_on_the_same_global_batches_as_one(outcomes):
    alone, alone_weights = plain_training(ALONE)
    together, together_weights = outcomes[0]["plain"]
    torch.testing.assert_close(together_weights, alone_weights, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert ours.val.loss == pytest.approx(theirs.val.loss, rel=1e-5)
        assert ours.val.confusion == theirs.val.confusion
        assert ours.train_accuracy == theirs.train_accuracy


def test_validation_of_two_ranks_is_that_of_one(outcomes):
    alone = validate(ALONE)
    for outcome in outcomes:
        assert sum(map(sum, outcome["validation"].confusion)) == 29
        assert outcome["validation"].confusion == alone.confusion
        assert outcome["validation"].loss == pytest.approx(alone.loss, rel=1e-6)


def test_a_bad_loss_of_one_rank_raises_on_both(outcomes):
    for outcome in outcomes:
        assert outcome["nan"].startswith("train_loss must be finite, got nan in epoch 1")
