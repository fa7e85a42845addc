import json
import math

import numpy as np

from sweeps.searchers.fidelity import on_full_scale
from sweeps.searchers.observations import Observation, Observations, Rows, parse, plain

MAX_EPOCHS = 27


def seen(*rows):
    observations = Observations()
    for candidate, epoch, loss in rows:
        observations.add(Observation(candidate, epoch, loss, math.nan))
    return observations


def test_a_trial_that_ended_by_itself_said_what_it_comes_to():
    observations = seen((0, 1, 0.9), (0, 5, 0.5), (1, 1, 0.8), (1, 27, 0.4), (2, 1, 0.7))
    assert observations.end(0) == Observation(0, 5, 0.5, observations.end(0).seconds, True)
    assert observations.end(9) is None
    rows = Rows.of(observations.all())
    assert rows.is_full(MAX_EPOCHS).tolist() == [False, True, False, True, False]
    scaled = on_full_scale(rows, MAX_EPOCHS)
    np.testing.assert_array_equal(scaled[[1, 3]], [0.5, 0.4])
    assert (scaled[[0, 2, 4]] < 0.7).all()  # what is said early is put on the scale of the end


def test_a_state_keeps_who_ended():
    observations = seen((0, 1, 0.9), (1, 1, 0.8))
    observations.end(0)
    again = Observations()
    again.load(json.loads(json.dumps(observations.state())))
    assert plain(again.all()) == plain(observations.all())
    assert [one.is_whole for one in parse(again.state())] == [True, False]
