"""Real file systems to break things on: mounted from an image, small if wanted, cut off as by a power switch.

Needs root and the tools of the file system. Whatever happens inside the block,
the mount and its loop device go. What a process leaves that was killed in it is
known by a lock that nobody holds any more, and removed by `remove_stale`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safeh5.testing.harness.places import quick_directory

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
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NOLOGFLUSH.to_bytes(4, "little"))
        finally:
            os.close(fd)

    def sync(self) -> None:
        """All that was written to it is on the disk; other file systems are left in peace."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd):
                raise OSError(ctypes.get_errno(), "syncfs failed", str(self.path))
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


_PREFIX: Final = "safeh5-mount-"
_IN_USE: Final = "in-use"


@contextmanager
def mounted(kind: str) -> Iterator[FileSystem]:
    """A new, empty file system; gone at the end."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=quick_directory()) as directory, _in_use(directory):
        root = Path(os.path.realpath(directory))
        system = FileSystem(kind, root / "image", root / "mounted")
        system.path.mkdir()
        with open(system.image, "wb") as file:
            file.truncate(_MIB[kind] << 20)
        _run(*_MAKE[kind], str(system.image))
        try:
            system.mount()
            yield system
        finally:
            _let_go(root)


@contextmanager
def _in_use(directory: str) -> Iterator[None]:
    """Whoever finds this lock free knows that its process is gone."""
    fd = os.open(Path(directory, _IN_USE), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove_stale() -> list[str]:
    """Remove what processes have left that were killed while they had file systems mounted; returns where."""
    places = {tempfile.gettempdir(), quick_directory() or tempfile.gettempdir()}
    found = [path for place in sorted(places) for path in sorted(Path(place).glob(f"{_PREFIX}*"))]
    return [str(path) for path in found if _remove_if_stale(path)]


def _remove_if_stale(root: Path) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            fd = os.open(root / _IN_USE, os.O_RDWR)
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Somebody is at work there, or it is not ours.
            return False
        _let_go(root)
        shutil.rmtree(root, ignore_errors=True)
    return not root.exists()


def _let_go(root: Path) -> None:
    """Unmount what is mounted below `root`; the loop device goes with it."""
    path = root / "mounted"
    # A process that was killed may still be going; it is let go of, and the mount with it.
    if os.path.ismount(path) and _quietly("umount", str(path)).returncode:
        _quietly("umount", "-l", str(path))
    for device in _quietly("losetup", "-n", "-O", "NAME", "-j", str(root / "image")).stdout.split():
        _quietly("losetup", "-d", device)


def _quietly(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
