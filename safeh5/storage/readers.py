"""The writer's side of those who look at checkpoints: what they still need is saved for them.

A reader looks at one checkpoint, N, of the staging file. When the pages of
the next are about to be placed over it, their old contents go to the reader's
own file (`safeh5.storage.undo`), which the reader consults after every read.

Order of things, and why no reader sees a page of two checkpoints
------------------------------------------------------------------
::

    writer                                  reader
    1. write the redo slot of N + 1         1. give its file the name, locked
    2. list the readers                     2. look again: is N still the newest slot?
    3. append old pages to their files      3. read from the staging file
    4. place the new pages                  4. look what was appended to its file

Either the listing sees the reader's file, or the reader sees the new slot and
begins again with that. And a page that was read after it had been overwritten
was in the reader's file before: the reader looks there last.

Invariants
----------
1. Whatever happens to a reader or its file, the writer goes on: what cannot be
   saved makes the reader's file *expired*, which it takes for the end.
2. The life of a reader is the lock on its file. The writer only tries for it,
   never waits, and removes the file of a reader that is gone.
3. Nothing here is synced: a power cut ends the readers too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Final

from safeh5.events import logger
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile
from safeh5.storage.redo import PAGE, Redo
from safeh5.storage.undo import HEADER, RECORD, Header, pack_record, record_size

PREFIX: Final = "staging.reader-"
NEW: Final = ".new"
RESERVE: Final = 64 << 20
"""Free space that is never taken for a reader: the acquisition may need it."""

_PAGES_AT_ONCE: Final = 1024


class Readers:
    """Those who look at one staging file.

    Parameters
    ----------
    storage : Storage
        The disk.
    staging : path-like
        The staging file; the readers' files lie beside it.
    """

    def __init__(self, storage: Storage, staging: StrPath) -> None:
        self._storage = storage
        self._directory = os.path.dirname(os.fspath(staging))
        self._known: dict[str, _Reader] = {}

    def save(self, file: RandomFile, redo: Redo) -> None:
        """Save what readers need of `file` before `redo` is placed in it.

        Raises
        ------
        OSError
            The directory cannot be listed, so nobody knows who reads.
        """
        for reader in self._living():
            try:
                reader.save(self._storage, file, redo)
            except OSError as error:
                reader.expire(self._storage, f"its file cannot be written: {error.strerror or error}")

    def close(self) -> None:
        """Let go of the readers' files."""
        for name in list(self._known):
            self._known.pop(name).file.close()

    def _living(self) -> list[_Reader]:
        names = {name for name in self._storage.list_directory(self._directory) if name.startswith(PREFIX)}
        for name in self._known.keys() - names:
            self._known.pop(name).file.close()
        for name in sorted(names - self._known.keys()):
            self._meet(name)
        for name in [name for name, reader in self._known.items() if reader.is_gone()]:
            reader = self._known.pop(name)
            reader.file.close()
            _remove(self._storage, reader.file.path)
        return [reader for name, reader in self._known.items() if not name.endswith(NEW)]

    def _meet(self, name: str) -> None:
        path = os.path.join(self._directory, name)
        try:
            self._known[name] = _Reader(self._storage.open_random(path))
        except FileNotFoundError:
            return
        except OSError as error:
            # It cannot be told that it has expired but by the loss of its name.
            logger.warning("a reader of %s is given up: %s", self._directory, error.strerror or error)
            _remove(self._storage, path)


class _Reader:
    """One reader's file, as the writer has it."""

    def __init__(self, file: RandomFile) -> None:
        self.file = file
        self._header: Header | None = None
        self._saved: set[int] = set()
        self._end = 0
        self._expired = False

    def is_gone(self) -> bool:
        """Whether nobody holds the lock on the file."""
        try:
            return self.file.try_lock()
        except OSError:
            return False

    def save(self, storage: Storage, file: RandomFile, redo: Redo) -> None:
        """Append the pages that `redo` is about to overwrite or cut off in `file`."""
        if self._expired or not self._is_of(file, redo):
            return
        assert self._header is not None
        if self._header.sequence > redo.sequence:
            # It looks at a checkpoint that was taken back: its slot was written and could not be synced.
            self.expire(storage, "the checkpoint it looks at does not exist any more")
            return
        if self._header.sequence == redo.sequence:
            return  # it has these pages from the slot
        count = len(_cut_off(self._header.end, redo.end))
        if count <= self._header.limit // PAGE:
            wanted = self._wanted(redo)
            if self._has_room(storage, len(wanted)):
                self._append(file, redo.sequence, wanted)
                return
        self.expire(storage, "it fell too far behind")

    def expire(self, storage: Storage, why: str) -> None:
        """Tell the reader that it may not believe what it reads any more."""
        self._expired = True
        logger.info("a reader has to begin again (%s): %s", self.file.path, why)
        try:
            self.file.truncate(0)
        except OSError:
            _remove(storage, self.file.path)

    def _is_of(self, file: RandomFile, redo: Redo) -> bool:
        """Whether this reader looks at `file`, and not at one that was there before it."""
        if self._header is None:
            self._header = Header.unpack(self.file.read_at(0, HEADER.size))
            if self._header is None:
                raise OSError("it was made by another version")
            self._go_on()
        return self._header.session == redo.session and self._header.inode == file.inode

    def _go_on(self) -> None:
        """Find the end of what another writer has saved, and cut off what it did not finish."""
        size, self._end = self.file.size, HEADER.size
        while size - self._end >= RECORD.size:
            _, count, _ = RECORD.unpack(self.file.read_at(self._end, RECORD.size))
            if self._end + record_size(count) > size:
                break
            numbers = self.file.read_at(self._end + RECORD.size, 8 * count)
            self._saved.update(memoryview(numbers).cast("Q"))
            self._end += record_size(count)
        if self._end < size:
            self.file.truncate(self._end)

    def _wanted(self, redo: Redo) -> list[int]:
        assert self._header is not None
        limit = -(-self._header.end // PAGE)
        changed = (number for number in redo.pages if number < limit)
        return sorted({*changed, *_cut_off(self._header.end, redo.end)} - self._saved)

    def _has_room(self, storage: Storage, count: int) -> bool:
        assert self._header is not None
        needed = record_size(count) + RECORD.size * (count // _PAGES_AT_ONCE)
        if not count:
            return True
        if self._end + needed > self._header.limit:
            return False
        return storage.free_space(os.path.dirname(self.file.path)) - needed >= RESERVE

    def _append(self, file: RandomFile, sequence: int, numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), _PAGES_AT_ONCE):
            some = numbers[first : first + _PAGES_AT_ONCE]
            record = pack_record(sequence, some, _pages_of(file, some))
            self.file.write_at(record, self._end)
            self._end += len(record)
            self._saved.update(some)


def _cut_off(old_end: int, new_end: int) -> range:
    """The pages that a file loses, all or in part, when it becomes shorter."""
    return range(new_end // PAGE, -(-old_end // PAGE)) if new_end < old_end else range(0)


def _pages_of(file: RandomFile, numbers: Sequence[int]) -> bytes:
    """The pages as they are in the file; zeros behind its end."""
    data = bytearray(len(numbers) * PAGE)
    view, at = memoryview(data), 0
    for first, count in _runs(numbers):
        size = count * PAGE
        file.read_into(view[at : at + size], first * PAGE)
        at += size
    return bytes(data)


def _runs(numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Numbers that follow each other, as first and count."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], index - start
            start = index


def reader_path(staging: StrPath, pid: int, token: str) -> str:
    """Where the file of a reader lies: beside the staging file."""
    return os.path.join(os.path.dirname(os.fspath(staging)), f"{PREFIX}{pid}-{token}")


def remove_readers(storage: Storage, staging: StrPath) -> None:
    """Remove all readers' files beside a staging file that nobody will write any more.

    Those who still read have their file open, and need nothing more from it.
    """
    directory = os.path.dirname(os.fspath(staging))
    for name in storage.list_directory(directory):
        if name.startswith(PREFIX):
            _remove(storage, os.path.join(directory, name))


def _remove(storage: Storage, path: str) -> None:
    with contextlib.suppress(OSError):
        storage.unlink(path)
