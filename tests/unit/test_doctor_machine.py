import pytest

from sweeps.doctor import machine
from sweeps.doctor.finding import Finding, num_faults
from sweeps.doctor.machine import (
    MAX_SOCKET_PATH_BYTES,
    SESSION_PATH_BYTES,
    NodeReport,
    check_authentication,
    check_clocks,
    check_disk,
    check_open_files,
    check_ports,
    check_shared_memory,
    check_temporary_folder,
    check_versions,
)

GB = 10**9
OWN = {"torch": "2.11", "ray": "2.60"}


def node(name="10.0.0.1", offset_s=0.0, error_s=0.01, **versions):
    return NodeReport(name, {**OWN, **versions}, offset_s, error_s, GB)


def test_a_finding_is_one_line_whatever_is_in_it():
    finding = Finding("fault", "config", "a\nb\x1b[31m\tc", "look")
    assert str(finding) == "fault    config: a b?[31m c; look"
    assert str(Finding("ok", "gangs", "2 x 2")) == "ok       gangs: 2 x 2"
    assert num_faults([finding, Finding("warning", "a", "b")]) == 1


@pytest.mark.parametrize(
    ("free", "expected", "level"), [(1, 2, "fault"), (3, 2, "warning"), (4, 2, "ok"), (0, 0, "ok")]
)
def test_free_space_against_what_will_be_filled(free, expected, level):
    for check in (check_disk, check_shared_memory):
        finding = check(free * GB, expected * GB, "/data")
        assert finding.level == level
        assert f"{free} GB free" in finding.value
        assert bool(finding.next_step) == (level != "ok")


@pytest.mark.parametrize(
    ("num_ports", "can_listen", "level"),
    [(28_000, True, "ok"), (100, True, "warning"), (28_000, False, "fault")],
)
def test_ports(num_ports, can_listen, level):
    assert check_ports(num_ports, can_listen, "10.0.0.1").level == level


def test_a_long_temporary_folder_cuts_rays_sockets_off():
    longest = "/" + "x" * (MAX_SOCKET_PATH_BYTES - SESSION_PATH_BYTES - 1)
    assert check_temporary_folder("/tmp").level == "ok"
    assert check_temporary_folder(longest).level == "ok"
    finding = check_temporary_folder(longest + "x")
    assert finding.level == "fault"
    assert "set TMPDIR" in finding.next_step


@pytest.mark.parametrize(
    ("mode", "level"), [(None, "ok"), ("token", "ok"), ("TOKEN", "ok"), ("disabled", "warning")]
)
def test_authentication_that_was_turned_off(mode, level):
    assert check_authentication(mode).level == level


def test_few_open_files():
    assert check_open_files(machine.MIN_OPEN_FILES).level == "ok"
    assert check_open_files(1024).level == "warning"


def test_other_versions_on_a_node():
    assert [f.level for f in check_versions([node(), node("10.0.0.2")], OWN)] == ["ok"]
    (finding,) = check_versions([node(), node("10.0.0.2", torch="2.10", ray=None)], OWN)
    assert finding.level == "fault"
    assert finding.value == "ray none on 10.0.0.2, 2.60 here, torch 2.10 on 10.0.0.2, 2.11 here"


@pytest.mark.parametrize(
    ("offset_s", "error_s", "level"),
    [(0.2, 0.01, "ok"), (-3.0, 0.01, "warning"), (-3.0, 2.5, "ok"), (3600.0, 0.01, "fault")],
)
def test_clocks_apart_by_more_than_is_known_of_them(offset_s, error_s, level):
    (finding,) = check_clocks([node(), node("10.0.0.2", offset_s, error_s)])
    assert finding.level == level
    if level != "ok":
        assert f"10.0.0.2 is {offset_s:+.1f} s from here" in finding.value
