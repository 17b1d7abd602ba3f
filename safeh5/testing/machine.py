"""A state machine that drives sessions against plain h5py: `SessionMachine`.

Every change is made twice, by a session and by `safeh5.testing.plain` in a
file of its own, of which a copy is kept at the end of each batch. After every
step, and whatever was killed, torn off or recovered in between:

1. What a call acknowledged is there.
2. The target is the old file, byte for byte, or the new one, whole.
3. What was recovered is a state that there was at the end of a batch.
4. Nobody speaks of damage where there is none.

To test a workload of your own, subclass it and add rules::

    class Mine(SessionMachine):
        @precondition(SessionMachine.is_open)
        @rule(n=st.integers(1, 9))
        def my_step(self, n):
            my_write(self.session, n)            # one batch
            self.done(lambda file: file.create_dataset(...))

    TestMine = Mine.TestCase

Needs Hypothesis: ``pip install 'safeh5[testing]'``.
"""

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
import numpy as np

import safeh5
from safeh5.errors import (
    ApplyError,
    InterruptedSessionError,
    NothingToRecoverError,
    RecoverError,
    SafeH5Error,
    TargetExistsError,
    TargetNotFoundError,
)
from safeh5.journal import scan
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.operations.model import WriteData
from safeh5.operations.values import encode_type
from safeh5.recovery import Condition, RecoveryReport
from safeh5.session import Session, State
from safeh5.session.stream import Stream
from safeh5.storage import Storage
from safeh5.storage.names import segment_number
from safeh5.testing import plain
from safeh5.testing.camera import Camera, Shot
from safeh5.testing.damage import Kind, NoEffectError, copy_of
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.oracle import History, Oracle, content

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as stnp
    from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
except ImportError as missing:
    raise ImportError("safeh5.testing.machine needs Hypothesis: pip install 'safeh5[testing]'") from missing

from safeh5.testing import strategies

Change = Callable[[h5py.File], object]

options = st.fixed_dictionaries(
    {
        "durability": st.sampled_from(["record", "flush", "interval"]),
        "segment_bytes": st.sampled_from([700, 4000, 1 << 20]),
        "journal_limit": st.sampled_from([1 << 30, 3000, 20_000]),
        "checkpoint_bytes": st.sampled_from([1 << 28, 100, 2000]),
    }
)
"""Options of `safeh5.open`, chosen so that small sessions meet everything."""

shots = st.builds(
    Shot,
    nth=st.integers(1, 12) | st.integers(1, 60),
    part=st.none() | st.integers(0, 200),
    lost=st.sampled_from([0.0, 1.0, 0.5, 0.1]),
)

_NOWHERE = WriteData(path="/nowhere", type=encode_type("<i4"))


class Cancelled(Exception):
    """Leaves a batch, which is then cancelled."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was true when the picture was taken."""

    history: History
    done: int


class SessionMachine(RuleBasedStateMachine):
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

    # --- beginning ------------------------------------------------------------------------

    @initialize(old=st.booleans(), tree=strategies.trees(max_nodes=3))
    def begin(self, old: bool, tree: MicroDataGroup) -> None:
        """There is a file, written by somebody else, or none."""
        if old:
            self._committed = self.oracle.change(lambda file: plain.write_tree(file, tree))
            self.target.write_bytes(self._committed)
            self._base = self._committed

    @precondition(is_clean)
    @rule(mode=st.sampled_from(["a", "a", "r+", "w", "x", "w-"]), options=options, shot=st.none() | shots)
    def open(self, mode: Any, options: dict[str, Any], shot: Shot | None) -> None:
        """Begin a session, or be refused."""
        empty = self._base is None or mode == "w"
        first = self.oracle.empty() if empty else self._committed
        self.history = History(self._base, self._committed, [first])
        if shot:
            self.camera.arm(shot, self._note)
        refusal: type[SafeH5Error] | None = None
        if self._base is not None and mode in ("x", "w-"):
            refusal = TargetExistsError
        elif self._base is None and mode == "r+":
            refusal = TargetNotFoundError
        try:
            self.session = self._open(mode, **options)
        except SafeH5Error as error:
            assert refusal is not None and isinstance(error, refusal), error
            self.history = None
            self.camera.disarm()
            return
        assert refusal is None, f"mode {mode!r} was not refused"
        self.oracle.restore(self.history.states[0])

    def _open(self, mode: Any = "a", **options: Any) -> Session:
        self.durability = options.get("durability", "record")
        # An interval that never ends: it is the journal's sync that counts, not the clock.
        return safeh5.open(self.target, mode, interval_ms=10**8, storage=self.camera, **options)

    # --- changing -------------------------------------------------------------------------

    @precondition(is_open)
    @rule(tree=strategies.trees(name="tree", max_nodes=5))
    def write(self, tree: MicroDataGroup) -> None:
        """A tree."""
        assert self.session is not None
        tree.name = self.fresh("t")
        self.session.write(tree)
        self.done(lambda file: plain.write_tree(file, tree))

    @precondition(is_open)
    @rule(array=strategies.arrays())
    def overwrite(self, array: Any) -> None:
        """A dataset in the place of another."""
        assert self.session is not None
        self.session.write(MicroDataset("again", array), overwrite=True)

        def change(file: h5py.File) -> None:
            if "again" in file:
                del file["again"]
            file.create_dataset("again", data=array)

        self.done(change)

    @precondition(is_open)
    @rule(steps=strategies.operations(), together=st.booleans())
    def record(self, steps: list[strategies.Step], together: bool) -> None:
        """Operations, each a batch of its own or all of them one."""
        assert self.session is not None
        steps = _renamed(steps, "/" + self.fresh("o"))
        if together:
            with self.session.batch():
                for step in steps:
                    self.session.record(*step)
            self.done(lambda file: plain.apply_operations(file, steps))
            return
        for step in steps:
            self.session.record(*step)
            self.done(lambda file, step=step: plain.apply_operation(file, *step))  # type: ignore[misc]

    @precondition(is_open)
    @rule(
        tree=strategies.trees(name="tree", max_nodes=3), steps=strategies.operations(), refused=st.booleans()
    )
    def cancel(self, tree: MicroDataGroup, steps: list[strategies.Step], refused: bool) -> None:
        """A batch that is cancelled, by an exception of the caller or of HDF5."""
        assert self.session is not None
        lengths = {path: stream.length for path, stream in self.streams.items()}
        tree.name = self.fresh("t")
        try:
            with self.session.batch():
                self.session.write(tree)
                for step in _renamed(steps, "/" + self.fresh("o")):
                    self.session.record(*step)
                for stream in self.streams.values():
                    stream.append(np.zeros(stream.shape, stream.dtype))
                if not refused:
                    raise Cancelled
                self.session.record(_NOWHERE)
        except (Cancelled, ApplyError) as error:
            assert isinstance(error, ApplyError) == refused
        assert {path: stream.length for path, stream in self.streams.items()} == lengths

    # --- streams --------------------------------------------------------------------------

    @precondition(is_open)
    @rule(dtype=strategies.numeric, shape=stnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    def stream(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """A new stream."""
        assert self.session is not None
        path = "/" + self.fresh("s")
        chunks = (4, *shape)
        self.streams[path] = self.session.stream(path, shape, dtype, chunks=chunks)
        maxshape = (None, *shape)
        self.done(
            lambda file: file.create_dataset(path, (0, *shape), dtype, maxshape=maxshape, chunks=chunks)
        )

    @precondition(has_streams)
    @rule(data=st.data(), count=st.integers(0, 5))
    def append(self, data: st.DataObject, count: int) -> None:
        """One item, or a block of them."""
        path, stream = self._some_stream(data)
        items = data.draw(stnp.arrays(stream.dtype, (max(1, count), *stream.shape)))
        start = stream.length
        if count:
            stream.extend(items)
        else:
            stream.append(items[0])
        assert stream.length == start + len(items)

        def change(file: h5py.File) -> None:
            file[path].resize(start + len(items), axis=0)
            file[path][start:] = items

        self.done(change)

    @precondition(has_streams)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        """Drop some items."""
        path, stream = self._some_stream(data)
        length = data.draw(st.integers(0, stream.length))
        stream.rewind(length)
        self.done(lambda file: file[path].resize(length, axis=0))

    @precondition(has_streams)
    @rule(data=st.data())
    def write_in_stream(self, data: st.DataObject) -> None:
        """Values in the known part."""
        path, stream = self._some_stream(data)
        shape = (stream.length, *stream.shape)
        if 0 in shape:
            return
        box = data.draw(strategies.boxes(shape))
        region = tuple(slice(s, s + n) for s, n in zip(box.start, box.count, strict=True))
        values = data.draw(stnp.arrays(stream.dtype, box.count))
        stream.write(region, values)
        self.done(lambda file: file[path].__setitem__(region, values))

    def _some_stream(self, data: st.DataObject) -> tuple[str, Stream]:
        path = data.draw(st.sampled_from(sorted(self.streams)))
        return path, self.streams[path]

    # --- durability and ends --------------------------------------------------------------

    @precondition(is_open)
    @rule(how=st.sampled_from(["sync", "checkpoint", "look"]))
    def settle(self, how: str) -> None:
        """Everything is promised from here on; or everything is looked at."""
        assert self.session is not None and self.history is not None
        if how == "look":
            unlike = self.oracle.differences(self.session.file, self.history.states[-1])
            assert not unlike, "\n".join(map(str, unlike))
            return
        if how == "sync":
            self.session.sync()
        else:
            self.session.checkpoint()
        self._promised()
        assert self.history.durable == len(self.history.states) - 1, "not all is durable"

    @precondition(is_open)
    @rule(how=st.sampled_from(["commit", "rollback", "keep", "suspend", "die", "die", "lose"]))
    def end(self, how: str) -> None:
        """The session ends: well, given up, to be gone on with, or because the process dies."""
        ends = {"commit": self._commit, "suspend": self._suspend, "die": self._kill}
        ends |= {"rollback": self._roll_back, "keep": lambda: self._roll_back(keep=True)}
        ends.get(how, lambda: self._kill(lost=1.0))()

    def _commit(self) -> None:
        assert self.session is not None and self.history is not None
        self.history.perhaps_committed = True
        self.session.commit()
        self._settled(len(self.history.states) - 1)
        self._forget_session()

    def _suspend(self) -> None:
        assert self.session is not None and self.history is not None
        self.session.suspend()
        self.history.durable = len(self.history.states) - 1
        self._forget_session()

    def _roll_back(self, keep: bool = False) -> None:
        assert self.session is not None and self.history is not None
        self.history.perhaps_rolled_back = True
        self.session.rollback(keep=keep)
        self._settled(None)
        self._forget_session()

    def _kill(self, lost: float = 0.0) -> None:
        self.camera.arm(Shot(lost=lost), self._note)
        self._note()
        self.camera.take()

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

    @precondition(is_busy)
    @rule(shot=shots)
    def arm(self, shot: Shot) -> None:
        """The process is going to die, some effects from here."""
        if not self.camera.armed:
            self.camera.arm(shot, self._note)

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

    # --- after death ----------------------------------------------------------------------

    @precondition(is_interrupted)
    @rule()
    def open_over(self) -> None:
        """Whoever does not say what to do with the interrupted session is told of it."""
        condition = self._condition()
        if condition is not Condition.CLEAN:
            try:
                self._open().rollback()
            except InterruptedSessionError:
                return
            raise AssertionError(f"{condition}, and a new session was begun over it")

    def _condition(self) -> Condition:
        report = safeh5.status(self.target)
        allowed = [Condition.INTERRUPTED, Condition.SUSPENDED, Condition.CLEAN]
        allowed += [Condition.IN_DOUBT, Condition.ROLLED_BACK]
        assert report.condition in allowed and not report.damage, f"nothing was damaged: {report}"
        return report.condition

    @precondition(is_interrupted)
    @rule(options=options)
    def resume(self, options: dict[str, Any]) -> None:
        """Go on, from the last durable state or a later one."""
        assert self.history is not None
        if self._condition() not in (Condition.INTERRUPTED, Condition.SUSPENDED):
            self.recover("replay")
            return
        self.session = self._open(resume=True, **options)
        index = self.oracle.find(self.session.file, self.history)
        self.history.cut(index)
        self.history.perhaps_committed = self.history.perhaps_rolled_back = False
        self.oracle.restore(self.history.states[index])
        self._reopen_streams()

    def _reopen_streams(self) -> None:
        assert self.session is not None
        for name in [name for name in self.session.file if name.startswith("s") and name[1:].isdigit()]:
            if name in self.session.file and isinstance(self.session.file[name], h5py.Dataset):
                length = len(self.session.file[name])
                self.streams["/" + name] = self.session.stream("/" + name)
                assert self.streams["/" + name].length == length

    @precondition(is_interrupted)
    @rule(action=st.sampled_from(["replay", "replay", "rollback", "salvage"]))
    def recover(self, action: str) -> None:
        """Finish, or give up."""
        history = self.history
        assert history is not None
        if action == "rollback":
            self._recover_by_roll_back(history)
            return
        history.perhaps_committed = True
        try:
            report = safeh5.recover(self.target, action, storage=self.camera)
        except NothingToRecoverError:
            assert history.may_be_base and history.base is None
            self._settled(None)
            return
        self._check_no_alarm(report)
        self._resolve()

    def _recover_by_roll_back(self, history: History) -> None:
        doubt, history.perhaps_rolled_back = history.perhaps_committed, True
        try:
            self._check_no_alarm(safeh5.recover(self.target, "rollback", storage=self.camera))
        except NothingToRecoverError:
            assert history.base is None
        except RecoverError:
            assert doubt, "it was never committed, and cannot be rolled back"
            history.perhaps_rolled_back = False
            self.recover("replay")
            return
        if doubt:
            self._resolve()
        else:
            self._settled(None)

    def _check_no_alarm(self, report: RecoveryReport) -> None:
        assert not report.damage and not report.losses, f"nothing was damaged: {report}"

    def _resolve(self) -> None:
        """The session is over; find out what the target is, and whether it may be that."""
        assert self.history is not None
        if content(self.target) == self.history.base and self.history.may_be_base:
            self._settled(None)
        else:
            self._settled(self.oracle.find(self.target, self.history))

    # --- damage ---------------------------------------------------------------------------

    @precondition(is_interrupted)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        """On a copy: the truth, or an error, or a loss that is named."""
        history = self.history
        sidecar = Path(f"{self.target}.safeh5")
        if history is None or not sidecar.is_dir() or not any(sidecar.iterdir()):
            return
        copy = copy_of(self.camera.directory, self._root / "damaged")
        damage = data.draw(strategies.damages(copy / sidecar.name, self._older))
        try:
            damage.apply(copy / sidecar.name, self._older)
        except NoEffectError:
            return
        self._keep_for_later(sidecar)

        numbers = [n for path in sidecar.glob("journal-*.log") if (n := segment_number(path))]
        silent = may_be_lost_in_silence(damage, max(numbers, default=0))
        # A whole journal in the place of another is a session, though not this one.
        exchanged = damage.kind is Kind.STALE and len(numbers) == 1

        complete = scan(Storage(), sidecar).is_complete

        def replayed(target: Path, report: RecoveryReport) -> None:
            said = report.torn or report.losses or report.damage or report.unfinished or silent
            if exchanged or (damage.file == "staging.h5" and not complete):
                # A journal that was pruned builds on it, and it has no checksums: decision 0012.
                return
            weaker = replace(history, durable=0 if said else history.durable)
            if content(target) != history.base or not weaker.may_be_base:
                self.oracle.find(target, weaker)

        def salvaged(target: Path, report: RecoveryReport) -> None:
            if report.losses:
                assert safeh5.verify(target, level="full").ok
            else:
                replayed(target, report)

        check_damaged(copy / "run.h5", damage, self._root / "second", replayed=replayed, salvaged=salvaged)

    def _keep_for_later(self, sidecar: Path) -> None:
        """Another sidecar, whose files and blocks may turn up in a later one."""
        if len(self._older) < 2:
            self._older.append(copy_of(sidecar, self._root / f"older-{len(self._older)}"))

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._drop_session()
        shutil.rmtree(self._root, ignore_errors=True)


def _renamed(steps: list[strategies.Step], top: str) -> list[strategies.Step]:
    """The same operations below another group than ``/ops``."""
    renamed: list[strategies.Step] = []
    for operation, payload in steps:
        paths = {
            name: top + value.removeprefix("/ops")
            for name in ("path", "source", "target")
            if isinstance(value := getattr(operation, name, None), str) and value.startswith("/ops")
        }
        renamed.append((_replaced(operation, paths), payload))
    return renamed


def _replaced(operation: Any, fields: dict[str, str]) -> Any:
    import msgspec

    return msgspec.structs.replace(operation, **fields)
