"""Looks at this machine: what the checks of `machine` are given."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import pyarrow as pa

from sweeps.doctor.finding import Finding
from sweeps.doctor.machine import (
    check_authentication,
    check_open_files,
    check_ports,
    check_shared_memory,
    check_temporary_folder,
)
from trainables.checkpoint_store import open_location

PACKAGES: Final = ("paretune", "ray", "torch", "torchvision", "numpy", "pyarrow")

_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def own_versions() -> dict[str, str | None]:
    """Return the versions of what travels between nodes, or nodes must agree on."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        versions[name] = None
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def shm_free_bytes() -> int:
    """Return the free shared memory."""
    return shutil.disk_usage("/dev/shm").free


def disk_free_bytes(path: Path) -> int:
    """Return the free bytes of the disk on which a path lies, or will."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def examine_machine(data_bytes: int) -> list[Finding]:
    """Look at ports, shared memory, the temporary folder, open files and Ray's authentication.

    Args:
        data_bytes: that every node's workers share.
    """
    import resource

    host = _own_address()
    return [
        check_shared_memory(shm_free_bytes(), data_bytes),
        check_ports(_num_ephemeral(), _can_listen(host), host),
        check_temporary_folder(tempfile.gettempdir()),
        check_authentication(os.environ.get("RAY_AUTH_MODE")),
        check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ]


def examine_storage(storage: str) -> Finding:
    """Write a small file where checkpoints will go, read it, and delete it."""
    try:
        filesystem, path = open_location(storage)
        name = f"{path}/.paretune-{uuid.uuid4().hex}"
        filesystem.create_dir(path, recursive=True)
        with filesystem.open_output_stream(name) as stream:
            stream.write(b"paretune")
        with filesystem.open_input_file(name) as file:
            content = file.read()
        filesystem.delete_file(name)
    except (OSError, ValueError, pa.ArrowException) as error:
        line = str(error).strip().partition("\n")[0]
        step = "check the address, the rights and the credentials (AWS_... in the environment)"
        return Finding("fault", "storage", f"{storage} can't be used: {line}", step)
    if content != b"paretune":
        return Finding("fault", "storage", f"{storage} gave back something else", "give another")
    return Finding("ok", "storage", f"{storage} can be written, read and cleaned")


def _own_address() -> str:
    """Return the address at which other processes of a cluster find this machine, as Ray does."""
    import ray

    return str(ray.util.get_node_ip_address())


def _num_ephemeral() -> int:
    low, high = (int(word) for word in _PORT_RANGE.read_text().split())
    return high - low + 1


def _can_listen(host: str) -> bool:
    try:
        with socket.create_server((host, 0)) as server:
            socket.create_connection((host, server.getsockname()[1]), timeout=2).close()
    except OSError:
        return False
    return os.access(tempfile.gettempdir(), os.W_OK)
