"""What reads through `StagingFile`, past libhdf5's own reads, is given and is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeh5.storage import StagingFile, Storage


def test_read_gives_the_bytes_at_the_position(tmp_path: Path) -> None:
    with StagingFile.create(Storage(), tmp_path / "f") as staging:
        staging.write(b"abcdef")
        staging.seek(2)
        assert staging.read(3) == b"cde"


def test_an_interrupt_reaches_whoever_reads_as_it_came_and_the_file_is_latched(tmp_path: Path) -> None:
    class Interrupted(StagingFile):
        def _read_into(self, buffer: object, offset: int) -> int:
            raise KeyboardInterrupt

    with Interrupted.create(Storage(), tmp_path / "f") as staging:
        staging.tells_reads = True
        with pytest.raises(KeyboardInterrupt):
            staging.readinto(bytearray(3))
        assert isinstance(staging.error, KeyboardInterrupt)
        staging.tells_reads = False  # as when the file is changed: nothing is raised then
        assert staging.readinto(bytearray(3)) == 0
