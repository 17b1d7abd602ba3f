"""A session begins, is settled, ends, dies, and is recovered."""

from __future__ import annotations

from typing import Any

import h5py
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

import safeh5
from safeh5.errors import (
    InterruptedSessionError,
    NothingToRecoverError,
    RecoverError,
    SafeH5Error,
    TargetExistsError,
    TargetNotFoundError,
)
from safeh5.microdata import MicroDataGroup
from safeh5.recovery import Condition, RecoveryReport
from safeh5.session import Session
from safeh5.testing import plain, strategies
from safeh5.testing.camera import Shot
from safeh5.testing.machine.base import MachineBase, options, shots
from safeh5.testing.oracle import History, content


class Life(MachineBase):
    """The life of a session."""

    # --- beginning ------------------------------------------------------------------------

    @initialize(old=st.booleans(), tree=strategies.trees(max_nodes=3))
    def begin(self, old: bool, tree: MicroDataGroup) -> None:
        """There is a file, written by somebody else, or none."""
        if old:
            self._committed = self.oracle.change(lambda file: plain.write_tree(file, tree))
            self.target.write_bytes(self._committed)
            self._base = self._committed

    @precondition(MachineBase.is_clean)
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
        with h5py.File(self.oracle.path, "r") as file:
            self._streams_before = {f"/{name}" for name in file}

    # --- durability and ends --------------------------------------------------------------

    @precondition(MachineBase.is_open)
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

    @precondition(MachineBase.is_open)
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

    @precondition(MachineBase.is_busy)
    @rule(shot=shots)
    def arm(self, shot: Shot) -> None:
        """The process is going to die, some effects from here."""
        if not self.camera.armed:
            self.camera.arm(shot, self._note)

    # --- after death ----------------------------------------------------------------------

    @precondition(MachineBase.is_interrupted)
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

    @precondition(MachineBase.is_interrupted)
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
        self._check_resume_report(self.session)

    def _reopen_streams(self) -> None:
        assert self.session is not None
        for name in [name for name in self.session.file if name.startswith("s") and name[1:].isdigit()]:
            if name in self.session.file and isinstance(self.session.file[name], h5py.Dataset):
                length = len(self.session.file[name])
                self.streams["/" + name] = self.session.stream("/" + name)
                assert self.streams["/" + name].length == length

    def _check_resume_report(self, session: Session) -> None:
        """It tells of every stream of this session that has items, and how many."""
        report = session.resume_report
        assert report is not None
        told = {stream.path: stream.kept for stream in report.streams}
        there = {path: stream.length for path, stream in self.streams.items()}
        unlike = {path: kept for path, kept in told.items() if path in there and there[path] != kept}
        assert not unlike, f"the report says {unlike}, and there are {there}"
        untold = [p for p, n in there.items() if n and p not in told and p not in self._streams_before]
        assert not untold, f"the report does not tell of {untold}"

    @precondition(MachineBase.is_interrupted)
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
