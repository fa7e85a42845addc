import copy
import dataclasses

import pytest
import torch
from sample_data import random_data
from sample_text import random_source

from analysis.records import SCORE_NAMES
from trainables import examine as examine_module
from trainables.data.device import spread_positions
from trainables.data.text.dataset import split_text
from trainables.examine import ExamineOptions, examine
from trainables.metrics import score
from trainables.ranks import Ranks
from trainables.train_loop import Training
from trainables.trial_config import TrialConfig

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU, None)
OPTIONS = ExamineOptions(robustness_samples=4, attribution_samples=3, seed=7)
CONFIGS = {
    "image": TrialConfig(width=4, batch_size=16, crop_padding_px=1, num_epochs=1, ema_decay=0.5),
    "text": TrialConfig(
        model="text_cnn", width=8, batch_size=16, num_epochs=1, optimizer="adamw",
        learning_rate=0.01, dropout=0.3,
    ),
}  # fmt: skip


class Trained:
    """A model trained for an epoch, its data, and the test part beside them."""

    def __init__(self, kind):
        texts = split_text(random_source(150), seed=0)
        self.source = random_data(shape=(3, 8, 8)) if kind == "image" else texts
        self.data = self.source.on_device(CPU)
        self.test = self.data.place(self.source.test)
        self.training = Training(CONFIGS[kind], self.data, ALONE)
        self.training.train_epoch()

    def examine(self, ranks=ALONE, **options):
        options = dataclasses.replace(OPTIONS, **options)
        return examine(self.training, self.data, self.test, ranks, options)


@pytest.fixture(scope="module", params=["image", "text"])
def trained(request):
    return Trained(request.param)


@pytest.fixture(scope="module")
def images():
    return Trained("image")


def test_scores_are_those_of_the_test_part(trained):
    found = trained.examine(robustness_samples=0, attribution_samples=0)
    assert set(found["scores"]) == set(SCORE_NAMES)
    model = trained.training.served_model.eval()
    with torch.no_grad():
        logits = model(trained.data.model_inputs(trained.test.inputs))
    expected = score(logits, trained.test.labels)
    assert found["scores"]["accuracy"] == expected.accuracy
    assert found["scores"]["loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert found["robustness"] == found["attributions"] == []


def test_only_images_are_corrupted_and_attacked(trained):
    rows = trained.examine()["robustness"]
    if trained.data.task.kind == "text":
        assert rows == []
        return
    assert {row["kind"] for row in rows} == {"corruption", "attack"}
    assert {row["num_samples"] for row in rows} == {OPTIONS.robustness_samples}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)


def test_corruptions_begin_with_images_as_they_are_and_the_seed(images, monkeypatch):
    given = []
    monkeypatch.setattr(
        examine_module, "robustness_rows", lambda *values: given.append(values) or []
    )
    images.examine()
    ((logits_of, pixels, labels, generator),) = given
    chosen = spread_positions(OPTIONS.robustness_samples, images.test)
    assert torch.equal(pixels, images.test.inputs[chosen])
    assert torch.equal(labels, images.test.labels[chosen])
    assert generator.initial_seed() == OPTIONS.seed
    assert generator.device == CPU
    with torch.no_grad():
        found, expected = logits_of(pixels / 255), images.training.predict(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_attributions_are_of_samples_spread_over_the_test_part(trained):
    rows = trained.examine(robustness_samples=0)["attributions"]
    last = len(trained.test) - 1
    is_image = trained.data.task.kind == "image"
    num_values = 8 * 8 if is_image else trained.data.task.input_shape[0]
    assert [row["sample"] for row in rows] == [0, last // 2, last]
    for row in rows:
        values = torch.tensor(row["attribution"])
        assert len(values) == num_values
        assert values.min() >= 0
        assert values.max() == 1
        inputs = trained.test.inputs[row["sample"] : row["sample"] + 1]
        with torch.no_grad():
            logits = trained.training.served_model.eval()(trained.data.model_inputs(inputs))
        assert row["predicted"] == logits.argmax()


def test_the_same_seed_gives_the_same(trained):
    before = torch.get_rng_state()
    first, again = trained.examine(), trained.examine()
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)


def test_more_samples_than_there_are_mean_all(images):
    found = images.examine(robustness_samples=10_000, attribution_samples=10_000)
    assert {row["num_samples"] for row in found["robustness"]} == {len(images.test)}
    assert [row["sample"] for row in found["attributions"]] == list(range(len(images.test)))


@pytest.mark.parametrize("is_training", [False, True])
def test_the_model_stays_as_it_was(trained, is_training):
    models = (trained.training.model, trained.training.served_model)
    for model in models:
        model.train(is_training)
    modules = [module for model in models for module in model.modules()]
    parameters = [parameter for model in models for parameter in model.parameters()]
    needed = [parameter.requires_grad for parameter in parameters]
    states = [copy.deepcopy(model.state_dict()) for model in models]
    trained.examine()
    assert {module.training for module in modules} == {is_training}
    assert all(parameter.grad is None for parameter in parameters)
    assert [parameter.requires_grad for parameter in parameters] == needed
    for model, state in zip(models, states, strict=True):
        for name, value in model.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_the_test_part_is_only_read(trained):
    before = trained.test.inputs.clone(), trained.test.labels.clone()
    trained.examine()
    assert torch.equal(trained.test.inputs, before[0])
    assert torch.equal(trained.test.labels, before[1])


def test_the_averaged_model_is_examined():
    trained = Trained("image")
    expected = trained.examine()
    with torch.no_grad():
        for parameter in trained.training.model.parameters():
            parameter.fill_(torch.nan)  # what no other model would survive
    assert trained.examine() == expected


@dataclasses.dataclass(frozen=True)
class SecondOfTwo(Ranks):
    """A rank that is given the other's logits without waiting for it."""

    def share(self, num_samples):
        return slice(num_samples)

    def gather(self, rows, num_samples):
        return rows


def test_other_ranks_share_the_scores_alone(images):
    found = images.examine(SecondOfTwo(1, 2, CPU, None))
    assert found["scores"] == images.examine()["scores"]
    assert found["robustness"] == found["attributions"] == []
