"""Marks in a trace: what a workload was promised, and what it was about to do.

The methods of a session are wrapped, so a program needs to know nothing of
being watched. Marks, with the session that they are about:

==============  ================================================================
``opened``      a session was begun, or gone on with
``operation``   an operation was journaled, with its values
``ending``      the END of the batch is about to be journaled
``ended``       it is there, with this LSN
``aborted``     the batch was cancelled
``promise``     everything up to this LSN was promised to survive
``committing``  commit was called
``committed``   it returned
``leaving``     roll back was called
``left``        it returned
``recovering``  a recovery of the target has begun
``recovered``   it has ended
==============  ================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from safeh5.operations import codec
from safeh5.operations.control import encode_control
from safeh5.options import Durability
from safeh5.recovery import calls
from safeh5.session import opening
from safeh5.session.core import SessionCore
from safeh5.session.log import BatchLog
from safeh5.session.session import Session
from safeh5.storage.platform import byte_view
from safeh5.testing.states.recorder import Recorder

Method = Callable[..., Any]


@contextmanager
def promises(recorder: Recorder) -> Iterator[None]:
    """Leave marks, until the end of the block."""
    wrappers = [(_home(owner, name), name, wrapper) for owner, name, wrapper in _Marks(recorder).wrappers()]
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in wrappers]
    for owner, name, wrapper in wrappers:
        method = vars(owner)[name]
        setattr(owner, name, _bound(wrapper, method))
    try:
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


def _home(owner: Any, name: str) -> Any:
    """The class that a method stands in, which may be one below the class that has it."""
    return next(kind for kind in getattr(owner, "__mro__", (owner,)) if name in vars(kind))


def _bound(wrapper: Method, method: Method) -> Method:
    """`method`, called through `wrapper`."""

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        return wrapper(method, *arguments, **named)

    return call


class _Marks:
    """What is called in the place of the methods of a session."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def wrappers(self) -> list[tuple[Any, str, Method]]:
        """Whose method, its name, and what is called with it."""
        return [
            (SessionCore, "__init__", self.opened),
            (BatchLog, "record", self.operation),
            (BatchLog, "record_whole", self.whole),
            (BatchLog, "applied", self.whole),
            (BatchLog, "end", self.ending),
            (BatchLog, "abort", self.abort),
            (SessionCore, "_keep_promise", self.keep_promise),
            (SessionCore, "sync", self.everything),
            (SessionCore, "checkpoint", self.everything),
            (Session, "suspend", self.everything),
            (SessionCore, "seal_now", self.sealed),
            (Session, "commit", self.commit),
            (Session, "rollback", self.rollback),
            (calls, "carry_out", self.carry_out),
            (opening, "carry_out", self.carry_out),
        ]

    def mark(self, name: str, session: bytes, **fields: Any) -> None:
        self.recorder.mark(name, session=session.hex(), **fields)

    # --- the life of a session ----------------------------------------------------------

    def opened(self, method: Method, session: SessionCore, parts: Any, **named: Any) -> None:
        method(session, parts, **named)
        target = self.recorder.inside(parts.names.target)
        self.mark(
            "opened", parts.session_id,
            target=target, record=encode_control(parts.record), policy=str(named["options"].durability),
            lsn=session.last_lsn,
        )  # fmt: skip

    def commit(self, method: Method, session: Session) -> None:
        self.mark("committing", _id(session))
        method(session)
        self.mark("committed", _id(session))

    def rollback(self, method: Method, session: Session, **named: Any) -> None:
        self.mark("leaving", _id(session))
        method(session, **named)
        self.mark("left", _id(session))

    def carry_out(self, method: Method, storage: Any, evidence: Any, plan: Any, **named: Any) -> Any:
        target = self.recorder.inside(evidence.names.target)
        if target is None or not plan.steps or named.get("output"):
            return method(storage, evidence, plan, **named)
        self.recorder.mark("recovering", target=target, action=str(plan.action))
        report = method(storage, evidence, plan, **named)
        self.recorder.mark("recovered", target=target, action=str(plan.action))
        return report

    # --- batches ------------------------------------------------------------------------

    def operation(self, method: Method, log: BatchLog, operation: Any, payload: Any = b"") -> int:
        lsn: int = method(log, operation, payload)
        values = bytes(byte_view(payload))
        self.mark("operation", _of(log), lsn=lsn, operation=codec.encode(operation), values=values)
        return lsn

    def whole(self, method: Method, log: BatchLog, operation: Any, payload: Any = b"", **named: Any) -> int:
        # Before: a crash may come when the record is written, which ends its batch, and no mark is.
        values = bytes(byte_view(payload))
        lsn: int = log.journal.next_lsn
        self.mark("operation", _of(log), lsn=lsn, operation=codec.encode(operation), values=values)
        self.mark("ending", _of(log))
        lsn = method(log, operation, payload, **named)
        self.mark("ended", _of(log), lsn=lsn)
        return lsn

    def ending(self, method: Method, log: BatchLog) -> int:
        # Before: a crash may come when the END is written and this mark is not.
        self.mark("ending", _of(log))
        lsn: int = method(log)
        self.mark("ended", _of(log), lsn=lsn)
        return lsn

    def abort(self, method: Method, log: BatchLog) -> None:
        method(log)
        self.mark("aborted", _of(log))

    # --- promises -----------------------------------------------------------------------

    def keep_promise(self, method: Method, session: SessionCore, lsn: int | None) -> None:
        method(session, lsn)
        if lsn is None:
            return
        # What the policy promises, whatever the session itself takes for durable.
        on_return = session._options.durability is Durability.RECORD
        self.mark("promise", _id(session), lsn=lsn if on_return else session.durable_lsn)

    def everything(self, method: Method, session: SessionCore) -> Any:
        # In a batch nothing of it is promised: it does not exist before its END.
        last = session.durable_lsn if session.in_batch else session.last_lsn
        result = method(session)
        self.mark("promise", _id(session), lsn=max(last, session.durable_lsn))
        return result

    def sealed(self, method: Method, session: SessionCore, reason: str) -> None:
        last = session.durable_lsn if session.in_batch else session.last_lsn
        method(session, reason)
        self.mark("promise", _id(session), lsn=last)


def _id(session: SessionCore) -> bytes:
    return session._parts.session_id


def _of(log: BatchLog) -> bytes:
    return log.journal._session
