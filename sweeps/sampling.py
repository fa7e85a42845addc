"""Which config a sweep's trial number `index` gets: random, on a grid, or quasi-random."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sweeps.combinations import build_config, combinations, count_combinations, used_domains
from sweeps.domains import Domain, Space
from trainables.errors import InputError
from trainables.task import Task
from trainables.trial_config import CONDITIONS, TrialConfig

SamplerName = Literal["random", "grid", "quasi_random"]

GRID_POINTS: Final = 3
"""Of each number in a grid: its bounds and the middle. Whoever wants others lists a Choice."""

MAX_GRID_CONFIGS: Final = 10_000

MAX_DRAWS: Final = 100
"""Draws for one trial before a space is called one that holds (almost) nothing."""


@dataclass(frozen=True)
class Sampler:
    """The configs of a sweep; each depends on these fields and its index alone.

    Combinations that can't be built (heads that don't divide the width) are left out of a grid,
    and drawn again by the others.

    Attributes:
        name: `random`; `quasi_random`: scrambled Sobol points (Owen 1998), which spread more
            evenly; `grid`: every combination, in an order shuffled by the seed, so that a sweep
            of fewer trials still covers all parts of it.
        space: what varies; `validate_space` has passed it.
        fixed: fields that don't; overridden by the space.
        task: what the models must fit.
        seed: of the sweep; each trial's own seed is derived from it.

    Raises:
        InputError: if there is no such sampler.
    """

    name: SamplerName
    space: Space
    fixed: Mapping[str, Any]
    task: Task
    seed: int

    def __post_init__(self) -> None:
        names = get_args(SamplerName)
        if self.name not in names:
            raise InputError(
                f"a sampler must be one of {', '.join(names)}, got {self.name!r}; choose one"
            )

    @property
    def num_configs(self) -> int | None:
        """Number of configs there are; None: as many as are drawn.

        Raises:
            InputError: as `draw`.
        """
        return len(self._grid) if self.name == "grid" else None

    def draw(self, index: int) -> TrialConfig:
        """Return the config of a trial.

        Args:
            index: >= 0.

        Raises:
            InputError: if a grid has more than `MAX_GRID_CONFIGS` points, none that can be built,
                or ends before the index; or if no draw in `MAX_DRAWS` can be built.
        """
        trial_seed, generator = trial_stream(self.seed, index)
        if self.name == "grid":
            values = self._grid_values(index)
            return build_config({**values, "seed": trial_seed}, self.task)
        fixed = {**self.fixed, "seed": trial_seed}
        if self.name == "random":
            points = _random_points(len(self.space), generator)
        else:
            points = _sobol_points(len(self.space), self.seed, index)
        return self._first_fitting(points, fixed)

    def _first_fitting(
        self, points: Iterable[NDArray[np.float64]], fixed: Mapping[str, Any]
    ) -> TrialConfig:
        for point in itertools.islice(points, MAX_DRAWS):
            try:
                return build_config(_values_at(point, self.space, fixed), self.task)
            except InputError as error:
                reason = error
        raise InputError(
            f"a space must hold combinations that can be built, got {MAX_DRAWS} draws that can't, "
            f"the last because {reason}"
        )

    def _grid_values(self, index: int) -> Mapping[str, Any]:
        if index >= len(self._grid):
            raise InputError(
                f"a grid's trials must be <= {len(self._grid)}, got {index + 1}; "
                "run fewer, list more values, or choose another sampler"
            )
        return self._grid[index]

    @cached_property
    def _grid(self) -> list[dict[str, Any]]:
        num_points = count_combinations(self.space, self.fixed, GRID_POINTS)
        if num_points > MAX_GRID_CONFIGS:
            raise InputError(
                f"a grid must be <= {MAX_GRID_CONFIGS} points, got {num_points} "
                f"({GRID_POINTS} of each number); vary less or choose another sampler"
            )
        fitting: list[dict[str, Any]] = []
        for values in combinations(self.space, self.fixed, GRID_POINTS):
            try:
                build_config(values, self.task)
            except InputError as error:
                reason = error
            else:
                fitting.append(values)
        if not fitting:
            raise reason
        order = np.random.default_rng(self.seed).permutation(len(fitting))
        return [fitting[position] for position in order]


def sample_config(
    space: Space, fixed: Mapping[str, Any], task: Task, seed: int, index: int
) -> TrialConfig:
    """Draw the random config of a sweep's trial number `index`; see `Sampler`."""
    return Sampler("random", space, fixed, task, seed).draw(index)


def trial_stream(seed: int, index: int) -> tuple[int, np.random.Generator]:
    """Return the seed of a sweep's trial number `index`, and the generator of its config."""
    generator = np.random.default_rng((seed, index))
    return int(generator.integers(2**31)), generator


def choose_values(
    space: Space, fixed: Mapping[str, Any], choose: Callable[[str, Domain], Any]
) -> dict[str, Any]:
    """Return a combination of a space, whether it can be built or not.

    Args:
        space: what varies.
        fixed: fields that don't; overridden by the space.
        choose: returns the value of a field from the domain that holds for it; asked first for
            what others depend on, and for that twice.
    """
    values = dict(fixed)
    conditions = {name: space[name] for name in CONDITIONS if name in space}
    for part in (conditions, space):  # which domains hold for the others depends on these
        for name, domain in used_domains(part, values).items():
            values[name] = choose(name, domain)
    return values


def _values_at(
    point: NDArray[np.float64], space: Space, fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the combination at a point of the unit cube, whose axes are the sorted names."""
    fractions = dict(zip(sorted(space), point.tolist(), strict=True))
    return choose_values(space, fixed, lambda name, domain: domain.at(fractions[name]))


def _random_points(
    num_dimensions: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    while True:
        yield generator.random(num_dimensions)


def _sobol_points(num_dimensions: int, seed: int, index: int) -> Iterator[NDArray[np.float64]]:
    """Yield point number `index` of one scrambled sequence after another.

    So a trial that is drawn again takes no other trial's point, and needs to know of none.
    """
    from scipy.stats import qmc  # here, because it takes a second to import

    for attempt in itertools.count():
        generator = np.random.default_rng((seed, attempt))
        engine = qmc.Sobol(max(1, num_dimensions), rng=generator)  # SciPy refuses 0
        if index:
            engine.fast_forward(index)
        yield engine.random(1)[0, :num_dimensions]
