"""Puts this folder on the import path, so that every test can `import fake_run`."""

import sys
from pathlib import Path

from hypothesis import settings

# Pytest puts the parent of the topmost package there, which is the repository's root.
sys.path.insert(0, str(Path(__file__).parent))

# The same examples in every run, and no test fails because the machine is busy.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
