"""Small file systems of several kinds, mounted for one test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MakeDisk = Callable[..., Path]
"""``make_disk(kind, mib)`` gives the mount point of a new file system; it skips where that cannot be."""

MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    mounted: list[Path] = []

    def make(kind: str, mib: int) -> Path:
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("mounting needs Linux and root")
        place = tmp_path / f"mnt-{kind}"
        place.mkdir()
        if kind == "tmpfs":
            _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place))
        else:
            image = tmp_path / f"{kind}.img"
            with image.open("wb") as file:
                file.truncate(mib << 20)
            _run(*MKFS[kind], str(image))
            _run("mount", "-o", "loop", str(image), str(place))
        mounted.append(place)
        return place

    yield make
    for place in reversed(mounted):
        if subprocess.run(["umount", place], capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", place], check=True)


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{command[0]} does not work here: {done.stderr.strip()}")
