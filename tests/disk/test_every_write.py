"""Every change of the disk that a session makes refused in turn, for every reason, once and for ever."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import ApplyError, FreeSpaceError, JournalWriteError, SafeH5Error, SessionFailedError
from safeh5.journal import tail
from safeh5.session import Session, State
from safeh5.testing.faults import LOOKING, Fault, FaultyStorage
from safeh5.testing.world import batches, entries, held_in, make_old, write_batch

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PLAIN_WRITES = (
    "append",
    "amend",
    "write_at",
    "create",
    "create_random",
    "copy_file",
    "allocate",
    "give_back",
)
"""Effects after whose failure nothing is in doubt: the call can simply be made again."""
OPTIONS = {"segment_bytes": 8 << 10, "journal_limit": 32 << 10, "refuse_below": 0}
ITEM = 2048
LENGTH = 12


@pytest.fixture(autouse=True)
def _frames_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The items of these runs are written as those of hundreds of KiB are: not copied, and read back."""
    monkeypatch.setattr(tail, "COPIED", ITEM)


@dataclass
class Run:
    """One session that meets a fault: what it acknowledged, and how it ended."""

    target: Path
    storage: FaultyStorage
    acknowledged: list[str] = field(default_factory=list)
    length: int = 0
    session: Session | None = None
    errors: list[BaseException] = field(default_factory=list)

    def go(self) -> None:
        """The whole workload; each step is tried again once when the disk refused it."""
        for step in (self.open, self.batch(0), self.frames, self.cancelled, self.batch(1), self.checkpoint,
                     self.resumed, self.batch(2), self.commit):  # fmt: skip
            if not self.attempt(step):
                return

    def attempt(self, step: Callable[[], None]) -> bool:
        for _ in range(2):
            try:
                step()
            except (FreeSpaceError, JournalWriteError, ApplyError, SessionFailedError) as error:
                assert str(self.target.name) in str(error), "the error says where"
                self.errors.append(error)
                if self.session is not None and self.session.state is State.FAILED:
                    return False
            else:
                return True
        return False

    def open(self) -> None:
        self.session = safeh5.open(self.target, storage=self.storage, **OPTIONS)  # type: ignore[arg-type]

    def batch(self, number: int) -> Callable[[], None]:
        def write() -> None:
            assert self.session is not None
            if f"b{number}" not in self.acknowledged:
                write_batch(self.session, number)
                self.acknowledged.append(f"b{number}")

        return write

    def frames(self) -> None:
        """Enough for new segments, and for an anchor."""
        assert self.session is not None
        stream = self.session.stream("/frames", shape=(ITEM,), dtype="u2")
        while self.length < LENGTH:
            stream.append(np.full(ITEM, self.length))
            self.length += 1

    def cancelled(self) -> None:
        assert self.session is not None
        try:
            with self.session.batch():
                write_batch(self.session, 9)
                raise InterruptedError
        except InterruptedError:
            pass

    def checkpoint(self) -> None:
        assert self.session is not None
        self.session.checkpoint()

    def resumed(self) -> None:
        """Suspended, if it is not yet, and resumed."""
        assert self.session is not None
        if self.session.state is State.OPEN:
            self.session.suspend()
        self.session = safeh5.open(self.target, resume=True, storage=self.storage, **OPTIONS)  # type: ignore[arg-type]

    def commit(self) -> None:
        assert self.session is not None
        self.session.commit()

    def kept(self, old: bool) -> None:
        """What was acknowledged is in the target, and nothing by halves."""
        with h5py.File(self.target) as file:
            length = len(file["frames"]) if "frames" in file else 0
            assert length >= self.length
            for number in range(length):
                assert set(file["frames"][number]) == {number}
            names = held_in(_Without(file, "frames"))  # type: ignore[arg-type]
        assert set(self.acknowledged) | ({"old"} if old else set()) <= names <= batches(0, 1, 2, old=old)


class _Without:
    """A file without one of its objects."""

    def __init__(self, file: h5py.File, name: str) -> None:
        self._file, self._name = file, name

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (name for name in self._file if name != self._name)

    def __getitem__(self, name: str):  # type: ignore[no-untyped-def]
        return self._file[name]


def check(directory: Path, fault: Fault, old: bool, plain: bool) -> None:
    """One run with one fault, and everything that must hold after it."""
    directory.mkdir()
    target = directory / "run.h5"
    before = make_old(target) if old else None
    run = Run(target, FaultyStorage(fault))
    run.go()
    if run.session is not None and run.session.state is State.COMMITTED:
        pass
    else:
        once = fault.times == 1
        assert not (once and plain), f"{fault}: {run.errors[-2:]}, and the session did not go on"
        if run.session is not None and run.session.state is State.OPEN:
            run.session._abandon()
        if old and fault.effect != "replace" and target.read_bytes() != before:
            run.kept(old)
        run.storage.mend()
        if entries(target):
            safeh5.recover(target)
    if run.acknowledged or run.length:
        run.kept(old)
        safeh5.recover(target)
        assert all(".safeh5-torn-" in name for name in entries(target)), entries(target)
    elif old and target.read_bytes() != before:
        # A batch whose sync failed was not acknowledged, and may be there all the same.
        run.kept(old)


def calls(tmp_path: Path, old: bool) -> list[tuple[str, int]]:
    """Every effect that a run without faults has, and the how manieth of its kind it is."""
    target = tmp_path / "run.h5"
    if old:
        make_old(target)
    run = Run(target, FaultyStorage())
    run.go()
    assert not run.errors and run.session is not None and run.session.state is State.COMMITTED
    counts: dict[str, int] = {}
    found = []
    for effect in run.storage.effects():
        counts[effect] = counts.get(effect, 0) + 1
        if effect not in LOOKING:
            found.append((effect, counts[effect]))
    assert {"append", "amend", "write_at", "copy_file", "replace", "unlink"} <= set(counts) | (
        set() if old else {"copy_file"}
    )
    return found


@pytest.mark.parametrize("old", [False, True], ids=["new", "over-old"])
def test_whatever_change_the_disk_refuses_nothing_is_lost_and_what_can_go_on_goes_on(
    tmp_path: Path, old: bool
) -> None:
    ways = [(error, times) for error in ERRORS for times in (1, None)]
    for index, (effect, nth) in enumerate(calls(tmp_path, old)):
        if index % 12 != 5 * old:
            continue
        error, times = ways[(index // 12 + nth) % len(ways)]
        fault = Fault(effect, nth=nth, times=times, error=error)
        check(tmp_path / f"{index}", fault, old, plain=effect in PLAIN_WRITES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("times", [1, None], ids=["once", "for-ever"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over-old"])
def test_every_change_for_every_reason(tmp_path: Path, old: bool, times: int | None, error: int) -> None:
    for index, (effect, nth) in enumerate(calls(tmp_path, old)):
        fault = Fault(effect, nth=nth, times=times, error=error)
        check(tmp_path / f"{index}", fault, old, plain=effect in PLAIN_WRITES)


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.__getitem__)
def test_a_journal_write_that_fails_once_costs_that_record_only(tmp_path: Path, error: int) -> None:
    target = tmp_path / "run.h5"
    storage = FaultyStorage()
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    for number in range(1, 5):
        storage.replan(Fault("append", path="journal-", error=error, short=20))
        with pytest.raises(FreeSpaceError if error in NO_ROOM else JournalWriteError) as caught:
            write_batch(session, number)
        assert isinstance(caught.value, OSError) and caught.value.errno == error
        assert session.state is State.OPEN
        write_batch(session, number)
    session.commit()
    with h5py.File(target) as file:
        assert held_in(file) == batches(0, 1, 2, 3, 4)


def test_a_disk_that_is_read_only_for_a_while_stops_the_session_for_that_while(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    old = make_old(target)
    storage = FaultyStorage()
    session = safeh5.open(target, storage=storage)
    write_batch(session, 0)
    storage.replan(*(Fault(effect, times=None, error=errno.EROFS) for effect in PLAIN_WRITES))
    for _ in range(3):
        with pytest.raises(SafeH5Error):
            write_batch(session, 1)
    with pytest.raises(SafeH5Error, match="Read-only"):
        session.commit()
    assert session.state is State.OPEN and target.read_bytes() == old
    storage.mend()
    write_batch(session, 2)
    session.commit()
    with h5py.File(target) as file:
        assert held_in(file) == batches(0, 2, old=True)
