"""Hosts on one machine: namespaces on a bridge, each with its own sshd and its own folders.

Must run inside mount, network and process namespaces of its own, as scripts/cluster-test does:
nothing here is undone, it goes with those.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KEEP: Final = Path("/mnt/keep")
"""Folders that a mount over /tmp could hide: the environment and the repository."""
KEYS: Final = Path("/mnt/keys")
SHARED: Final = Path("/mnt/shared")
"""The same folder on all hosts, as an NFS mount would be."""
HOME: Final = Path("/mnt/home")
OWN_FOLDERS: Final = ("/tmp", "/run", "/dev/shm", str(HOME))
NETWORK: Final = "10.77.0"

_SSHD: Final = """\
HostKey {keys}/host
AuthorizedKeysFile {keys}/id.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PrintMotd no
PidFile none
"""

# An environment of one's own on top of the one that is there: installing changes no other's.
_OVERLAY: Final = f"""\
mkdir /run/upper /run/work
mount -t overlay -o lowerdir={KEEP}/environment,upperdir=/run/upper,workdir=/run/work \\
    own {sys.prefix}
"""


@dataclass(frozen=True)
class Host:
    """A host that can be reached by SSH.

    Attributes:
        name: of the host, and of the bridge's end of its link.
        address: on the bridge.
    """

    name: str
    address: str

    def ssh(self, command: str) -> list[str]:
        """Return the command that runs another in a login shell there."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        flags = [part for option in options for part in ("-o", option)]
        target = f"root@{self.address}"
        return ["ssh", "-i", str(KEYS / "id"), *flags, target, f"bash -lc {shlex.quote(command)}"]

    def cut(self) -> None:
        """Take the link away: what is sent gets lost, and nobody is told."""
        _run("ip", "link", "set", self.name, "nomaster")

    def heal(self) -> None:
        """Give the link back."""
        _run("ip", "link", "set", self.name, "master", "bridge")


def make_hosts(names: list[str]) -> list[Host]:
    """Make a bridge with this process on it, and a host for each name."""
    hosts = [Host(name, f"{NETWORK}.{10 + index}") for index, name in enumerate(names)]
    _prepare_folders(hosts)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "bridge", "type", "bridge")
    _run("ip", "address", "add", f"{NETWORK}.1/24", "dev", "bridge")
    _run("ip", "link", "set", "bridge", "up")
    for host in hosts:
        _start(host)
    for host in hosts:
        _await_ssh(host)
    return hosts


def _prepare_folders(hosts: list[Host]) -> None:
    """Make the folders of all hosts, and those of this process as if it were one."""
    _run("mount", "-t", "tmpfs", "cluster", "/mnt")
    for folder in (KEYS, SHARED, HOME, KEEP / "environment", KEEP / "repository"):
        folder.mkdir(parents=True)
    _run("mount", "--rbind", sys.prefix, str(KEEP / "environment"))
    _run("mount", "--rbind", str(ROOT), str(KEEP / "repository"))
    for name in ("host", "id"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEYS / name))
    (KEYS / "sshd_config").write_text(_SSHD.format(keys=KEYS))
    Path("/mnt/passwd").write_text(_passwd())
    names = [f"{host.address} {host.name}" for host in hosts]
    Path("/mnt/hosts").write_text("\n".join(["127.0.0.1 localhost", *names, ""]))
    # What a user's login shell has: the environment.
    Path("/mnt/bashrc").write_text(f"export PATH={sys.prefix}/bin:$PATH\n")
    _run("bash", "-ec", _own_folders(), cwd="/")


def _passwd() -> str:
    """Return the users of this machine, with root at home in a folder of each host's own."""
    lines = Path("/etc/passwd").read_text().splitlines()
    others = [line for line in lines if not line.startswith("root:")]
    return "\n".join([f"root:x:0:0:root:{HOME}:/bin/bash", *others, ""])


def _own_folders() -> str:
    """Return a script that gives a mount namespace its own folders, users and names."""
    lines = [f"mount -t tmpfs own {folder}" for folder in OWN_FOLDERS]
    for kept, path in (("environment", sys.prefix), ("repository", str(ROOT))):
        lines.append(f"[ -e {path} ] || {{ mkdir -p {path}; mount --rbind {KEEP}/{kept} {path}; }}")
    lines += [f"mount --bind /mnt/{name} /etc/{name}" for name in ("passwd", "hosts")]
    lines += [f"cp /mnt/bashrc {HOME}/.{name}" for name in ("bashrc", "profile")]
    return "\n".join(lines)


def put_environment_on_top() -> None:
    """Let this process and its children change their environment, and nobody else's."""
    _run("bash", "-ec", _OVERLAY)


def _start(host: Host) -> None:
    _run("ip", "netns", "add", host.name)
    peer = ["type", "veth", "peer", "name", "eth0", "netns", host.name]
    _run("ip", "link", "add", host.name, *peer)
    _run("ip", "-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _run("ip", "-n", host.name, "link", "set", device, "up")
    _run("ip", "link", "set", host.name, "master", "bridge", "up")
    script = f"""
{_own_folders()}
hostname {host.name}
mkdir /run/sshd
{_OVERLAY}
exec $(command -v sshd) -D -f {KEYS}/sshd_config
"""
    own = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    subprocess.Popen(
        ["ip", "netns", "exec", host.name, *own, "--mount-proc", "bash", "-ec", script], cwd="/"
    )


def _await_ssh(host: Host) -> None:
    for _ in range(50):
        if subprocess.run(host.ssh("true"), capture_output=True).returncode == 0:
            return
        subprocess.run(["sleep", "0.1"])
    raise RuntimeError(f"{host.name} must answer by SSH in 5 s, and did not")


def _run(*command: str, cwd: str | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd)
