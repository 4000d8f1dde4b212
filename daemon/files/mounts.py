"""The file system that a folder is on, as far as it limits what the daemon can promise.

It is found in /proc by the mount of a descriptor.  `statfs` would not do: its magic number is the same for every FUSE
file system, and it does not show bind mounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
        "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
    }
)  # fmt: skip
"""File systems that other machines (for FUSE: a program) can change without the kernel's knowledge.

They may lack file events, leases and syncs.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A mounted file system.

    Attributes
    ----------
    number
        The kernel's id of the mount; hard links cannot cross mounts.
    kind
        `ext4`, `nfs4`, `fuse.sshfs`, ...; "unknown" without /proc.

    """

    number: int
    kind: str

    @property
    def network(self) -> bool:
        """Whether the daemon must treat it as a network file system."""
        return self.kind in NETWORK or self.kind.startswith("fuse.")


def mount_of(fd: int) -> Mount:
    """Return the mount that the file of a descriptor is on."""
    try:
        facts = Path(f"/proc/self/fdinfo/{fd}").read_bytes()
        number = int(facts.partition(b"mnt_id:")[2].split(maxsplit=1)[0])
        table = Path("/proc/self/mountinfo").read_bytes()
    except (OSError, ValueError, IndexError):  # no /proc
        return Mount(number=-1, kind="unknown")
    for line in table.splitlines():
        if line.startswith(b"%d " % number):
            return Mount(number=number, kind=line.partition(b" - ")[2].split()[0].decode())
    return Mount(number=number, kind="unknown")
