import numpy as np
import pytest
from fake_run import fake_trial, write_run

from analysis.importance import MAX_TRIALS, find_importance
from analysis.load import load_run
from analysis.records import Objective

ACCURACY = Objective("val_accuracy", "max")

pytest.importorskip("optuna")


@pytest.fixture
def make_run(tmp_path):
    return lambda trials: load_run(write_run(tmp_path / "run", trials, results=[]))


def configs(count):
    generator = np.random.default_rng(0)
    return [
        {
            "learning_rate": float(10 ** generator.uniform(-4, 0)),
            "model": str(generator.choice(["resnet", "vit"])),
            "momentum": float(generator.random()),
            "nesterov": bool(generator.integers(2)),
            "depth": None if generator.random() < 0.5 else [1, 2],
            "fixed": 7,
        }
        | ({"patch": int(generator.integers(2, 9))} if generator.random() < 0.5 else {})
        for _ in range(count)
    ]


def trials(given, accuracy):
    return [
        fake_trial(f"t{i}", config=config, val_accuracy=accuracy(config), epoch=0)
        for i, config in enumerate(given)
    ]


def test_what_decides_is_found_among_all_kinds_of_hyperparameters(make_run):
    def accuracy(config):
        return 0.5 + 0.1 * np.log10(config["learning_rate"]) + 0.3 * (config["model"] == "vit")

    found = find_importance(make_run(trials(configs(120), accuracy)), ACCURACY)
    assert set(found.fractions) == {
        "learning_rate", "model", "momentum", "nesterov", "depth", "patch",
    }  # fmt: skip
    # Variances: 0.01 x 16 / 12 and 0.09 / 4.
    assert list(found.fractions)[:2] == ["model", "learning_rate"]
    assert found.fractions["model"] == pytest.approx(0.0225 / 0.0358, abs=0.12)
    assert found.fractions["learning_rate"] == pytest.approx(0.0133 / 0.0358, abs=0.12)
    assert found.chance_fraction < 0.05
    assert found.explained_fraction > 0.9
    assert found.num_trials == 120


def test_of_noise_nothing_stands_out_from_chance(make_run):
    generator = np.random.default_rng(1)
    found = find_importance(
        make_run(trials(configs(60), lambda _: float(generator.random()))), ACCURACY
    )
    assert found.chance_fraction > 0.05
    assert found.explained_fraction < 0.1


def test_the_same_seed_tells_the_same_and_many_trials_are_drawn_from(make_run):
    run = make_run(trials(configs(MAX_TRIALS + 20), lambda config: config["momentum"]))
    first, second = (find_importance(run, ACCURACY, seed=3) for _ in range(2))
    assert first == second
    assert first.num_trials == MAX_TRIALS
    assert next(iter(first.fractions)) == "momentum"


def test_too_little_to_tell_is_said(make_run):
    few = make_run(trials(configs(9), lambda config: config["momentum"]))
    with pytest.raises(ValueError, match=r"ranked trials must be >= 10 .* got 9"):
        find_importance(few, ACCURACY)
    same = make_run(trials([{"width": 8}] * 12, lambda _: 0.5))
    with pytest.raises(ValueError, match="configs must differ"):
        find_importance(same, ACCURACY)
    flat = make_run(trials(configs(12), lambda _: 0.5))
    with pytest.raises(ValueError, match=r"val_accuracy must differ .* got 0\.5 in all"):
        find_importance(flat, ACCURACY)
