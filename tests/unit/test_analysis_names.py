"""The public names of `analysis`: what notebooks are written with."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import analysis

ROOT = Path(__file__).parents[2]
MODULES = sorted(info.name for info in pkgutil.walk_packages(analysis.__path__, "analysis."))


def test_public_names_are_there_and_live_where_they_say():
    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
    assert set(analysis.__all__) <= set(dir(analysis))
    with pytest.raises(AttributeError, match="no attribute 'speed'"):
        _ = analysis.speed


def test_no_public_name_is_a_module_too():
    """Importing that module would hide the function."""
    assert not {f"analysis.{name}" for name in analysis.__all__} & set(MODULES)


def test_import_alone_loads_nothing_heavy():
    program = "import sys, analysis; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {
        "numpy", "pyarrow", "matplotlib", "plotly", "optuna", "sklearn", "moocore",
    }  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_hold(module):
    if module == "analysis.figures":
        pytest.importorskip("plotly")
    assert doctest.testmod(importlib.import_module(module)).failed == 0
