"""The files of a journal: finding them, and beginning a new one."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safeh5.events import logger
from safeh5.journal.format import SegmentHeader
from safeh5.storage.files import Storage
from safeh5.storage.handles import AppendFile, MappedFile
from safeh5.storage.names import segment_name, segment_number
from safeh5.storage.removal import freed_beside

StrPath = str | os.PathLike[str]

NEW_SUFFIX: Final = ".new"
"""A segment under construction has this behind its name; a leftover of that name is garbage."""


def segment_paths(storage: Storage, directory: StrPath) -> dict[int, str]:
    """Number and path of every segment in `directory`, in order of their numbers."""
    names = storage.list_directory(directory)
    found = {number: name for name in names if (number := segment_number(name)) is not None}
    return {number: str(Path(directory, found[number])) for number in sorted(found)}


def remove_segments(storage: Storage, directory: StrPath, before: int) -> None:
    """Remove the segments with numbers below `before`, which an anchor has made garbage.

    Durable on return. What cannot be removed stays garbage, for the next
    anchor or resume to remove. The oldest goes first: whoever reads along
    finds his segment gone, never one in the middle.
    """
    try:
        earlier = [path for number, path in segment_paths(storage, directory).items() if number < before]
        with freed_beside(earlier):
            for path in earlier:
                storage.unlink(path)
        if earlier:
            storage.sync_directory(directory)
    except OSError as error:
        logger.warning("old segments in %s could not be removed: %s", directory, error.strerror or error)


def unreadable(mapped: MappedFile) -> str:
    """Why a part of a mapped segment cannot be read; empty when all of it can.

    To touch a bad sector through the mapping would end the process, so every
    segment goes through here once before it is walked.
    """
    try:
        mapped.probe()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return f"the file cannot be read: {error.strerror}"
    return ""


class SyncFailedError(OSError):
    """The fsync of a new segment failed: what the disk is worth is not known any more."""


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment whose header is on disk under a temporary name.

    Two steps, because they fail differently: before `publish` nothing has
    happened that matters; after it the segment is part of the journal.
    """

    storage: Storage
    directory: str
    header: SegmentHeader

    @property
    def path(self) -> str:
        """Where the segment is going to be."""
        return str(Path(self.directory, segment_name(self.header.number)))

    def prepare(self) -> None:
        """Write the header under the temporary name and make it durable.

        Raises
        ------
        OSError
            It could not be done, and what was begun has been removed if possible;
            a `SyncFailedError` if it was the sync.
        """
        temporary = self.path + NEW_SUFFIX
        if self.storage.exists(temporary):
            self.storage.unlink(temporary)
        try:
            with self.storage.create(temporary) as file:
                file.write([self.header.pack()])
                _sync(file)
        except OSError:
            with contextlib.suppress(OSError):
                self.storage.unlink(temporary)
            raise

    def begin(self) -> AppendFile:
        """The first segment of a directory that has not its own name yet: nothing is synced.

        The directory is garbage until it has its name, and whoever gives it that syncs first
        the segment and then the directory.
        """
        file = self.storage.create(self.path)
        try:
            file.write([self.header.pack()])
        except BaseException:
            file.close()
            raise
        return file

    def publish(self) -> AppendFile:
        """Give the segment its name, durably, and open it for appending.

        The header was durable before the name existed, so a segment that is
        found has a header: a missing or damaged one is never an accident of
        timing.
        """
        self.storage.rename(self.path + NEW_SUFFIX, self.path)
        self.storage.sync_directory(self.directory)
        return self.storage.open_append(self.path)


def _sync(file: AppendFile) -> None:
    try:
        file.sync()
    except OSError as error:
        raise SyncFailedError(error.errno, error.strerror, file.path) from error
