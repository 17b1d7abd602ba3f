"""Recording every effect of this process on one directory, with its bytes.

The functions of `os` that change a disk are replaced, so what is recorded are
system calls as they were made, a sync of data alone told from a whole one, in
this process and in every process that it starts through this package. What
goes past `os` (the writes of a C library, `open` in writing mode) is not seen;
`safeh5.testing.states.proof` finds that out.

One lock, held over an effect and its record, makes the order of the records
that of the effects. Linux only: a descriptor is told its name by ``/proc``.
"""

from __future__ import annotations

import fcntl
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from safeh5.storage.interrupts import Uninterrupted
from safeh5.testing.states.events import Event, Kind, mark, pack

TRACE: Final = "SAFEH5_TESTING_TRACE"
ROOT: Final = "SAFEH5_TESTING_ROOT"
_CREATING: Final = os.O_CREAT | os.O_TRUNC
_FICLONE: Final = 0x40049409
_BLOCK: Final = 4096


class Recorder:
    """Where events go.

    Parameters
    ----------
    root : str
        The directory that is watched, absolute, without symbolic links.
    trace : str, optional
        The file that events are appended to, shared by processes. If left
        out they are kept in `events`.

    Attributes
    ----------
    events : list of Event
        What was recorded without a trace.
    """

    def __init__(self, root: str, trace: str | None = None) -> None:
        self.root = root
        self.events: list[Event] = []
        self._trace = trace
        self._thread = threading.RLock()
        self._depth = 0
        self._open()

    def _open(self) -> None:
        # A fork shares the lock of its parent's descriptor, so it needs one of its own.
        self._fd = -1 if self._trace is None else real.open(self._trace, os.O_WRONLY | os.O_APPEND, 0)

    def after_fork(self) -> None:
        """In a fork: go on with a lock of its own."""
        self._thread, self._depth = threading.RLock(), 0
        self._open()

    @contextmanager
    def effect(self) -> Iterator[None]:
        """Hold the lock over an effect and its record; no signal handler comes in between."""
        with self._thread, Uninterrupted():
            if self._fd >= 0 and not self._depth:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._fd >= 0 and not self._depth:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def note(self, event: Event) -> None:
        """Append an event."""
        if self._fd < 0:
            self.events.append(event)
            return
        line = memoryview(pack(event))
        while line:
            line = line[real.write(self._fd, line) :]

    def mark(self, name: str, **fields: Any) -> None:
        """Append a mark."""
        with self.effect():
            self.note(mark(name, **fields))

    def hold(self) -> None:
        """Take the lock for good: whoever is about to end does so between two effects."""
        self._thread.acquire()
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def inside(self, path: str) -> str | None:
        """`path` relative to the directory; None when it is elsewhere."""
        if path == self.root:
            return ""
        return path[len(self.root) + 1 :] if path.startswith(self.root + "/") else None


class _Real:
    """The functions of `os` and `fcntl`, as they were before any recording."""

    open, write, writev, pwrite = os.open, os.write, os.writev, os.pwrite
    rename, replace, link = os.rename, os.replace, os.link
    unlink, remove, rmdir, mkdir = os.unlink, os.remove, os.rmdir, os.mkdir
    fsync, fdatasync = os.fsync, os.fdatasync
    ftruncate, truncate = os.ftruncate, os.truncate
    copy_file_range, posix_fallocate = os.copy_file_range, os.posix_fallocate
    chmod, fchmod, chown, utime = os.chmod, os.fchmod, os.chown, os.utime
    setxattr, removexattr = os.setxattr, os.removexattr
    kill, _exit = os.kill, os._exit
    ioctl = fcntl.ioctl


real: Final = _Real


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Record what this process does, until the end of the block."""
    hooks = _hooks(recorder)
    for name, hook in hooks.items():
        setattr(fcntl if name == "ioctl" else os, name, hook)
    try:
        yield recorder
    finally:
        for name in hooks:
            setattr(fcntl if name == "ioctl" else os, name, getattr(real, name))


def _hooks(recorder: Recorder) -> dict[str, Callable[..., Any]]:
    hooks = _Hooks(recorder)
    found: dict[str, Callable[..., Any]] = {
        "open": hooks.open, "mkdir": hooks.mkdir, "rmdir": hooks.rmdir,
        "unlink": hooks.unlink, "remove": hooks.unlink,
        "rename": functools.partial(hooks.move, real.rename),
        "replace": functools.partial(hooks.move, real.replace),
        "link": hooks.link, "copy_file_range": hooks.copy_file_range, "ioctl": hooks.ioctl,
        "fsync": functools.partial(hooks.sync, real.fsync, True),
        "fdatasync": functools.partial(hooks.sync, real.fdatasync, False),
        "kill": hooks.kill, "_exit": hooks.leave,
    }  # fmt: skip
    for name in ("write", "writev", "pwrite"):
        found[name] = functools.partial(hooks.write, getattr(real, name), name == "pwrite")
    for name in ("ftruncate", "truncate", "posix_fallocate"):
        found[name] = functools.partial(hooks.resize, getattr(real, name))
    for name in ("chmod", "fchmod", "chown", "utime", "setxattr", "removexattr"):
        found[name] = functools.partial(hooks.facts, getattr(real, name))
    return found


class _Hooks:
    """What stands in the place of the functions of `os` while recording."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self._name(path, dir_fd) if flags & _CREATING else None
        if name is None:
            return real.open(path, flags, mode, dir_fd=dir_fd)
        with self.recorder.effect():
            was_there = os.path.lexists(self._absolute(name))
            fd = real.open(path, flags, mode, dir_fd=dir_fd)
            if not was_there:
                self._note(Kind.CREATE, name, fd)
            elif flags & os.O_TRUNC:
                self._note(Kind.TRUNCATE, name, fd)
            return fd

    def write(self, function: Callable[..., int], placed: bool, fd: int, data: Any, *rest: Any) -> int:
        name = self._name(fd)
        if name is None:
            return function(fd, data, *rest)
        with self.recorder.effect():
            count = function(fd, data, *rest)
            # At the end, for a file that is appended to: the position stands behind what was written.
            at = rest[0] if placed else os.lseek(fd, 0, os.SEEK_CUR) - count
            whole = b"".join(map(bytes, data)) if isinstance(data, list | tuple) else bytes(data)
            self._note(Kind.WRITE, name, fd, offset=at, data=whole[:count])
            return count

    def copy_file_range(self, source: int, target: int, count: int, *at: int, **named: int) -> int:
        name = self._name(target)
        if name is None:
            return real.copy_file_range(source, target, count, *at, **named)
        with self.recorder.effect():
            done = real.copy_file_range(source, target, count, *at, **named)
            start = at[1] if len(at) > 1 else named.get("offset_dst")
            if start is None:
                start = os.lseek(target, 0, os.SEEK_CUR) - done
            self._note_content(name, target, start, done)
            return done

    def ioctl(self, fd: Any, request: int, *rest: Any) -> Any:
        name = self._name(fd) if request == _FICLONE else None
        if name is None:
            return real.ioctl(fd, request, *rest)
        with self.recorder.effect():
            answer = real.ioctl(fd, request, *rest)
            self._note_content(name, fd, 0, os.fstat(fd).st_size)
            return answer

    def resize(self, function: Callable[..., None], what: Any, *rest: Any) -> None:
        name = self._name(what)
        if name is None:
            return function(what, *rest)
        with self.recorder.effect():
            function(what, *rest)
            self._note(Kind.TRUNCATE, name, what, offset=os.stat(what).st_size)

    def sync(self, function: Callable[[Any], None], facts: bool, fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        name = self._name(number)
        if name is None:
            return function(fd)
        with self.recorder.effect():
            function(fd)
            self._note(Kind.SYNC, name, number, facts=facts)

    def facts(self, function: Callable[..., None], what: Any, *rest: Any, **named: Any) -> None:
        name = self._name(what, named.get("dir_fd"))
        if name is None:
            return function(what, *rest, **named)
        with self.recorder.effect():
            function(what, *rest, **named)
            self._note(Kind.FACTS, name, what)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is None:
            return real.mkdir(path, mode, dir_fd=dir_fd)
        with self.recorder.effect():
            real.mkdir(path, mode, dir_fd=dir_fd)
            self._note(Kind.MKDIR, name, self._absolute(name))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._remove(real.unlink, Kind.UNLINK, path, dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._remove(real.rmdir, Kind.RMDIR, path, dir_fd)

    def _remove(self, function: Callable[..., None], kind: Kind, path: Any, dir_fd: int | None) -> None:
        name = self._name(path, dir_fd)
        if name is None:
            return function(path, dir_fd=dir_fd)
        with self.recorder.effect():
            inode = _inode(self._absolute(name))
            function(path, dir_fd=dir_fd)
            self.recorder.note(Event(kind, name, inode=inode))

    def move(self, function: Callable[..., None], source: Any, target: Any, **named: Any) -> None:
        old = self._name(source, named.get("src_dir_fd"))
        new = self._name(target, named.get("dst_dir_fd"))
        if old is None or new is None:
            return function(source, target, **named)
        with self.recorder.effect():
            inode = _inode(self._absolute(old))
            function(source, target, **named)
            self.recorder.note(Event(Kind.RENAME, old, new, inode))

    def link(self, source: Any, target: Any, **named: Any) -> None:
        old, new = self._name(source), self._name(target)
        if old is None or new is None:
            return real.link(source, target, **named)
        with self.recorder.effect():
            real.link(source, target, **named)
            self.recorder.note(Event(Kind.LINK, old, new, _inode(self._absolute(new))))

    def kill(self, pid: int, number: int) -> None:
        """A process that kills itself does so between two effects."""
        if pid == os.getpid():
            self.recorder.hold()
        real.kill(pid, number)

    def leave(self, code: int) -> None:
        """Another thread may be in the middle of an effect."""
        self.recorder.hold()
        real._exit(code)

    # --- names ----------------------------------------------------------------------

    def _note(self, kind: Kind, name: str, what: Any, **fields: Any) -> None:
        """An event on the file at `what`, a path or a descriptor, with its facts as they are now."""
        facts = os.stat(what)
        self.recorder.note(
            Event(
                kind, name, inode=facts.st_ino, mode=facts.st_mode & 0o7777, mtime=facts.st_mtime_ns, **fields
            )
        )

    def _note_content(self, name: str, fd: int, start: int, size: int) -> None:
        """What was copied inside the kernel, as writes of some blocks: it may be cut off between any two."""
        block = max(_BLOCK, -(-size // (8 * _BLOCK)) * _BLOCK)
        reader = real.open(self._absolute(name), os.O_RDONLY, 0)  # the other may be for writing only
        try:
            for at in range(start, start + size, block):
                data = os.pread(reader, min(block, start + size - at), at)
                self._note(Kind.WRITE, name, fd, offset=at, data=data)
        finally:
            os.close(reader)

    def _name(self, what: Any, dir_fd: int | None = None) -> str | None:
        """The name of a descriptor or path inside of the directory; None when it is elsewhere."""
        if hasattr(what, "fileno"):
            what = what.fileno()
        if isinstance(what, int):
            return self.recorder.inside(_name_of(what))
        path = os.fsdecode(what)
        if not path.startswith("/"):
            path = os.path.join(os.getcwd() if dir_fd is None else _name_of(dir_fd), path)
        directory, name = os.path.split(os.path.normpath(path))
        return self.recorder.inside(os.path.join(os.path.realpath(directory), name))

    def _absolute(self, name: str) -> str:
        return os.path.join(self.recorder.root, name)


def _name_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
    except OSError:
        return ""


def _inode(path: str) -> int:
    return os.lstat(path).st_ino
