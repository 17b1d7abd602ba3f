"""What all parts of the machine share: the target, the session, its history, and how it dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

import safeh5
from safeh5.errors import SafeH5Error
from safeh5.session import Session, State
from safeh5.session.stream import Stream
from safeh5.testing.camera import Camera, Shot
from safeh5.testing.oracle import History, Oracle, content

Change = Callable[[h5py.File], object]

options = st.fixed_dictionaries(
    {
        "durability": st.sampled_from(["record", "flush", "interval"]),
        "segment_bytes": st.sampled_from([700, 4000, 1 << 20]),
        "journal_limit": st.sampled_from([1 << 30, 3000, 20_000]),
        "checkpoint_bytes": st.sampled_from([1 << 28, 1, 100, 2000]),
    }
)
"""Options of `safeh5.open`, chosen so that small sessions meet everything."""

shots = st.builds(
    Shot,
    nth=st.integers(1, 12) | st.integers(1, 60),
    part=st.none() | st.integers(0, 200),
    lost=st.sampled_from([0.0, 1.0, 0.5, 0.1]),
)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was true when the picture was taken."""

    history: History
    done: int


class MachineBase(RuleBasedStateMachine):
    """Sessions on one target, in a directory of their own.

    Attributes
    ----------
    session : Session or None
        The session that is open.
    target : Path
        Its target.
    history : History or None
        What the session that is open, or was interrupted, has done; None when there is none.
    """

    directory_for_files: str | None = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    def __init__(self) -> None:
        super().__init__()
        self._root = Path(os.path.realpath(tempfile.mkdtemp(prefix="safeh5-", dir=self.directory_for_files)))
        directory = self._root / "data"
        directory.mkdir()
        self.camera = Camera(directory, self._root)
        self.oracle = Oracle(self._root)
        self.session: Session | None = None
        self.history: History | None = None
        self.streams: dict[str, Stream] = {}
        self._committed: bytes = self.oracle.empty()
        self._base: bytes | None = None
        self._moment: _Moment | None = None
        self._older: list[Path] = []
        self._streams_before: set[str] = set()
        self._count = 0
        self.durability = "record"

    @property
    def target(self) -> Path:
        """The HDF5 file."""
        return self.camera.directory / "run.h5"

    # --- for subclasses -------------------------------------------------------------------

    def is_open(self) -> bool:
        """A session is open."""
        return self.session is not None

    def is_clean(self) -> bool:
        """There is no session, not even an interrupted one."""
        return self.session is None and self.history is None

    def is_busy(self) -> bool:
        """There is a session, open or interrupted."""
        return self.history is not None

    def is_interrupted(self) -> bool:
        """There is an interrupted session."""
        return self.session is None and self.history is not None

    def has_streams(self) -> bool:
        """A stream is open."""
        return self.session is not None and bool(self.streams)

    def done(self, change: Change) -> None:
        """The session has ended a batch; `change` does the same to the oracle."""
        assert self.session is not None and self.history is not None
        self.history.add(self.oracle.change(change), self.session.last_lsn)
        self._promised()
        if self.durability == "record":
            assert self.history.durable == len(self.history.states) - 1, "it returned and is not durable"

    def fresh(self, prefix: str) -> str:
        """A name that was not used before."""
        self._count += 1
        return f"{prefix}{self._count}"

    def _promised(self) -> None:
        assert self.session is not None and self.history is not None
        self.history.promise(self.session.durable_lsn)

    def _open(self, mode: Any = "a", **options: Any) -> Session:
        self.durability = options.get("durability", "record")
        # An interval that never ends: it is the journal's sync that counts, not the clock.
        return safeh5.open(self.target, mode, interval_ms=10**8, storage=self.camera, **options)

    def _forget_session(self) -> None:
        self.session = None
        self.streams = {}

    def _settled(self, index: int | None) -> None:
        """The session is over, the target in this state; None for as it was."""
        assert self.history is not None
        if index is not None:
            self._committed = self.history.states[index]
            unlike = self.oracle.differences(self.target, self._committed)
            assert not unlike, "\n".join(map(str, unlike))
        else:
            assert content(self.target) == self.history.base, "the old file was changed"
            self._committed = self.history.before
        self._base = content(self.target)
        self.history = None
        if self.camera.picture is None:
            # It ended before it was to die.
            self.camera.disarm()
            self._check_litter()

    def _check_litter(self) -> None:
        """The target, and what is kept aside under a name that says so."""
        kept = tuple(f"run.h5.safeh5-{why}-" for why in ("torn", "rolledback", "damaged"))
        found = [name for name in os.listdir(self.camera.directory) if not name.startswith(kept)]
        assert set(found) <= {"run.h5"}, f"left behind: {found}"

    # --- dying ----------------------------------------------------------------------------

    def _note(self) -> None:
        assert self.history is not None
        # A copy that shares the states: those that are still added may be under way.
        self._moment = _Moment(replace(self.history), len(self.history.states))

    @invariant()
    def checked(self) -> None:
        """After each step; if the picture was taken, all since then never was."""
        if self.camera.picture is not None:
            self._die()
        if self.session is not None and self.history is not None:
            assert content(self.target) == self.history.base, "the target was changed before commit"

    def _die(self) -> None:
        picture, moment = self.camera.picture, self._moment
        assert moment is not None and picture is not None
        self.camera.disarm()
        self._drop_session()
        shutil.rmtree(self.camera.directory)
        self.camera.directory = picture
        self.history = moment.history
        # What was under way when it died may be there, and nothing later.
        del self.history.states[moment.done + 1 :], self.history.lsns[moment.done + 1 :]
        self._base = self.history.base
        self._check_target()

    def _drop_session(self) -> None:
        session, self.session, self.streams = self.session, None, {}
        if session is not None and session.state is State.OPEN:
            with suppress(SafeH5Error):
                session.rollback()

    def _check_target(self) -> None:
        """Nobody has recovered anything: the old file, or a new one that is whole."""
        assert self.history is not None
        if content(self.target) != self.history.base:
            assert self.history.perhaps_committed, "the target was changed before commit"
            self.oracle.find(self.target, self.history)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._drop_session()
        shutil.rmtree(self._root, ignore_errors=True)
