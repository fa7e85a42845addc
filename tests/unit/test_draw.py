import pytest
from sample_latency import make_figure
from sample_sweep import make_plan

from sweeps.draw import MAX_DRAWS_PER_TRIAL, draw_trials, tell_refusals
from sweeps.slo import Refusal
from trainables.errors import InputError

TOO_SLOW = Refusal("too slow", make_figure())


def accept(config):
    return None


def refuse_wide(config):
    return TOO_SLOW if config.width > 8 else None


@pytest.mark.parametrize("scheduler", ["fifo", "asha", "pbt"])
def test_the_same_seed_draws_the_same_trials(scheduler):
    plan = make_plan(scheduler=scheduler, trials=10, seed=4)
    trials = draw_trials(plan, accept)
    assert trials == draw_trials(plan, accept)
    assert [trial.trial_id for trial in trials] == [f"trial_{i:04d}" for i in range(10)]
    assert len({trial.config for trial in trials}) == 10
    assert all(trial.refusal is None for trial in trials)


def test_another_seed_draws_others():
    drawn = [draw_trials(make_plan(trials=5, seed=seed), accept) for seed in (0, 1)]
    assert not {trial.config for trial in drawn[0]} & {trial.config for trial in drawn[1]}


def test_more_trials_only_add_to_fewer():
    few, many = (draw_trials(make_plan(trials=num), accept) for num in (4, 9))
    assert many[:4] == few


@pytest.mark.parametrize("scheduler", ["fifo", "asha"])
def test_a_refused_config_takes_one_of_the_trials(scheduler):
    trials = draw_trials(make_plan(scheduler=scheduler, trials=12), refuse_wide)
    assert len(trials) == 12
    assert {trial.refusal for trial in trials} == {None, TOO_SLOW}
    for trial in trials:
        assert trial.refusal == refuse_wide(trial.config)


def test_a_population_is_filled_up_past_the_refused():
    trials = draw_trials(make_plan(scheduler="pbt", trials=6), refuse_wide)
    assert sum(trial.refusal is None for trial in trials) == 6
    assert len(trials) > 6
    assert trials[-1].refusal is None  # and no further
    assert len({trial.trial_id for trial in trials}) == len(trials)


def test_a_population_that_cannot_be_filled_is_refused():
    asked = []

    def refuse(config):
        asked.append(config)
        return TOO_SLOW

    with pytest.raises(InputError, match="got 3 with 0 of 150 draws accepted; raise the SLO"):
        draw_trials(make_plan(scheduler="pbt", trials=3), refuse)
    assert len(asked) == 3 * MAX_DRAWS_PER_TRIAL


def test_a_sweep_in_which_everything_is_refused_is_still_drawn():
    trials = draw_trials(make_plan(trials=3), lambda config: TOO_SLOW)
    assert [trial.refusal for trial in trials] == [TOO_SLOW] * 3


def test_a_listener_hears_of_the_refused_and_of_no_other():
    heard = {}

    class Listener:
        def on_refuse(self, trial_id, refusal):
            heard[trial_id] = refusal

    trials = draw_trials(make_plan(trials=12), refuse_wide)
    tell_refusals(trials, Listener())
    assert heard == {t.trial_id: TOO_SLOW for t in trials if t.refusal is not None}
    assert 0 < len(heard) < 12
