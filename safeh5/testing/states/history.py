"""What may be found after a crash: read from the marks of a trace.

Of each target: what it holds by commits that returned, and the states of its
open session from the last one that was promised on. After a recovery by replay
it must hold one of these, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safeh5.operations.control import SessionRecord, decode_control
from safeh5.storage.names import SUFFIX
from safeh5.testing.states.contents import ABSENT, Contents, Shadow, digest_of
from safeh5.testing.states.disk import Disk
from safeh5.testing.states.events import Event, Kind


class ProofError(Exception):
    """The trace does not tell what happened; the message says in which point."""


class Expected(NamedTuple):
    """What must be true of one target at one point of a trace.

    Attributes
    ----------
    replayed : tuple of int
        Contents that it may have after a replay.
    rolled_back : tuple of int
        Contents that it may have after a roll back.
    found : frozenset of bytes
        Digests of the bytes that it may have before any recovery; an empty
        one for no file at all.
    mode : int or None
        Its permissions, where a commit must keep them.
    """

    replayed: tuple[int, ...]
    rolled_back: tuple[int, ...]
    found: frozenset[bytes]
    mode: int | None


class _State(NamedTuple):
    content: int
    lsn: int


@dataclass
class _Session:
    """A session under way."""

    shadow: Shadow
    states: list[_State]
    tip: int
    changes: bool = False
    durable: int = 0
    leaving: bool = False
    committing: bool = False


@dataclass
class Target:
    """The history of one target, up to the present point."""

    path: str
    content: int
    digest: bytes
    mode: int | None
    session: _Session | None = None
    placed: bytes | None = None
    """What was renamed over it by a commit that has not returned yet."""

    def expected(self) -> Expected:
        """What must be true now."""
        found = frozenset(self.digest if b is None else b for b in (self.digest, self.placed))
        session = self.session
        if session is None:
            return Expected((self.content,), (self.content,), found, self.mode)
        # A commit, or a recovery, under way may have put any state there that a replay may give.
        replayed = {state.content for state in session.states[session.durable :]}
        if session.durable == 0 or session.leaving:
            replayed.add(self.content)
        back = {self.content} | (replayed if session.committing else set())
        return Expected(tuple(sorted(replayed)), tuple(sorted(back)), found, self.mode)


class History:
    """Follows a trace and keeps what may be found, of every target in it.

    Parameters
    ----------
    contents : Contents
        Where the states go.
    scratch : Path
        An empty directory.
    events : list of Event
        The trace that is going to be followed.
    disk : Disk
        Before the first event.
    """

    def __init__(self, contents: Contents, scratch: Path, events: list[Event], disk: Disk) -> None:
        self.contents = contents
        self.targets: dict[str, Target] = {}
        for path in targets_of(events):
            data = _bytes(disk, path)
            mode = None if data is None else _mode(disk, path)
            self.targets[path] = Target(path, contents.add(data), _digest(data), mode)
        self._scratch = scratch
        self._openings = [event.said for event in events if event.path == "opened"]
        self._of: dict[str, Target] = {}
        self._count = 0

    def follow(self, event: Event, disk: Disk) -> None:
        """Take note of the next event, which `disk` has followed already."""
        if event.kind is Kind.RENAME:
            self._renamed(event.other, disk)
        if event.kind is Kind.MARK:
            said = event.said
            if event.path == "opened":
                self._openings.pop(0)
                self._opened(said, disk)
            elif event.path in ("recovering", "recovered"):
                self._recovery(event.path, said, disk)
            elif said.get("session") in self._of:
                self._marked(event.path, said, self._of[said["session"]], disk)

    @property
    def sessions(self) -> set[str]:
        """The ids of all sessions so far."""
        return set(self._of)

    def expected(self) -> dict[str, Expected]:
        """What must be true now, by target."""
        return {path: target.expected() for path, target in self.targets.items()}

    def _renamed(self, path: str, disk: Disk) -> None:
        if path in self.targets:
            self.targets[path].placed = digest_of(_bytes(disk, path) or b"")
        coming = self._openings[0] if self._openings else {}
        if path == f"{coming.get('target')}{SUFFIX}" and coming["session"] not in self._of:
            # The session exists from here on, although the call that opens it has not returned.
            self._opened(coming, disk)

    # --- sessions -----------------------------------------------------------------------

    def _opened(self, said: dict[str, object], disk: Disk) -> None:
        path, key = said["target"], str(said["session"])
        if not isinstance(path, str):
            return
        known = self._of.get(key)
        if known is not None and known.session is not None:
            # Resumed: what is there is durable, and a batch that was open does not exist.
            self._promise(known.session, int(str(said["lsn"])))
            known.session.shadow.back_to(known.session.tip)
            return
        data = _bytes(disk, path)
        target = self.targets[path]
        self._of[key] = target
        record = said["record"]
        assert isinstance(record, bytes)
        session = decode_control(SessionRecord, record)
        self._count += 1
        shadow = Shadow(self.contents, self._scratch / str(self._count), session, data)
        # What changes nothing may be committed as the old file, or as the new and empty one.
        target.session = _Session(shadow, [_State(shadow.first, 0)], shadow.first)
        target.session.changes = not session.copy
        if session.copy:
            target.session.states[0] = _State(target.content, 0)
            target.session.tip = target.content

    def _marked(self, name: str, said: dict[str, object], target: Target, disk: Disk) -> None:
        session = target.session
        if session is None:
            return
        if name == "operation":
            operation, values = said["operation"], said["values"]
            assert isinstance(operation, bytes) and isinstance(values, bytes)
            session.shadow.apply(operation, values, int(str(said["lsn"])))
        elif name == "ending":
            session.states.append(_State(session.shadow.state(), 1 << 62))
        elif name == "ended":
            session.tip, session.changes = session.states[-1].content, True
            session.states[-1] = _State(session.tip, int(str(said["lsn"])))
        elif name == "aborted":
            session.shadow.back_to(session.tip)
        elif name == "promise":
            self._promise(session, int(str(said["lsn"])))
        elif name == "committing":
            session.committing = True
        elif name == "committed":
            self._settle(target, disk, session.tip if session.changes else target.content)
        elif name == "leaving":
            session.leaving = True
        elif name == "left":
            self._settle(target, disk, target.content)

    def _promise(self, session: _Session, lsn: int) -> None:
        reached = [i for i, state in enumerate(session.states) if state.lsn <= lsn]
        session.durable = max([session.durable, *reached])

    def _recovery(self, name: str, said: dict[str, object], disk: Disk) -> None:
        target = self.targets.get(str(said["target"]))
        session = target.session if target is not None else None
        if target is None or session is None:
            return
        if name == "recovering":
            if said["action"] == "rollback":
                session.leaving = True
            session.committing = True
            return
        # It may have come to any of the states that it was allowed to come to, and there it stays.
        data = _bytes(disk, target.path)
        number = self._which(data, target.expected().replayed)
        self._settle(target, disk, number)

    def _which(self, data: bytes | None, allowed: tuple[int, ...]) -> int:
        if data is None:
            if ABSENT in allowed:
                return ABSENT
        else:
            found = self._scratch / "found.h5"
            found.write_bytes(data)
            for number in allowed:
                if self.contents.is_one(found, digest_of(data), number):
                    return number
        raise ProofError("a recovery that was not disturbed brought back what it should not")

    def _settle(self, target: Target, disk: Disk, content: int) -> None:
        """The session has ended: from here on the target holds this, for sure."""
        data = _bytes(disk, target.path)
        if self._which(data, (content,)) != content:
            raise ProofError(f"{target.path} does not hold what was committed")
        assert target.session is not None
        target.session.shadow.close()
        target.session = None
        target.content, target.digest, target.placed = content, _digest(data), None
        target.mode = None if data is None else _mode(disk, target.path)


def targets_of(events: list[Event]) -> list[str]:
    """Every target that a session of the trace was opened on."""
    opened = [event.said["target"] for event in events if event.path == "opened"]
    return sorted({path for path in opened if path is not None})


def _bytes(disk: Disk, path: str) -> bytes | None:
    """The content of a file as the workload sees it."""
    file = disk.build({}).files.get(path)
    return None if file is None else file.data


def _mode(disk: Disk, path: str) -> int:
    return disk.build({}).files[path].mode


def _digest(data: bytes | None) -> bytes:
    return b"" if data is None else digest_of(data)
