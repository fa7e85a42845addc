"""analysis opens in a notebook on a laptop: neither Ray nor Torch, nor the rest of our code."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "analysis").rglob("[!_]*.py")
)
FORBIDDEN = ("ray", "torch", "torchvision", "sweeps", "trainables")

PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_modules_are_found():
    assert {"analysis.report", "analysis.page.document"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_stay_light(module):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "analysis" in loaded
    assert not set(loaded) & set(FORBIDDEN)
    # pyplot keeps global state and picks a window system.
    assert module != "analysis.plots" or "matplotlib" in loaded


def test_plots_need_no_pyplot():
    program = "import sys, analysis.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
