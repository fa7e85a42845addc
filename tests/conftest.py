"""Puts this folder on the import path, so that every test can `import fake_run`."""

import os
import sys
import tempfile
from pathlib import Path

from hypothesis import settings

from trainables.latency.nominal import Nominal, keep_nominal

# Pytest puts the parent of the topmost package there, which is the repository's root.
sys.path.insert(0, str(Path(__file__).parent))

# What is measured of this host here stays out of the user's cache.
_cache = tempfile.TemporaryDirectory(prefix="paretune-cache-")
os.environ["XDG_CACHE_HOME"] = _cache.name
# Quiet times that every host exceeds, or all measuring here would begin with waiting for its own.
keep_nominal(Nominal(1e-3, 1.5e-3), 1)

# The same examples in every run, and no test fails because the machine is busy.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="run what takes minutes too, and all kills"
    )


def pytest_collection_modifyitems(config, items):
    """Without --long, leave out what CI has no time for."""
    if config.getoption("--long"):
        return
    left_out = [
        item
        for item in items
        if item.get_closest_marker("chaos") or item.get_closest_marker("long")
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
