"""Puts this folder on the import path, so that every test can `import fake_run`."""

import sys
from pathlib import Path

# Pytest puts the parent of the topmost package there, which is the repository's root.
sys.path.insert(0, str(Path(__file__).parent))
