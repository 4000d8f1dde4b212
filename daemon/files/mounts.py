"""What a folder lies on, as far as that decides what can be promised.

Asked of /proc by a descriptor's mount, not of `statfs`: the kernel's magic numbers say of every FUSE file system the
same, and of a folder that is bound over another nothing at all.
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
"""Kinds that other machines (or a program, for FUSE) may change unseen: no file events, no leases, perhaps no syncs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A mounted file system.

    Attributes
    ----------
    number
        The kernel's; names can be linked only within one.
    kind
        `ext4`, `nfs4`, `fuse.sshfs`, ...; "unknown" where /proc does not say.

    """

    number: int
    kind: str

    @property
    def network(self) -> bool:
        """True where it must be taken for a network file system."""
        return self.kind in NETWORK or self.kind.startswith("fuse.")


def mount_of(fd: int) -> Mount:
    """Say what the file of a descriptor lies on."""
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
