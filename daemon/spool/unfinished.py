"""Names of files that are not inputs yet: those that browsers, transfer programs and editors use while they write.

Most of these programs write under a name of their own and rename the file when it is complete.  Some write under the
final name, and keep a control file beside it until the file is complete; some create the final name empty at once.
"""

from __future__ import annotations

from typing import Final

UNFINISHED: Final = frozenset(
    {
        # Producers that follow docs/daemon.md, and any program that is polite enough to use a common word.
        ".tmp", ".temp", ".part", ".partial", ".writing", ".incomplete", ".unfinished", ".inprogress", ".uploading",
        ".lock", ".lck",
        # Browsers: Chrome and its kin, Firefox (.part), Safari, Opera, Internet Explorer (.partial), GNOME Web.
        ".crdownload", ".download", ".opdownload", ".wkdownload",
        # Transfers: WinSCP, aria2, axel, lftp, Free Download Manager, DownThemAll, Xunlei, Cyberduck, MinIO, gsutil,
        # Hadoop, Resilio Sync, FreeFileSync; rclone and ownCloud end in .partial and .part.
        ".filepart", ".aria2", ".st", ".lftp", ".lftp-pget-status", ".fdmdownload", ".dtapart", ".xltd", ".td",
        ".cyberducksegment", ".minio", ".gstmp", "._copying_", ".!sync", ".bts", ".ffs_tmp",
        # BitTorrent: uTorrent, qBittorrent, BitComet; the part files of youtube-dl and eMule.
        ".!ut", ".!qb", ".bc!", ".ytdl", ".met",
        # Editors and backups: vim, emacs and many others; the lock files of Apache Camel.
        ".swp", ".swo", ".swx", ".bak", ".old", ".orig", ".camellock",
    }
)  # fmt: skip
"""Suffixes in lower case, from the last dot to the end of the name; the case of a name is ignored."""

STARTS: Final = (".", "~$", "~syncthing~")
"""Beginnings: hidden files (rsync, lftp, Syncthing, Nextcloud, vim, LibreOffice); Microsoft Office; Syncthing."""

ENDS: Final = ("~", "___jb_tmp___", "___jb_old___")
"""Endings without a dot of their own: backups of editors, and the safe writes of JetBrains' editors."""

OF_DESKTOPS: Final = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
"""Files that Windows and macOS create in the folders that they show, in lower case."""

_MACOS_SAFE_SAVE: Final = ".sb-"
"""`q.txt.sb-1a2b3c4d-XyZ123`: macOS writes a copy of the file under this suffix, then swaps the two."""

CONTROL: Final = (".aria2", ".lftp-pget-status", ".st")
"""While `q.txt.aria2` exists, `q.txt` is incomplete, even if no process has it open: the download was interrupted."""

PLACEHOLDERS: Final = (".part", ".wkdownload")
"""While `q.txt.part` exists, an empty `q.txt` only reserves the name (Firefox, GNOME Web)."""


def skipped(name: str) -> bool:
    """Return whether the daemon leaves this name in the inbox alone: it is hidden, or still being written."""
    # No regular expression: this is called for every name of a backlog at every scan, and takes a third of the time.
    suffix = name[name.rfind(".") :].lower()
    return (
        suffix in UNFINISHED
        or name.startswith(STARTS)
        or name.endswith(ENDS)
        or suffix.startswith(_MACOS_SAFE_SAVE)
        or (name[:1] == "#" == name[-1:])  # emacs' copy of unsaved changes
        or name.lower() in OF_DESKTOPS
    )


def shadowed(name: str) -> str | None:
    """Return the name whose file is incomplete, or perhaps only a placeholder, while a file of this name exists."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in _SHADOWING else None


_SHADOWING: Final = frozenset(CONTROL + PLACEHOLDERS)
