"""The reader's side of its file: making it, and finding the old pages in it.

The file gets its name when it is locked and has its header, so the writer
never sees a reader that is half made.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import Final, Self

from safeh5.errors import LiveViewExpiredError
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile
from safeh5.storage.readers import NEW, reader_path
from safeh5.storage.redo import PAGE
from safeh5.storage.undo import HEADER, BadRecord, Header, records

_TRIES: Final = 20
_PAUSE: Final = 0.001


class Registration:
    """One reader's file; the writer saves old pages there while it exists.

    Parameters
    ----------
    storage, file : Storage, RandomFile
        The file, locked, with its header.
    header : Header
        What is looked at.
    """

    def __init__(self, storage: Storage, file: RandomFile, path: str, header: Header) -> None:
        self._storage, self._file, self.path = storage, file, path
        self._sequence = header.sequence
        self._seen = HEADER.size
        self._places: dict[int, int] = {}

    @classmethod
    def make(cls, storage: Storage, staging: StrPath, header: Header) -> Self:
        """Make the file of a reader that looks at `staging`.

        Raises
        ------
        OSError
            It cannot be made: nothing is left of it.
        """
        directory = os.path.dirname(os.fspath(staging))
        path = reader_path(staging, os.getpid(), secrets.token_hex(4))
        # The writer must be able to open it: it is his directory.
        file = storage.create_private(path + NEW, storage.stat(directory).st_uid)
        try:
            if not file.try_lock():
                raise FileNotFoundError(path)  # taken for left over, and removed
            file.write_at(header.pack(), 0)
            storage.rename(path + NEW, path)
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                storage.unlink(path + NEW)
            raise
        return cls(storage, file, path, header)

    @property
    def named(self) -> bool:
        """Whether the file still has a name, by which the writer finds it."""
        return self._file.status().st_nlink > 0

    def look(self) -> bool:
        """Take in what the writer has appended; returns whether the file still has a name.

        Raises
        ------
        LiveViewExpiredError
            The writer has given this reader up.
        """
        status = self._file.status()
        if status.st_size < HEADER.size:
            raise expired(
                "the writer went on so far that it does not keep that checkpoint any more", self.path
            )
        if status.st_size > self._seen:
            self._take_in(status.st_size)
        return status.st_nlink > 0

    def _take_in(self, size: int) -> None:
        for _ in range(_TRIES):
            data = self._file.read_at(self._seen, size - self._seen)
            try:
                for record in records(data):
                    if record.sequence > self._sequence:
                        for number, place in record.places.items():
                            self._places.setdefault(number, self._seen + place)
                    self._seen += record.size
                return
            except BadRecord:
                # A writer that died in the middle of it was followed by another, who overwrites it.
                time.sleep(_PAUSE)
        raise expired("what the writer saved for this reader cannot be read", self.path)

    def numbers(self) -> dict[int, int]:
        """The pages that were overwritten since, and where in this file their old contents are."""
        return self._places

    def page(self, number: int) -> bytes:
        """The old content of a page."""
        data = self._file.read_at(self._places[number], PAGE)
        if len(data) < PAGE:
            raise expired("the writer has given this reader up", self.path)
        return data

    def close(self) -> None:
        """Tell the writer that nothing is needed any more."""
        with contextlib.suppress(OSError):
            if self.named:
                self._storage.unlink(self.path)
        self._file.close()


def expired(why: str, path: StrPath) -> LiveViewExpiredError:
    """The error for a reader that must begin again."""
    return LiveViewExpiredError(
        f"this view of the file under construction has expired: {why}",
        path=os.fspath(path),
        safe="Nothing is wrong with the session or its data",
        hint="Call refresh() and read again",
    )
