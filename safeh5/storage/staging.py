"""The file under construction, as the Python file object that libhdf5 writes to.

h5py hands every read and write of its ``fileobj`` driver to an object of this
class::

    with StagingFile.create(storage, path) as staging:
        file = h5py.File(path, "w", driver="fileobj", fileobj=staging)

Between libhdf5 and the disk there is then a place of our own. What the session
writes with is `safeh5.storage.pager.Pager`, what readers read with
`safeh5.storage.snapshot.SnapshotFile`; both are built on this class.

Invariants
----------
1. **Nothing is raised into libhdf5 while it changes the file.** It does not
   survive a driver that fails then: it forgets objects, then crashes. The first
   error is latched in `StagingFile.error`; writes that follow are swallowed and
   reads give zeros, so libhdf5 believes that all is well until it is closed and
   thrown away. Only while `tells_reads` is set, between two changes, is a read
   that fails raised too: whoever reads then would take the zeros for data.
2. **A latched file is worth nothing.** Whoever drives libhdf5 looks at `error`
   after each operation, and makes the file again from the journal.
3. **Interrupts are errors too.** A signal handler may raise at any bytecode,
   the first of a method included, before its ``try``. So libhdf5 never calls a
   function written in Python: it calls C methods, or the ``send`` of a
   generator that waits inside its ``try``. To not lose a file to every Ctrl-C,
   let libhdf5 work inside `Uninterrupted`.
4. **One file object serves one handle.** libhdf5 opens the file of an external
   link or of a virtual source through the driver of the file it stands in,
   which gives it this same file again, under another name, to write. Two
   handles would each think they own it and cut off what the other wrote. So
   whoever looks for an HDF5 signature a second time finds none, and is counted
   in `StagingFile.refused`. (External links can be followed all the same, with
   a link access list that names another driver.)
5. **A fork writes nothing.** A child that was forked while the file is open has
   libhdf5's unwritten metadata too, and flushes it when it ends: into the file
   that its parent has gone on with, or committed. So in a child writes are
   swallowed; it may still read.
6. The file object outlives `close`: libhdf5 may keep a handle that it could
   not close, and calls it when the process ends. It then finds invariant 1.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import weakref
from collections.abc import Callable, Generator
from types import NoneType
from typing import Any, ClassVar, Final, Self

from safeh5.errors import SafeH5Error, StagingReadError
from safeh5.storage.closing import Closes
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.handles import RandomFile

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_ZEROS: Final = bytes(1 << 16)


_open_files: weakref.WeakSet[StagingFile] = weakref.WeakSet()


def _in_fork() -> None:
    """See invariant 5; called by the interpreter, before anything else runs in the child."""
    for file in list(_open_files):
        file.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)


class StagingFile(Closes):
    """A file object for h5py that raises nothing while the file is changed.

    Parameters
    ----------
    file : RandomFile
        The open file; it is closed with this object.
    shown : path-like, optional
        What ``repr`` gives: h5py shows it, where it has no other name for the
        file. The path of `file` if left out.

    Attributes
    ----------
    error : BaseException or None
        The first thing that went wrong since the file was opened: an `OSError`
        of the disk, or an interrupt in the middle of a call. It stays.
    tells_reads : bool
        Whether a read that fails is told to libhdf5, and so to whoever reads.
    settled : bool
        Whether libhdf5 holds no values that it has not written: after a checkpoint, until the next change.
    refused : int
        How often libhdf5 was kept from opening this file for another one; it
        then reports "file signature not found".
    forked : bool
        Whether this is the copy of a process that was forked.
    refused_anywhere : int
        The sum of `refused` over all files of the process, closed ones too.
    """

    refused_anywhere: ClassVar[int] = 0

    def __init__(self, file: RandomFile, shown: StrPath | None = None) -> None:
        self.error: BaseException | None = None
        self.tells_reads = self.settled = False
        self.refused = 0
        self.forked = False
        self._opened = False
        self._search = 0
        _open_files.add(self)
        self._file = file
        self._end = file.size
        self._shown = file.path if shown is None else os.fspath(shown)
        # A BytesIO without bytes keeps the position: its `seek` is C, takes (offset, whence) and cannot fail.
        cursor = io.BytesIO()
        self.seek: Callable[..., int] = cursor.seek
        self._position: Callable[[], int] = cursor.tell
        # h5py asks for the position in one case, after seeking the end, to learn the size of the file.
        self.tell: Callable[[], int] = functools.partial(self._guard(self._tell), None)
        self.read = self._guard(self._read)
        self.readinto: Callable[[Any], Any] = self._guard(self._serve_read)
        self.write = self._guard(self._serve_write)
        self.truncate = self._guard(self._serve_truncate)
        # libhdf5 flushes before it is done; what has to be durable is made so by `sync`.
        self.flush: Callable[[], None] = NoneType

    @classmethod
    def create(cls, storage: Storage, path: StrPath, shown: StrPath | None = None) -> Self:
        """Begin a new empty file; `FileExistsError` if the name is taken."""
        return cls(storage.create_random(path), shown)

    @classmethod
    def open(cls, storage: Storage, path: StrPath, shown: StrPath | None = None) -> Self:
        """Open an existing file; `FileNotFoundError` if there is none."""
        return cls(storage.open_random(path), shown)

    @property
    def path(self) -> str:
        """Where the file is."""
        return self._file.path

    @property
    def size(self) -> int:
        """Bytes of the file as libhdf5 sees it."""
        return self._end

    def sync(self) -> None:
        """Make durable all that libhdf5 wrote (it writes much only when it is flushed).

        Raises
        ------
        OSError
            The sync failed, which is latched as well, or `error` was set before.
        """
        if self.error is not None:
            raise self.error
        try:
            self._file.sync()
        except OSError as error:
            self._latch(error)
            raise

    def read_values(self, view: memoryview, offset: int) -> None:
        """Fill `view` with the bytes at `offset`, past libhdf5, as it would read them; while `settled`.

        Raises
        ------
        OSError
            They cannot be read, or the file has failed before. Nothing is latched.
        """
        if self.error is not None:
            raise OSError(errno.EIO, f"the file has failed: {self.error}")
        self._read_into(view, offset)

    def close(self) -> None:
        """Close the file, after libhdf5 has. Nothing is made durable by that."""
        self.tells_reads = self.settled = False
        self._file.close()

    def __repr__(self) -> str:
        return self._shown

    # --- what libhdf5 calls ----------------------------------------------------

    def _guard(self, action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`action` as a C callable of one argument that never raises: see invariant 3."""
        loop = self._loop(action)
        next(loop)
        return loop.send

    def _loop(self, action: Callable[[Any], Any]) -> Generator[Any, Any, None]:
        result: Any = 0
        while True:
            try:
                while True:
                    argument = yield result
                    result = action(argument)
            except GeneratorExit:
                return
            except BaseException as error:
                # An interrupt may have come before the argument did: then the call is lost.
                self._latch(error)
                if self.tells_reads and action == self._serve_read:
                    # A generator that raises has ended: the next read needs another.
                    self.readinto = self._guard(self._serve_read)
                    self._tell_reader(error)
                result = 0

    def _latch(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error

    def _tell_reader(self, error: BaseException) -> None:
        """Raise what the reader is to hear of `error`: an interrupt as it came."""
        if not isinstance(error, OSError) or isinstance(error, SafeH5Error):
            raise error
        raise StagingReadError(
            f"the file that the session shows cannot be read: {error.strerror or error}",
            errno=error.errno,
            path=str(self.path),
            safe="The target is untouched and everything acknowledged is in the journal",
            hint="Read again: the file is made anew from the journal. If the disk stays bad, end the"
            " program and recover elsewhere with: safeh5 recover",
        ) from error

    def _serve_read(self, buffer: Any) -> int:
        # Each line is paid for by every small read. The buffer is bytes, and a file takes it as it is.
        offset = self._position()
        if len(buffer) != len(_SIGNATURE):
            self._opened = True  # the first read of another size is the superblock
            self._search = 0
        elif self._is_second_search(offset):
            memoryview(buffer)[:] = bytes(len(_SIGNATURE))
            return len(_SIGNATURE)
        return self._read_into(buffer, offset)

    def _serve_write(self, buffer: Any) -> int:
        self._opened = True
        return memoryview(buffer).nbytes if self.forked else self._write(buffer)

    def _serve_truncate(self, size: int) -> int:
        return size if self.forked else self._truncate(size)

    def _is_second_search(self, offset: int) -> bool:
        """Whether a read of eight bytes looks for an HDF5 signature in a file that is open already.

        libhdf5 looks at 0, 512, 1024, 2048 ... up to the end of the file. At 0 it
        reads nothing else of eight bytes, so that is where a search is known by.
        """
        if self._opened and offset == self._search:
            if offset == 0:
                self.refused += 1
                StagingFile.refused_anywhere += 1
            following = max(512, 2 * offset)
            self._search = following if following <= self._end else 0
            return True
        self._search = 0
        return False

    def _tell(self, _: None) -> int:
        return self._end

    def _read(self, size: int) -> bytes:
        """h5py knows a file object by this method; libhdf5 reads by `readinto`."""
        data = bytearray(size)
        return bytes(data[: self._read_into(memoryview(data), self._position())])

    def _read_into(self, buffer: Any, offset: int) -> int:
        """Fill `buffer`, bytes of libhdf5's, from byte `offset`; returns its length."""
        size, done = len(buffer), 0
        if self.tells_reads and self.error is not None:
            raise OSError(errno.EIO, f"the file has failed: {self.error}")
        try:
            if self.error is None:
                done = self._file.read_into(buffer, offset)
        finally:
            if done < size:
                # libhdf5 may read past the end of the file and means zeros by that.
                _fill_with_zeros(memoryview(buffer)[done:])
        return size

    def _write(self, buffer: Any) -> int:
        view, offset = memoryview(buffer), self._position()
        self._end = max(self._end, offset + len(view))
        if self.error is None:
            self._file.write_at(view, offset)
        return len(view)

    def _truncate(self, size: int) -> int:
        # libhdf5 asks for it with every flush, mostly for the size that the file has.
        if self.error is None and size != self._end:
            self._file.truncate(size)
        self._end = size
        return size


def _fill_with_zeros(view: memoryview) -> None:
    for start in range(0, len(view), len(_ZEROS)):
        view[start : start + len(_ZEROS)] = _ZEROS[: len(view) - start]
