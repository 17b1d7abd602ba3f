"""A disk that knows what was synced, and the states in which a power cut may leave it.

`RecordingStorage` is the real disk, less the waiting for it; it notes each
write, truncation and sync, each name made or removed. `states` takes the notes
up to a cut and gives every content that the files may have then: what was
synced is there; of the rest nothing, all, all but one, a first part, or a
write torn at a sector.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safeh5.storage import RandomFile, Storage, StrPath

SECTOR = 512

Disk = dict[str, bytes]


@dataclass(frozen=True)
class Event:
    """One effect on one file; a sync of a directory has the directory's path."""

    effect: Literal["write", "truncate", "sync", "create", "unlink", "sync_directory"]
    path: str
    offset: int = 0
    data: bytes = b""


class RecordingStorage(Storage):
    """Notes what is done to files that are written anywhere; appending is not used here."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def create_random(self, path: StrPath) -> RandomFile:
        file = _Recorded(self, super().create_random(path))
        self.events.append(Event("create", file.path))
        return file

    def open_random(self, path: StrPath) -> RandomFile:
        return _Recorded(self, super().open_random(path))

    def unlink(self, path: StrPath) -> None:
        super().unlink(path)
        self.events.append(Event("unlink", os.fspath(path)))

    def sync_path(self, path: StrPath) -> None:
        self.events.append(Event("sync", os.fspath(path)))

    def sync_directory(self, path: StrPath) -> None:
        self.events.append(Event("sync_directory", os.fspath(path)))


class _Recorded(RandomFile):
    def __init__(self, storage: RecordingStorage, file: RandomFile) -> None:
        super().__init__(file.path, file.detach())
        self._storage = storage

    def _note(self, event: Event) -> None:
        self._storage.events.append(event)

    def _do_write(self, view: memoryview, offset: int) -> int:
        count = super()._do_write(view, offset)
        self._note(Event("write", self.path, offset, bytes(view[:count])))
        return count

    def _do_truncate(self, size: int) -> None:
        super()._do_truncate(size)
        self._note(Event("truncate", self.path, size))

    def _do_sync(self) -> None:
        self._note(Event("sync", self.path))


def disk_of(directory: Path) -> Disk:
    """The files of a directory, all of them durable."""
    return {str(path): path.read_bytes() for path in directory.iterdir() if path.is_file()}


def apply(disk: Disk, events: Iterable[Event]) -> Disk:
    """The disk after some of the events; those on a file that is not there are lost with it."""
    disk = dict(disk)
    for event in events:
        content = disk.get(event.path)
        if event.effect == "create":
            disk[event.path] = b""
        elif event.effect == "unlink":
            disk.pop(event.path, None)
        elif content is None:
            continue
        elif event.effect == "write":
            before = content[: event.offset].ljust(event.offset, b"\0")
            disk[event.path] = before + event.data + content[event.offset + len(event.data) :]
        elif event.effect == "truncate":
            disk[event.path] = content[: event.offset].ljust(event.offset, b"\0")
    return disk


def states(base: Disk, events: list[Event]) -> Iterator[tuple[str, Disk]]:
    """Every disk that a power cut after `events` may leave, with a word on which it is."""
    sure = [_is_sure(events, index) for index in range(len(events))]
    doubtful = [
        index for index in range(len(events)) if not sure[index] and "sync" not in events[index].effect
    ]

    def disk(without: Iterable[int], torn: tuple[int, Event] | None = None) -> Disk:
        gone = set(without)
        kept = [
            torn[1] if torn is not None and torn[0] == index else event
            for index, event in enumerate(events)
            if index not in gone
        ]
        return apply(base, kept)

    yield "all of it", disk([])
    for count, index in enumerate(doubtful):
        yield f"the first {count} of {len(doubtful)} only", disk(doubtful[count:])
        yield f"all but {events[index].effect} {index}", disk([index])
        for part in _torn(events[index]):
            yield f"{len(part.data)} bytes of write {index}", disk([], (index, part))
            yield (
                f"{len(part.data)} bytes of write {index}, then none",
                disk(doubtful[count + 1 :], (index, part)),
            )


def _is_sure(events: list[Event], index: int) -> bool:
    """Whether a later sync covers an event."""
    event, later = events[index], events[index + 1 :]
    if event.effect in ("create", "unlink"):
        directory = os.path.dirname(event.path)
        return any(e.effect == "sync_directory" and e.path == directory for e in later)
    return any(e.effect == "sync" and e.path == event.path for e in later)


def _torn(event: Event) -> Iterator[Event]:
    """First parts of a write, in whole sectors: the first, the middle, all but the last."""
    sectors = len(event.data) // SECTOR if event.effect == "write" else 0
    for count in sorted({1, sectors // 2, sectors - 1} - {0, -1}) if sectors > 1 else []:
        yield Event("write", event.path, event.offset, event.data[: count * SECTOR])
