"""The applier in a process of its own, as the session sees it.

States of the child
-------------------
::

    RUNNING --dies--> (restart from the last checkpoint) RUNNING
    RUNNING --dies, or refuses a record, for the fifth time at one place--> STUCK
    STUCK --some seconds--> RUNNING
    RUNNING --no room on the disk--> WAITING --some seconds--> RUNNING
    RUNNING --silent for minutes while somebody waits--> (killed) RUNNING
    RUNNING --finish--> (staging file whole and closed) GONE

STUCK and WAITING do not stop the acquisition: the journal goes on. They stop
what needs the file: `checkpoint`, `finish`, `file`.

Invariants
----------
1. The child is told only of LSNs that are durable, so the staging file is
   never ahead of the journal.
2. Whatever happens to the child costs time and nothing else.
3. There is a child only while it is wanted: from the first batch or order on,
   and again after `drop` and `finish`, which leave the staging file to others.
4. Nobody but this process holds the way to the child's orders open, so the
   child ends when this process does; forks of it let go of it.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import IO, Final

import msgspec

from safeh5.errors import BacklogFull
from safeh5.events import logger
from safeh5.operations.control import SessionRecord
from safeh5.options import CheckpointOptions
from safeh5.recovery import orders
from safeh5.session.lag import Lag
from safeh5.session.stuck import why_stuck
from safeh5.storage import Names
from safeh5.storage.children import environment, python_module
from safeh5.storage.interrupts import Uncollected

_TRIES: Final = 5
_LONGEST_WAIT: Final = 10.0
_ROOM_SECONDS: Final = 2.0
_ROOM_PATIENCE: Final = 10.0
"""Seconds that a call waits for room for the staging file before it says so."""
_WAKE_SECONDS: Final = 5.0
"""How long a child may be silent, while somebody waits for it, before it is told to go on."""
_STALL_SECONDS: Final = 300.0
"""A child that lives tells so every few seconds, unless it is inside libhdf5; no call there takes so long."""


class Beside:
    """Runs the child, and starts it again when it dies.

    Parameters
    ----------
    names : Names
        Where the session lies.
    session_id, session : bytes, SessionRecord
        Whose journal is followed.
    checkpoints : CheckpointOptions
        When the child checkpoints by itself.
    """

    def __init__(
        self, names: Names, session_id: bytes, session: SessionRecord, checkpoints: CheckpointOptions
    ) -> None:
        self._names = names
        self._begin = orders.Begin(
            os.fsencode(names.target), os.fsencode(names.sidecar), session_id, session, checkpoints
        )
        self._news = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._durable = self._told = self._looked_at = 0
        self._order: orders.Order | None = None
        self._refused: orders.Refused | None = None
        self._deaths = 0
        self._died_at = -1
        self._wanted = False
        self._timer: threading.Timer | None = None
        self._lag = Lag()
        self._heard = self._woken = 0.0
        self._unstarted: str | None = None
        self._held = 0
        self.applied = 0
        self.checkpointed = 0
        self.finished = False
        _all.add(self)

    # --- what the session says ------------------------------------------------------

    def wrote(self, lsn: int, size: int) -> None:
        """The journal has grown to `lsn`, by `size` payload bytes."""
        with self._news:
            self._wanted = True
            self._lag.wrote(lsn, size)

    def durable(self, lsn: int) -> None:
        """Everything up to `lsn` is on disk: apply it."""
        with self._news:
            if lsn > self._durable:
                self._durable = lsn
                if not self._deaths:
                    self._ensure_running()
                self._tell_durable()

    @property
    def lag_bytes(self) -> int:
        """Payload bytes that are in the journal and not yet in the staging file."""
        with Uncollected(), self._news:
            return self._lag.bytes

    @property
    def lag_seconds(self) -> float:
        """How long the oldest of them has been waiting."""
        with Uncollected(), self._news:
            return self._lag.seconds

    @property
    def unwritten(self) -> int:
        """Bytes that are still to be written to the staging file, as far as it is known."""
        with self._news:
            return self._lag.bytes + self._held

    def wait_for_room(self, limit: int, *, block: bool) -> None:
        """Return when no more than `limit` payload bytes wait to be applied.

        Raises
        ------
        BacklogFull
            If `block` is False and more wait, or the applier is stuck or finds no room on the disk.
        """
        patience = time.monotonic() + _ROOM_PATIENCE
        with self._news:
            while self._lag.bytes > limit:
                self._end_if_stalled()
                starved = self._is_starved and time.monotonic() > patience
                if not block or self._stuck() or starved:
                    why = f": {self._refused.message}" if starved and self._refused else ""
                    raise BacklogFull(
                        f"{self._lag.bytes} bytes wait to be applied, more than the {limit} allowed{why}",
                        path=self._names.target,
                        safe="Nothing was written by this call; what was acknowledged is in the journal",
                        hint="Call again when less waits: session.lag_bytes tells",
                    )
                self._news.wait(0.1)

    def checkpoint(self, lsn: int) -> None:
        """Have everything up to `lsn`, which is durable, in a checkpoint; none follows until `durable`."""
        self._do(orders.Checkpoint(lsn), lambda: self.checkpointed >= lsn)

    def finish(self, lsn: int) -> None:
        """Have everything up to `lsn` in the staging file, which is then whole and closed."""
        self._do(orders.Finish(lsn), lambda: self.finished and self._process is None)
        with self._news:
            self._wanted = False

    def drop(self) -> None:
        """End the child now; the staging file is then its last checkpoint."""
        with self._news:
            self._wanted, self._timer = False, None
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    # --- how it is done ---------------------------------------------------------------

    def _do(self, order: orders.Checkpoint | orders.Finish, done: Callable[[], bool]) -> None:
        """Give an order and wait until it is `done`; raise what keeps the child from it."""
        with self._news:
            self._durable = max(self._durable, order.lsn)
            self._order, self._refused, self._deaths = order, None, 0
            self._wanted, self.finished = True, False
            self._ensure_running()
            self._send(order)
            try:
                while not done():
                    self._end_if_stalled()
                    if self._stuck() or self._is_starved:
                        raise self._why_stuck()
                    self._news.wait(1.0)
            finally:
                self._order = None

    def _tell_durable(self) -> None:
        """Tell the child how far it may go, unless it still works on what it was told.

        So there is never more than one such order in the pipe, and writing to
        it does not block even if the child hangs.
        """
        if self._durable > self._told and self._told <= self._looked_at:
            self._told = self._durable
            self._send(orders.Durable(self._durable))

    def _stuck(self) -> bool:
        return self._deaths >= _TRIES

    @property
    def _is_starved(self) -> bool:
        """Whether the disk has no room for the staging file."""
        return self._refused is not None and self._refused.full

    def _end_if_stalled(self) -> None:
        """Wake a child that gives no sign of life; kill one lost in libhdf5. The rest is `_gone`."""
        now = time.monotonic()
        silent = now - self._heard
        if self._process is not None and now - max(self._heard, self._woken) > _WAKE_SECONDS:
            # If it was only stopped (Ctrl-Z, a batch system) that is all it needs; else it does no harm.
            self._woken = now
            if hasattr(signal, "SIGCONT"):
                self._process.send_signal(signal.SIGCONT)
        if self._process is not None and silent > _STALL_SECONDS:
            logger.warning(
                "the applier of %s has been silent for %.0f s: ending it", self._names.target, silent
            )
            self._heard = time.monotonic()
            self._process.kill()

    def _why_stuck(self) -> Exception:
        return why_stuck(self._names.target, self.applied, self._deaths, self._refused, self._unstarted)

    def _ensure_running(self) -> None:
        """Start the child unless it runs; the caller holds `_news`."""
        if self._process is not None or not self._wanted:
            return
        self._timer, self._heard = None, time.monotonic()
        command = python_module("safeh5.recovery.child")
        # A process group of its own: Ctrl-C is for the acquisition, which then
        # decides what becomes of the child.
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                process_group=0,
            )
        except OSError as error:
            # No memory or no process to be had: that is a death like any other.
            self._unstarted = error.strerror or str(error)
            self._bury(f"it could not be started: {self._unstarted}")
            return
        self._unstarted = None
        self._send(self._begin)
        self._told = self._looked_at = 0
        self._tell_durable()
        if self._order is not None:
            self._send(self._order)
        with Uncollected():  # it is waited for until it runs
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _send(self, order: orders.Order) -> None:
        if self._process is None:
            return
        pipe: IO[bytes] | None = self._process.stdin
        assert pipe is not None
        line = orders.encode(order)
        try:
            while line:
                line = line[pipe.write(line) :]
        except (BrokenPipeError, ValueError):
            # It has died; `_listen` sees that too and starts another, which is told anew.
            return

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take the child's news until it is gone, then see to it that there is another.

        Whoever waits for the news may hold h5py's lock, and to collect garbage
        may take that lock. So here no garbage is collected: the loop makes no
        objects that Python counts for that, but for those inside `quiet`.
        """
        assert isinstance(process.stdout, io.RawIOBase)
        quiet, broken = Uncollected(), contextlib.suppress(msgspec.DecodeError)
        for line in io.BufferedReader(process.stdout):
            with quiet, self._news, broken:
                # Half a line is what a child leaves that was killed while it wrote one.
                news = orders.decode_news(line)
                if self._process is process:  # else it was dropped meanwhile
                    self._heard = time.monotonic()
                    self._take(news)
                self._news.notify_all()
        with quiet:
            self._gone(process)

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._news:
            self._close_pipes(process)
            if self._process is process:
                self._process = None
                self._bury(_how(code))
            self._news.notify_all()

    def _take(self, news: orders.News) -> None:
        if isinstance(news, orders.Applied):
            if news.lsn > self._died_at:
                self._deaths, self._refused = 0, None
            self.applied = max(self.applied, news.lsn)
            self._looked_at, self._held = news.upto, news.held
            self._lag.applied(news.lsn)
            self._tell_durable()
        elif isinstance(news, orders.Checkpointed):
            self.checkpointed = news.lsn
        elif isinstance(news, orders.Finished):
            self.finished = True
        elif isinstance(news, orders.Refused):
            self._refused = news

    def _bury(self, how: str) -> None:
        """A child is gone: start another, unless that has no sense; the caller holds `_news`."""
        if self.finished or not self._wanted:
            return
        full = self._is_starved
        if not full:
            self._deaths += 1
            self._died_at = max(self._died_at, self.applied)
        logger.warning("the applier of %s ended (%s); the acquisition goes on", self._names.target, how)
        if self._deaths == _TRIES:
            logger.error("%s It is tried again now and then.", self._why_stuck())
        wait = _ROOM_SECONDS if full else min(_LONGEST_WAIT, 0.05 * 2**self._deaths)
        self._timer = threading.Timer(wait, lambda: self._start_again(timer))
        timer = self._timer
        timer.daemon = True
        with Uncollected():
            timer.start()

    @staticmethod
    def _close_pipes(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start_again(self, timer: threading.Timer) -> None:
        with Uncollected(), self._news:
            if self._timer is timer:  # else another child was started meanwhile, or none is wanted
                self._ensure_running()

    def _forget_child(self) -> None:
        """In a fork of this process: let go of the child's orders (invariant 4)."""
        # No lock: the thread that holds it, if any, is not here.
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


_all: weakref.WeakSet[Beside] = weakref.WeakSet()


def _after_fork() -> None:
    for beside in list(_all):
        beside._forget_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
