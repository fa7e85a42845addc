from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sample_data import random_data
from sample_text import random_source

from trainables.batches import Batch, check_batch_size, epoch_batches, num_steps
from trainables.data.device import PlacedPart
from trainables.data.text.dataset import split_text
from trainables.errors import InputError
from trainables.ranks import Ranks
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")
IMAGES = TrialConfig(
    batch_size=16, crop_padding_px=2, flip_probability=0.5, rotation_degrees=20, color_jitter=0.3,
    cutout_px=3, randaugment_magnitude=9,
)  # fmt: skip
TEXT = TrialConfig(
    model="text_cnn", batch_size=16, word_dropout_probability=0.2, word_swap_probability=0.2,
    character_noise_probability=0.2,
)  # fmt: skip


def one_worker(data, config, seed=5):
    return list(epoch_batches(data, config, Ranks(0, 1, CPU, None), seed))


def of_ranks(data, config, world_size, seed=5):
    """The batches of each rank, in order."""
    ranks = (Ranks(rank, world_size, CPU, None) for rank in range(world_size))
    return [list(epoch_batches(data, config, rank, seed)) for rank in ranks]


def global_batches(data, config, world_size):
    """Inputs and labels of every step: of all ranks and of all parts that they cut it into."""
    parts = config.accumulation_steps
    ranks = of_ranks(data, config, world_size)
    steps = []
    for step in range(num_steps(data, config)):
        of_step = [batch for rank in ranks for batch in rank[step * parts : (step + 1) * parts]]
        inputs = torch.cat([batch.inputs for batch in of_step])
        steps.append((inputs, torch.cat([batch.labels for batch in of_step])))
    return steps


@pytest.mark.parametrize("accumulation_steps", [1, 2, 4])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("kind", ["image", "text"])
def test_the_global_batch_is_the_same_for_any_workers_and_parts(
    kind, world_size, accumulation_steps
):
    source = random_data() if kind == "image" else split_text(random_source(150), seed=0)
    data, config = source.on_device(CPU), IMAGES if kind == "image" else TEXT
    expected = global_batches(data, config, 1)
    cut = replace(config, accumulation_steps=accumulation_steps)
    found = global_batches(data, cut, world_size)
    assert len(found) == len(expected) == 5  # of 90 samples
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[1], theirs[1])
        assert torch.equal(ours[0], theirs[0])


@dataclass
class NumberedDraws:
    """The places in the epoch for which they were drawn."""

    places: torch.Tensor

    def take(self, samples):
        return NumberedDraws(self.places[samples])

    def to(self, device):
        return NumberedDraws(self.places.to(device))


class NumberedData:
    """Each sample is its own number; a model's input is that and the place of its draws."""

    def __init__(self, num_samples):
        numbers = torch.arange(num_samples)
        self.train = PlacedPart(numbers, numbers % 3)

    def draw(self, config, num_samples, generator):
        return NumberedDraws(torch.arange(num_samples))

    def augmented(self, inputs, draws):
        return torch.stack([inputs, draws.places], 1)


@given(
    num_samples=st.integers(1, 90),
    world_size=st.integers(1, 4),
    accumulation_steps=st.integers(1, 3),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_sample_comes_once_at_most(num_samples, world_size, accumulation_steps, size, seed):
    data = NumberedData(num_samples)
    config = TrialConfig(
        batch_size=world_size * accumulation_steps * size, accumulation_steps=accumulation_steps
    )
    ranks = of_ranks(data, config, world_size, seed)
    seen = [pair for rank in ranks for batch in rank for pair in batch.inputs.tolist()]
    num_used = num_samples // config.batch_size * config.batch_size  # the rest makes no full batch
    assert len({sample for sample, _ in seen}) == len(seen) == num_used
    assert {place for _, place in seen} == set(range(num_used))
    for rank in ranks:
        assert len(rank) == num_steps(data, config) * accumulation_steps
        for batch in rank:
            assert len(batch.inputs) == size
            assert torch.equal(batch.labels, batch.inputs[:, 0] % 3)


def test_a_seed_is_an_epoch():
    data = random_data().on_device(CPU)
    config = replace(IMAGES, mixup_alpha=0.4, cutmix_alpha=1.0)
    first, again, another = (one_worker(data, config, seed) for seed in (5, 5, 6))
    for ours, theirs in zip(first, again, strict=True):
        for name, value in vars(ours).items():
            assert torch.equal(value, getattr(theirs, name)), name
    assert not torch.equal(first[0].inputs, another[0].inputs)


def test_nothing_is_drawn_from_the_global_generator():
    data = random_data().on_device(CPU)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one_worker(data, replace(IMAGES, mixup_alpha=0.4, cutmix_alpha=1.0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_mixed_batch_is_the_plain_one_with_its_neighbours():
    data = random_data().on_device(CPU)
    for plain, mixed in zip(
        one_worker(data, IMAGES), one_worker(data, replace(IMAGES, mixup_alpha=0.4)), strict=True
    ):
        assert torch.equal(mixed.labels, plain.labels)
        assert torch.equal(mixed.mixed_labels, plain.labels.roll(1))
        weights = mixed.weights[:, None, None, None]
        expected = weights * plain.inputs + (1 - weights) * plain.inputs.roll(1, 0)
        torch.testing.assert_close(mixed.inputs, expected)


def test_labels_are_mixed_within_a_workers_part():
    data = random_data().on_device(CPU)
    config = replace(IMAGES, mixup_alpha=0.4, accumulation_steps=2)
    for batch in (batch for rank in of_ranks(data, config, 2) for batch in rank):
        assert len(batch.labels) == 4
        assert torch.equal(batch.mixed_labels, batch.labels.roll(1))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_the_loss_is_that_against_the_soft_label(is_mixed, label_smoothing):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator)
    labels, others = torch.randint(4, (2, 6), generator=generator)
    weights = torch.rand(6, generator=generator)
    soft = F.one_hot(labels, 4).float()
    batch = Batch(logits, labels)
    if is_mixed:
        batch = Batch(logits, labels, others, weights)
        soft = weights[:, None] * soft + (1 - weights[:, None]) * F.one_hot(others, 4)
    soft = (1 - label_smoothing) * soft + label_smoothing / 4
    expected = -(soft * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(batch.loss(logits, label_smoothing), expected)


@pytest.mark.parametrize(
    ("batch_size", "accumulation_steps", "world_size", "message"),
    [
        (91, 1, 1, "batch_size must be <= 90 samples (the train part), got 91; lower it"),
        (15, 1, 2, "must be a multiple of 2 workers, got 15; use 14"),
        (16, 3, 2, "a multiple of 2 workers times 3 accumulation steps, got 16; use 12"),
        (16, 3, 1, "must be a multiple of 3 accumulation steps, got 16; use 15"),
        (1, 1, 1, "batch_size must be at least 2 samples, got 1; use 2"),
        (3, 1, 2, "at least 2 samples for each of 2 parts (2 workers), got 3; use 4"),
        (4, 4, 1, "for each of 4 parts (4 accumulation steps), got 4; use 8"),
        (8, 2, 4, "of 8 parts (4 workers times 2 accumulation steps), got 8; use 16"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(
    batch_size, accumulation_steps, world_size, message
):
    config = TrialConfig(batch_size=batch_size, accumulation_steps=accumulation_steps)
    with pytest.raises(InputError) as caught:
        check_batch_size(config, 90, world_size)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_batch_that_can_be_shared_passes():
    check_batch_size(TrialConfig(batch_size=90, accumulation_steps=5), 90, 3)
    check_batch_size(TrialConfig(batch_size=12, accumulation_steps=2), 90, 3)
