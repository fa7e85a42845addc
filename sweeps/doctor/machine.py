"""The machine and the cluster before a sweep starts: checks of values that others have found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sweeps.doctor.finding import Finding, Level

MAX_CLOCK_OFFSET_S: Final = 1.0
"""Between two nodes; times of several nodes stand beside one another in `results.parquet`."""

MIN_PORTS: Final = 1000
"""Free for a cluster: some tens a node and a few a process."""

MAX_SOCKET_PATH_BYTES: Final = 107
"""Of a Unix socket (man 7 unix); Ray's lie deep in its session folder."""

SESSION_PATH_BYTES: Final = len(
    "/paretune-xxxxxxxx/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
)

MIN_OPEN_FILES: Final = 4096


@dataclass(frozen=True)
class NodeReport:
    """What a node says of itself.

    Attributes:
        name: its address.
        versions: of the packages that a sweep needs, by name; None where it is not installed.
        clock_offset_s: of its clock from the driver's.
        clock_error_s: half the time that asking took: the offset is known no better.
        shm_free_bytes: of its shared memory.
    """

    name: str
    versions: Mapping[str, str | None]
    clock_offset_s: float
    clock_error_s: float
    shm_free_bytes: int


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.3g} GB"


def check_disk(free_bytes: int, expected_bytes: int, where: str) -> Finding:
    """Hold the free disk against what the checkpoints are expected to take."""
    value = f"{_gb(free_bytes)} free in {where}, checkpoints take about {_gb(expected_bytes)}"
    if free_bytes < expected_bytes:
        step = "free some, give another --storage, or a --checkpoint-quota-gb"
        return Finding("fault", "disk", value, step)
    if free_bytes < 2 * expected_bytes:
        return Finding("warning", "disk", value, "leave as much again for others and for logs")
    return Finding("ok", "disk", value)


def check_shared_memory(free_bytes: int, data_bytes: int, where: str = "this machine") -> Finding:
    """Hold the shared memory, where Ray keeps the data for all workers of a node, against them."""
    value = f"{_gb(free_bytes)} free in /dev/shm of {where}, the data are {_gb(data_bytes)}"
    if free_bytes < data_bytes:
        step = "enlarge it (docker run --shm-size), or Ray goes to the disk and is slow"
        return Finding("fault", "shared memory", value, step)
    if free_bytes < 2 * data_bytes:
        return Finding("warning", "shared memory", value, "give Ray room for more than the data")
    return Finding("ok", "shared memory", value)


def check_ports(num_ephemeral: int, can_listen: bool, host: str) -> Finding:
    """Check that processes of a cluster can find ports, and reach one another by the host's name.

    Args:
        num_ephemeral: ports that the system gives out.
        can_listen: whether one could be opened, and connected to, at the host's address.
        host: that address.
    """
    if not can_listen:
        step = "look at the firewall and /etc/hosts: Ray's processes meet at that address"
        return Finding("fault", "ports", f"none could be opened and reached at {host}", step)
    value = f"{num_ephemeral} to choose from, reached at {host}"
    if num_ephemeral < MIN_PORTS:
        return Finding("warning", "ports", value, "widen net.ipv4.ip_local_port_range")
    return Finding("ok", "ports", value)


def check_temporary_folder(path: str) -> Finding:
    """Check that the paths of Ray's sockets, in the temporary folder, are not too long."""
    length = len(path.encode()) + SESSION_PATH_BYTES
    value = f"{path}, which gives socket paths of {length} bytes"
    if length > MAX_SOCKET_PATH_BYTES:
        step = f"set TMPDIR to a path of at most {MAX_SOCKET_PATH_BYTES - SESSION_PATH_BYTES} bytes"
        return Finding("fault", "temporary folder", value, step)
    return Finding("ok", "temporary folder", value)


def check_open_files(limit: int) -> Finding:
    """Check the limit of open files: a cluster holds some dozens a worker."""
    if limit < MIN_OPEN_FILES:
        return Finding("warning", "open files", f"at most {limit}", f"ulimit -n {MIN_OPEN_FILES}")
    return Finding("ok", "open files", f"at most {limit}")


def check_authentication(mode: str | None) -> Finding:
    """Check that a cluster started here asks for its token.

    Args:
        mode: RAY_AUTH_MODE in the environment; None: Ray's default, which is on.
    """
    if mode is not None and mode.lower() != "token":
        step = "unset RAY_AUTH_MODE: who reaches its ports runs code as you"
        return Finding("warning", "authentication", f"RAY_AUTH_MODE={mode}", step)
    return Finding("ok", "authentication", "Ray asks for its token")


def check_versions(nodes: list[NodeReport], own: Mapping[str, str | None]) -> list[Finding]:
    """Hold every node's versions against the driver's: weights and pickles travel between them."""
    findings = []
    for node in nodes:
        others = sorted(name for name in own if node.versions.get(name) != own[name])
        if others:
            value = ", ".join(
                f"{name} {node.versions.get(name) or 'none'} on {node.name}, {own[name]} here"
                for name in others
            )
            findings.append(Finding("fault", "versions", value, "install the same on all nodes"))
    equal = f"{len(nodes)} nodes have this machine's"
    return findings or [Finding("ok", "versions", equal)]


def check_clocks(nodes: list[NodeReport]) -> list[Finding]:
    """Hold every node's clock against the driver's."""
    findings = []
    for node in nodes:
        # What is left when all of the uncertainty is taken in its favour.
        offset_s = max(0.0, abs(node.clock_offset_s) - node.clock_error_s)
        if offset_s > MAX_CLOCK_OFFSET_S:
            level: Level = "fault" if offset_s > 60 * MAX_CLOCK_OFFSET_S else "warning"
            value = f"{node.name} is {node.clock_offset_s:+.1f} s from here"
            findings.append(Finding(level, "clock", value, "start chrony or ntpd on it"))
    most_s = max((abs(node.clock_offset_s) for node in nodes), default=0.0)
    equal = f"{len(nodes)} nodes are within {most_s:.2f} s"
    return findings or [Finding("ok", "clocks", equal)]
