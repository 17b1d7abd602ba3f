"""A disk below a page cache: what of a trace is durable, what is pending, what may be left of it.

A file is an inode with durable bytes and pending changes; a directory is an
inode with durable entries and pending changes of names. A sync makes the
pending changes of one inode durable, in their order, and nothing else.

`build` gives the tree that is left when the power goes, for one choice of what
happened to each pending change (`Choice`). Without a choice all of them are
kept: that is what a killed process leaves, whose page cache survives it.

What is taken for granted of every file system: a rename is atomic, in two
directories too; a sector of 512 bytes is written whole or not at all; what was
never written to keeps its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from safeh5.testing.states.events import DATA, NAMES, Event, Kind

ROOT: Final = -1
_REWRITES: Final = DATA | {Kind.FACTS}


class Fate(NamedTuple):
    """What became of a pending change; see `FATES`."""

    what: str
    at: int = 0


Choice = Mapping[int, Fate]
"""The fate of pending changes, by their number; those that are not in it were kept."""

FATES: Final = {
    "lost": "nothing of it reached the disk",
    "first": "only its first `at` bytes did",
    "last": "only its bytes from `at` on did",
    "zeros": "the file got its new length, filled with zeros",
    "garbage": "the file got its new length, filled with whatever was on the disk before",
    "times": "its time of modification was lost, and its mode (`fdatasync` keeps neither)",
}


class File(NamedTuple):
    """A file as it is found after the crash."""

    data: bytes
    mtime: int
    mode: int
    digest: bytes


class Tree(NamedTuple):
    """All that is found after the crash, by path relative to the directory of the workload."""

    files: dict[str, File]
    directories: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """Equal for trees that nobody can tell apart."""
        whole = hashlib.blake2b(digest_size=16)
        for path in sorted(self.files):
            file = self.files[path]
            whole.update(f"{path}\0{file.mtime}\0{file.mode}\0".encode() + file.digest)
        whole.update("\0".join(sorted(self.directories)).encode())
        return whole.digest()


@dataclass
class Inode:
    """A file or directory, reached by a name or not."""

    number: int
    directory: bool = False
    data: bytes = b""
    mtime: int = 0
    mode: int = 0o600
    pending: list[tuple[int, Event]] = field(default_factory=list)
    entries: dict[str, int] = field(default_factory=dict)
    soft: list[tuple[int, int, int]] = field(default_factory=list)
    """Changes of time and mode that a data sync has gone over: number, time, mode."""


class Change(NamedTuple):
    """A pending change of names: in which directories, of which inode."""

    number: int
    event: Event
    inode: int
    places: tuple[tuple[int, str], ...]


class Disk:
    """Follows a trace.

    Parameters
    ----------
    start : Tree, optional
        What is there, durably, at the beginning.
    """

    def __init__(self, start: Tree | None = None) -> None:
        self.inodes: dict[int, Inode] = {ROOT: Inode(ROOT, directory=True)}
        self.changes: list[Change] = []
        self.count = 0
        self.synced_at = 0
        self._known: dict[int, int] = {}
        self._next = 0
        self._contents: dict[object, File] = {}
        # Names as the workload sees them: everything kept.
        self._seen: dict[str, int] = {"": ROOT}
        if start is not None:
            self._begin(start)

    def _begin(self, start: Tree) -> None:
        for path in sorted(start.directories):
            self._place(path, self._make(directory=True))
        for path, file in start.files.items():
            inode = self._make(directory=False)
            inode.data, inode.mtime, inode.mode = file.data, file.mtime, file.mode
            self._place(path, inode)

    def _place(self, path: str, inode: Inode) -> None:
        parent, name = _split(path)
        self.inodes[self._seen[parent]].entries[name] = inode.number
        self._seen[path] = inode.number

    def _make(self, *, directory: bool) -> Inode:
        self._next += 1
        inode = self.inodes[self._next] = Inode(self._next, directory)
        return inode

    def at(self, path: str) -> Inode | None:
        """The file or directory that the workload sees at a path."""
        number = self._seen.get(path)
        return None if number is None else self.inodes[number]

    def name_of(self, number: int) -> str:
        """A path of an inode, as the workload sees it; empty when it has none."""
        return next((path for path, found in self._seen.items() if found == number), "")

    # --- following the trace ----------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Do what the next event of the trace did."""
        self.count += 1
        if event.kind in _REWRITES:
            self._inode_of(event).pending.append((self.count, event))
        elif event.kind is Kind.SYNC:
            self.synced_at = self.count
            self._sync(self._inode_of(event), event.facts)
        elif event.kind in NAMES:
            self._rename(event)

    def _inode_of(self, event: Event) -> Inode:
        number = self._known.get(event.inode)
        if number is None:
            # It was there at the beginning; from here on it is known by its number too.
            number = self._known[event.inode] = self._seen[event.path]
        return self.inodes[number]

    def _rename(self, event: Event) -> None:
        parent, name = _split(event.path)
        places = [(self._seen[parent], name)]
        if event.kind in (Kind.CREATE, Kind.MKDIR):
            inode = self._make(directory=event.kind is Kind.MKDIR)
            inode.mtime, inode.mode = event.mtime, event.mode
            self._known[event.inode] = number = inode.number
        else:
            number = self._seen[event.path]
            self._known[event.inode] = number
        if event.other:
            parent, name = _split(event.other)
            places.append((self._seen[parent], name))
        self.changes.append(Change(self.count, event, number, tuple(places)))
        self._see(event, number)

    def _see(self, event: Event, number: int) -> None:
        if event.kind in (Kind.UNLINK, Kind.RMDIR):
            del self._seen[event.path]
        elif event.kind is Kind.RENAME:
            for path in [p for p in self._seen if p == event.path or p.startswith(event.path + "/")]:
                self._seen[event.other + path[len(event.path) :]] = self._seen.pop(path)
        else:
            self._seen[event.other or event.path] = number

    def _sync(self, inode: Inode, facts: bool) -> None:
        if inode.directory:
            self._sync_names(inode.number)
            return
        file = self._content(inode, {})
        if facts:
            inode.mtime, inode.mode, inode.soft = file.mtime, file.mode, []
        else:
            inode.soft += [(n, e.mtime, e.mode) for n, e in inode.pending]
        inode.data, inode.pending = file.data, []

    def _sync_names(self, directory: int) -> None:
        """A rename between two directories is one change: it is durable in both when it is in one."""
        kept: list[Change] = []
        for change in self.changes:
            if any(place[0] == directory for place in change.places):
                _enter(self._entries(), change)
                gone = change.places[0] if change.event.kind is Kind.RENAME else None
                # What made the old name in the other directory can do so no more.
                kept = [earlier for earlier in kept if gone not in earlier.places]
            else:
                kept.append(change)
        self.changes = kept

    def _entries(self) -> dict[int, dict[str, int]]:
        return {number: inode.entries for number, inode in self.inodes.items() if inode.directory}

    # --- what is left -----------------------------------------------------------------

    def build(self, choice: Choice) -> Tree:
        """The tree that is left when each pending change had its fate."""
        entries = {number: dict(names) for number, names in self._entries().items()}
        for change in self.changes:
            if change.number not in choice:
                _enter(entries, change)
        files: dict[str, File] = {}
        directories: list[str] = []
        self._walk(entries, ROOT, "", choice, files, directories)
        return Tree(files, tuple(sorted(directories)))

    def _walk(
        self,
        entries: dict[int, dict[str, int]],
        number: int,
        below: str,
        choice: Choice,
        files: dict[str, File],
        directories: list[str],
    ) -> None:
        for name, child in entries[number].items():
            path, inode = below + name, self.inodes[child]
            if inode.directory:
                directories.append(path)
                self._walk(entries, child, path + "/", choice, files, directories)
            else:
                files[path] = self._content(inode, choice)

    def _content(self, inode: Inode, choice: Choice) -> File:
        """The bytes of a file, with their digest; what was built once is kept."""
        fates = tuple((n, choice.get(n)) for n, _ in inode.pending)
        soft = tuple(choice.get(n) for n, *_ in inode.soft)
        key = inode.number, self.synced_at, fates, soft
        found = self._contents.get(key)
        if found is None:
            if len(self._contents) > 4096:
                self._contents.clear()
            found = self._contents[key] = _content(inode, choice)
        return found


def _content(inode: Inode, choice: Choice) -> File:
    data, mtime, mode = bytearray(inode.data), inode.mtime, inode.mode
    for number, time, bits in inode.soft:
        if number not in choice:
            mtime, mode = time, bits
    for number, event in inode.pending:
        fate = choice.get(number)
        if event.kind in DATA:
            _write(data, event, fate)
        if fate is None or fate.what not in ("lost", "times"):
            mtime, mode = event.mtime, event.mode
    whole = bytes(data)
    return File(whole, mtime, mode, hashlib.blake2b(whole, digest_size=16).digest())


def _write(data: bytearray, event: Event, fate: Fate | None) -> None:
    """Do to `data` what is left of a write or a truncation."""
    what, at = fate if fate is not None else ("kept", 0)
    if what == "lost":
        return
    if event.kind is Kind.TRUNCATE:
        del data[event.offset :]
        data.extend(bytes(event.offset - len(data)))
        return
    start, end = event.offset, event.offset + len(event.data)
    if what in ("zeros", "garbage"):
        # Only what was never written before can be so: elsewhere the old bytes are.
        missing = range(len(data), end)
        data.extend(garbage(missing, at) if what == "garbage" else bytes(len(missing)))
        return
    if what == "first":
        end = min(end, start + at)
    data.extend(bytes(max(0, end - len(data))))
    if what == "last":
        start += at
    data[start:end] = event.data[start - event.offset : end - event.offset]


def garbage(where: range, seed: int) -> bytes:
    """Bytes that nobody wrote."""
    block = hashlib.blake2b(seed.to_bytes(8, "little"), digest_size=64).digest()
    return (block * (len(where) // 64 + 1))[: len(where)]


def _enter(entries: dict[int, dict[str, int]], change: Change) -> None:
    """Do to the entries of directories what a change of names does."""
    kind = change.event.kind
    (parent, name), (place, new) = change.places[0], change.places[-1]
    if kind in (Kind.UNLINK, Kind.RMDIR, Kind.RENAME) and entries[parent].get(name) == change.inode:
        del entries[parent][name]
    if kind not in (Kind.UNLINK, Kind.RMDIR):
        entries[place][new] = change.inode


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent, name


# --- real directories -----------------------------------------------------------------


def read_tree(root: Path) -> Tree:
    """What is in a real directory."""
    files, directories = {}, []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_dir():
            directories.append(name)
        else:
            data, facts = path.read_bytes(), path.stat()
            digest = hashlib.blake2b(data, digest_size=16).digest()
            files[name] = File(data, facts.st_mtime_ns, facts.st_mode & 0o7777, digest)
    return Tree(files, tuple(directories))


def follow(events: Iterable[Event], start: Tree | None = None) -> Disk:
    """The disk after all of a trace."""
    disk = Disk(start)
    for event in events:
        disk.apply(event)
    return disk
