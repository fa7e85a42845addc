"""Population-based training through Tune's own controller, in virtual time."""

import numpy as np
import pytest
from ray.tune.schedulers import FIFOScheduler

from analysis.hypervolume import hypervolume
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.simulate.path_dependent import (
    OBJECTIVES,
    REFERENCE,
    SPACE,
    losses_of,
    run_population,
)

SIZE, NUM_EPOCHS = 12, 40


def train(quorum_fraction=None, *, seed=0, is_exploiting=True):
    def make(on_exploit):
        if not is_exploiting:
            return FIFOScheduler()
        explore = Explore(SPACE, seed, 0.2, used=lambda space, config: space)
        options = PopulationOptions(4, NUM_EPOCHS, quorum_fraction=quorum_fraction)
        return TuneAdapter(MoPbt(OBJECTIVES, explore, options, seed), on_exploit=on_exploit)

    return run_population(make, size=SIZE, num_epochs=NUM_EPOCHS, seed=seed)


@pytest.mark.parametrize("quorum_fraction", [None, 0.5, 1.0])
def test_members_go_on_from_the_weights_of_others_and_all_end(quorum_fraction):
    run = train(quorum_fraction)
    assert run.num_exploits > 5
    assert run == train(quorum_fraction)
    # Nothing but a donor's weights takes a member from far away to where it reports next.
    assert len(run.points) >= SIZE * NUM_EPOCHS


@pytest.mark.parametrize("quorum_fraction", [None, 1.0])
def test_exploiting_reaches_more_than_training_alone(quorum_fraction):
    def volumes(**options):
        runs = [train(seed=seed, **options) for seed in range(3)]
        return [hypervolume(losses_of(run, NUM_EPOCHS * 2.0), REFERENCE) for run in runs]

    with_exploits = volumes(quorum_fraction=quorum_fraction)
    alone = volumes(is_exploiting=False)
    assert np.median(with_exploits) > np.median(alone)
