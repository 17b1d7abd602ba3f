"""Real file systems to break things on: mounted from an image, small if wanted, cut off as by a power switch.

Needs root and the tools of the file system. Whatever happens inside the block,
the mount and its loop device go.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHUTDOWN: Final = 0x8004587D
"""``EXT4_IOC_SHUTDOWN`` and ``XFS_IOC_GOINGDOWN``: one number."""

_NOLOGFLUSH: Final = 2
"""Nothing that is in memory reaches the disk any more, the file system's log included."""

_MAKE: Final = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-J", "size=4"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "--mixed"),
}
_MIB: Final = {"ext4": 48, "xfs": 320, "btrfs": 128}
"""Sizes of images; as small as each file system allows, or nearly."""

CAN_BE_CUT: Final = ("ext4", "xfs")


def usable() -> dict[str, str]:
    """Each file system with an empty text if it can be mounted here, else with why not."""
    found = {}
    for kind, make in _MAKE.items():
        missing = [tool for tool in (make[0], "mount", "umount") if shutil.which(tool) is None]
        if os.name != "posix" or os.geteuid() != 0:
            found[kind] = "only root may mount"
        elif missing:
            found[kind] = f"{', '.join(missing)} is not installed"
        else:
            found[kind] = _try(kind)
    return found


def _try(kind: str) -> str:
    try:
        with mounted(kind):
            return ""
    except subprocess.CalledProcessError as error:
        return f"{error.cmd[0]}: {(error.stderr or '').strip() or error}"


@dataclass
class FileSystem:
    """A mounted image.

    Attributes
    ----------
    kind : str
        ``"ext4"``, ``"xfs"`` or ``"btrfs"``.
    image, path : Path
        The image, and where it is mounted.
    """

    kind: str
    image: Path
    path: Path

    def mount(self) -> None:
        """Mount the image; the file system replays its own log."""
        _run("mount", "-o", "loop", str(self.image), str(self.path))

    def unmount(self) -> None:
        """Unmount it, which also lets the loop device go."""
        _run("umount", str(self.path))

    def cut(self) -> None:
        """The power fails: what is in memory only is lost. Nobody may be writing; `restore` follows."""
        import fcntl

        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NOLOGFLUSH.to_bytes(4, "little"))
        finally:
            os.close(fd)

    def restore(self) -> None:
        """The power is back."""
        self.unmount()
        self.mount()

    @contextmanager
    def almost_full(self, left: int) -> Iterator[None]:
        """Only `left` bytes are free, until the end of the block."""
        ballast = self.path / "ballast"
        try:
            with open(ballast, "wb") as file:
                self._take(file.fileno(), left)
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def _take(self, fd: int, left: int) -> None:
        """Let a file take what is free; what a file system calls free it need not give in one piece."""
        size, piece = 0, max(1, shutil.disk_usage(self.path).free - left)
        while piece >= 4096 and shutil.disk_usage(self.path).free - left > 0:
            try:
                os.posix_fallocate(fd, size, piece)
                size += piece
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2


@contextmanager
def mounted(kind: str) -> Iterator[FileSystem]:
    """A new, empty file system; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="safeh5-mount-") as directory:
        root = Path(os.path.realpath(directory))
        system = FileSystem(kind, root / "image", root / "mounted")
        system.path.mkdir()
        with open(system.image, "wb") as file:
            file.truncate(_MIB[kind] << 20)
        _run(*_MAKE[kind], str(system.image))
        system.mount()
        try:
            yield system
        finally:
            # A process that was killed may still be going; it is let go of, and the mount with it.
            if os.path.ismount(system.path) and subprocess.run(["umount", str(system.path)]).returncode:
                subprocess.run(["umount", "-l", str(system.path)], check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
