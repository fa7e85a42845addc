import json
import math

import pytest

from trainables.errors import InputError
from trainables.latency import nominal
from trainables.latency.host import device_name
from trainables.latency.nominal import Nominal, keep_nominal, nominal_path, read_nominal

FIRST, SECOND = Nominal(0.7, 1.1), Nominal(0.6, 1.0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_the_first_times_that_are_kept_prevail():
    assert read_nominal(1) is None
    assert keep_nominal(FIRST, 1) == FIRST
    assert keep_nominal(SECOND, 1) == FIRST
    assert read_nominal(1) == FIRST
    assert json.loads(nominal_path(1).read_text())["device"] == device_name()


def test_of_two_at_once_the_first_prevails(monkeypatch):
    keep_nominal(FIRST, 1)
    # As seen by a process that looked before the other had written.
    monkeypatch.setattr(type(nominal_path(1)), "exists", lambda path: False)
    assert keep_nominal(SECOND, 1) == FIRST


@pytest.mark.parametrize("name", ["device_name", "torch_version"])
def test_what_the_times_depend_on_has_times_of_its_own(name, monkeypatch):
    keep_nominal(FIRST, 1)
    assert read_nominal(2) is None
    monkeypatch.setattr(nominal, name, lambda *_: "other")
    assert read_nominal(1) is None


def test_no_part_of_a_file_is_left(folder):
    keep_nominal(FIRST, 1)
    assert list((folder / "paretune").iterdir()) == [nominal_path(1)]


def test_a_folder_that_cannot_be_written_is_refused(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    with pytest.raises(InputError, match="XDG_CACHE_HOME must be a folder that can be written"):
        keep_nominal(FIRST, 1)


def test_the_mean_of_both_times_is_geometric():
    assert Nominal(0.5, 2.0).mean_ms == math.sqrt(0.5 * 2.0)
