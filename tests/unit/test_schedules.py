import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.schedules import cosine_with_warmup, learning_rate
from trainables.trial_config import SCHEDULES, TrialConfig

BASE_RATE = 0.4


def rates(schedule, num_epochs=5, steps_per_epoch=20, **values):
    config = TrialConfig(
        schedule=schedule, learning_rate=BASE_RATE, num_epochs=num_epochs, **values
    )
    num_steps = num_epochs * steps_per_epoch
    return [learning_rate(config, step, steps_per_epoch) for step in range(num_steps)]


def torch_rates(make_scheduler, num_steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=BASE_RATE)
    scheduler = make_scheduler(optimizer)
    seen = []
    for _ in range(num_steps):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return seen


# Torch's rates are those at the start of a step. With twice as many steps, its odd ones begin in
# the middle of ours.


def test_cosine_is_that_of_torch():
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 200), 200)
    assert rates("cosine") == pytest.approx(theirs[1::2], rel=1e-6)


def test_one_cycle_rises_and_falls_as_that_of_torch():
    def one_cycle(anneal_strategy):
        # Torch ends a phase one step early: this puts the top at 60 of 200 steps.
        return torch_rates(
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, BASE_RATE, total_steps=201, pct_start=61 / 201, anneal_strategy=anneal_strategy
            ),
            200,
        )[1::2]

    expected = one_cycle("linear")[:30] + one_cycle("cos")[30:]
    assert rates("one_cycle") == pytest.approx(expected, rel=1e-6)


def test_step_is_that_of_torch():
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [50, 75]), 100)
    assert rates("step") == pytest.approx(theirs)


def test_constant_is_constant():
    assert set(rates("constant")) == {BASE_RATE}


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_warm_up_is_linear(schedule):
    warm = rates(schedule, warmup_epochs=0.5)[:10]
    assert warm == pytest.approx([BASE_RATE * (step + 0.5) / 10 for step in range(10)])


@pytest.mark.parametrize("schedule", ["step", "constant"])
def test_after_the_warm_up_comes_the_schedule(schedule):
    assert rates(schedule, warmup_epochs=1)[20:] == rates(schedule)[20:]


@given(
    schedule=st.sampled_from(SCHEDULES),
    num_epochs=st.integers(1, 4),
    steps_per_epoch=st.integers(1, 9),
    warmup_fraction=st.floats(0, 1),
)
def test_rates_are_never_zero_nor_above_the_top(
    schedule, num_epochs, steps_per_epoch, warmup_fraction
):
    warmup = 0.0 if schedule == "one_cycle" else warmup_fraction * num_epochs
    config = TrialConfig(schedule=schedule, num_epochs=num_epochs, warmup_epochs=warmup)
    num_steps = num_epochs * steps_per_epoch
    seen = [learning_rate(config, step, steps_per_epoch) for step in range(num_steps)]
    assert all(0 < rate <= config.learning_rate for rate in seen)
    assert learning_rate(config, num_steps + 7, steps_per_epoch) == seen[-1]


def test_cosine_rises_then_falls_to_nothing():
    seen = [cosine_with_warmup(step, 100, 10, 2.0) for step in range(100)]
    assert seen[:10] == sorted(seen[:10])
    assert seen[10:] == sorted(seen[10:], reverse=True)
    assert seen[0] == pytest.approx(0.1)
    assert max(seen) == pytest.approx(2.0, rel=1e-3)
    assert 0 < seen[-1] < 0.001
    assert cosine_with_warmup(500, 100, 10, 2.0) == seen[-1]


def test_a_cosine_of_warm_up_alone():
    assert [cosine_with_warmup(step, 2, 2, 1.0) for step in range(2)] == [0.25, 0.75]
