"""The applier beside the acquisition: a process that follows the journal.

It reads what is durable, applies it, checkpoints, and tells how far it is. It
writes nothing but the staging file, so it may die at any moment (libhdf5
crashes, the system runs out of memory): the session starts another, which goes
on from the last checkpoint. When the session dies, so does the child: the end
of its orders is the end of its work.

Run by ``safeh5.session.beside`` as ``python -m safeh5.recovery.child``.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from typing import Final

from safeh5.applier import Staging
from safeh5.applier.coalesce import Coalescer
from safeh5.errors import SafeH5Error
from safeh5.journal.follow import Follower
from safeh5.operations import codec
from safeh5.recovery import orders
from safeh5.recovery.replay import begin_staging, staging_place
from safeh5.storage import Names, Storage

GONE: Final = 0
REFUSED: Final = 3
_TELL_SECONDS: Final = 0.1
_BEAT_SECONDS: Final = 5.0


class Child:
    """Follows one journal until it is told to finish, or nobody tells it anything any more.

    Parameters
    ----------
    begin : orders.Begin
        Whose journal.
    storage : Storage
        The disk.
    """

    def __init__(self, begin: orders.Begin, storage: Storage) -> None:
        names = Names(os.fsdecode(begin.target), os.fsdecode(begin.sidecar))
        staging = Staging.last_checkpoint(
            staging_place(storage, names, begin.session_id), begin.session.creation
        )
        after = staging.applied if staging is not None else 0
        self._follower = Follower(storage, names.sidecar, begin.session_id, after=after)
        # Before a file is begun anew: a journal that begins at an anchor could not fill it.
        self._follower.locate()
        if staging is None:
            staging = begin_staging(storage, names, begin.session_id, begin.session)
        self.staging = staging
        self.applied = staging.applied
        self._coalescer = Coalescer(staging.applier, staging.write_back)
        self._limits = begin.checkpoints
        self._durable = staging.applied
        self._hold = False
        self._finish: int | None = None
        self._checkpoint: int | None = None
        self._looked_at = staging.applied
        self._fresh_bytes, self._fresh_since = 0, time.monotonic()
        self._told = 0.0

    # --- orders -------------------------------------------------------------------

    def take(self, order: orders.Order) -> None:
        """Note what is wanted; `work` does it."""
        if isinstance(order, orders.Durable):
            self._durable = max(self._durable, order.lsn)
            self._hold = False
        elif isinstance(order, orders.Checkpoint):
            self._durable = max(self._durable, order.lsn)
            self._checkpoint = order.lsn
        elif isinstance(order, orders.Finish):
            self._durable = max(self._durable, order.lsn)
            self._finish = order.lsn

    def work(self) -> bool:
        """Apply what is durable and do what was ordered; False when all is finished."""
        if self._durable > self._looked_at:
            upto = self._durable
            self._apply()
            self._looked_at = upto
            self.report()
        if self._checkpoint is not None and self._looked_at >= self._checkpoint:
            self._checkpoint_now()
            self._checkpoint, self._hold = None, True
        if self._finish is not None and self._looked_at >= self._finish:
            self.staging.finish(self.applied)
            tell(orders.Finished(self.applied))
            return False
        if not self._hold and self._is_due():
            self._checkpoint_now()
        return True

    def next_deadline(self) -> float | None:
        """Seconds until a checkpoint is due by time, None if nothing waits for one."""
        if not self._fresh_bytes or self._hold:
            return None
        return max(0.0, self._fresh_since + self._limits.every_seconds - time.monotonic())

    # --- applying -----------------------------------------------------------------

    def _apply(self) -> None:
        batch = 0
        for frame in self._follower.advance(self._durable):
            if frame.batch != batch:
                self._between_batches(frame.lsn - 1)
                batch = frame.batch
            self._coalescer.apply(codec.decode(frame.meta), frame.payload, frame.lsn)
            self._note(len(frame.payload))
        self._coalescer.flush()
        # Not simply what is durable: an unfinished batch may reach into that.
        self.applied = max(self.applied, self._follower.settled)

    def _between_batches(self, before: int) -> None:
        """A batch begins: everything up to LSN `before` is applied, or held back to be."""
        if self.applied < before:
            self.applied = before
        if not self._hold and self._is_due():
            self._checkpoint_now()
        self._report_sometimes()

    def _note(self, size: int) -> None:
        if not self._fresh_bytes:
            self._fresh_since = time.monotonic()
        self._fresh_bytes += max(1, size)

    def _is_due(self) -> bool:
        if not self._fresh_bytes:
            return False
        return (
            self._fresh_bytes >= self._limits.every_bytes
            or time.monotonic() - self._fresh_since >= self._limits.every_seconds
            or self.staging.held_bytes >= self._limits.held_bytes
        )

    def _checkpoint_now(self) -> None:
        self._coalescer.flush()
        self.staging.checkpoint(self.applied)
        self._fresh_bytes = 0
        tell(orders.Checkpointed(self.applied))

    def report(self) -> None:
        """Tell the session how far it is."""
        self._told = time.monotonic()
        tell(orders.Applied(self.applied, self._looked_at, self.staging.unwritten(self._fresh_bytes)))

    def _report_sometimes(self) -> None:
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self.report()


def tell(news: orders.News) -> None:
    """Send news to the session."""
    line = orders.encode(news)
    with _telling:
        while line:
            line = line[os.write(_news_fd, line) :]


class Orders:
    """The lines that come on standard input, read by a thread of their own.

    When the session has gone the thread ends the process at once: there is no
    moment at which that could do harm, and no reason to let libhdf5 finish.
    """

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._lines.put(line)
        os._exit(GONE)

    def wait(self, timeout: float | None) -> list[orders.Order]:
        """The orders that have come, at least one unless `timeout` seconds pass."""
        found = []
        try:
            found.append(self._lines.get(timeout=timeout))
            while True:
                found.append(self._lines.get_nowait())
        except queue.Empty:
            return [orders.decode_order(line) for line in found]


def main() -> int:
    """Follow a journal as ordered on standard input."""
    incoming = Orders()
    threading.Thread(target=_beat, daemon=True).start()
    begin, *rest = incoming.wait(None)
    assert isinstance(begin, orders.Begin)
    try:
        _serve(Child(begin, Storage()), incoming, rest)
    except SafeH5Error as error:
        tell(orders.Refused.of(error))
        return REFUSED
    return GONE


def _beat() -> None:
    """Tell that this process lives, however long the disk or a single order takes.

    Not from inside libhdf5, which holds Python's lock: a child that is lost there falls silent.
    """
    while True:
        time.sleep(_BEAT_SECONDS)
        tell(orders.Alive())


def _serve(child: Child, incoming: Orders, news: list[orders.Order]) -> None:
    # The session tells more only when it has heard that what it told last was
    # looked at, and a checkpoint may hold all of that already.
    child.report()
    while True:
        for order in news:
            child.take(order)
        if not child.work():
            return
        news = incoming.wait(child.next_deadline())


def _keep_stdout_for_news() -> int:
    """A descriptor of our own for the news; what a library prints goes to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


_news_fd = 1
_telling = threading.Lock()

if __name__ == "__main__":
    _news_fd = _keep_stdout_for_news()
    # Not by `sys.exit`: libhdf5's own ending would look at files that are gone.
    os._exit(main())
