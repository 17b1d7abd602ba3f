"""Following a stream in the journal: each item as soon as it is durable.

Where items come from
---------------------
::

    BACKLOG   items that a checkpoint (or the target) has, read from there
      |  none left
      v
    FOLLOWING the journal behind that checkpoint: what is durable, each record once
      |  the journal was pruned before it was read, or a record does not tell
      +--> BACKLOG, of a newer checkpoint
      |  the journal is gone: the session has ended
      +--> BACKLOG, of the target, for what was not seen before; then the end

Invariants
----------
1. Only what is durable, of batches that are whole and not cancelled, is shown.
2. An item is shown once for each time it was written; items that were appended
   and nothing else, each exactly once and in order, whichever way they came.
3. While there is a backlog the tail is known to the writer as a reader; while
   it follows the journal nobody knows of it.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from safeh5.errors import (
    InvalidOptionError,
    InvalidTreeError,
    JournalGoneError,
    JournalPrunedError,
    LiveViewExpiredError,
)
from safeh5.journal.follow import Follower
from safeh5.journal.format import Kind
from safeh5.journal.reader import Frame
from safeh5.live.changes import TailItem, Track, Untold
from safeh5.live.ending import TailEnd, how_it_ended, session_record
from safeh5.live.source import Shown, Shows, current_session, open_newest, open_target
from safeh5.operations import codec
from safeh5.operations.control import SessionRecord
from safeh5.options import is_count
from safeh5.storage import Names, Storage, TargetLock
from safeh5.storage.closing import Closes
from safeh5.storage.snapshot import newest_checkpoint

_SHORTEST: Final = 0.0005
_LONGEST: Final = 0.005
_LOCK_SECONDS: Final = 0.2
_BLOCK_BYTES: Final = 4 << 20


class Tail(Closes, Iterator[TailItem]):
    """The items of a stream as they become durable; made by `LiveView.tail`.

    The iteration ends when the session has ended, or has stopped, after its
    last item: `ended` says how. It ends after `timeout` seconds without an
    item too; `ended` is then None, and it may be iterated again. A stream that
    is rewound shows by items that begin again at a lower index. Not for
    several threads at once.

    Attributes
    ----------
    path : str
        The dataset.
    ended : TailEnd or None
        Why there are no more items; None while there may be.
    lsn : int
        LSN of the last record that was looked at.
    """

    def __init__(
        self,
        storage: Storage,
        names: Names,
        path: str,
        start: int | None,
        timeout: float | None,
        wait_for_resume: bool,
        keep_bytes: int,
    ) -> None:
        self.path = _absolute(path)
        if start is not None and not (is_count(start) and start >= 0):
            raise InvalidOptionError(f"start is the number of the first item wanted, and cannot be {start!r}")
        self.timeout = timeout
        self.ended: TailEnd | None = None
        self.lsn = 0
        self._storage, self._names, self._keep_bytes = storage, names, keep_bytes
        self._wait_for_resume = wait_for_resume
        self._ready: deque[TailItem] = deque()
        self._frames: Iterator[Frame] | None = None
        self._follower: Follower | None = None
        self._shown: Shown | None = None
        self._backlog: deque[range] = deque()
        self._track = Track(self.path)
        self._first = 0 if start is None else start
        self._next = self._first
        self._pause = _SHORTEST
        self._look_at_lock = 0.0
        self._unwritten = False
        self._untold: tuple[int, Untold] | None = None
        self._session: bytes | None = None
        self._began: SessionRecord | None = None
        self._attach(self._first)
        if start is None:
            self._skip()

    # --- looking ------------------------------------------------------------------

    @property
    def length(self) -> int:
        """Items in the dataset, as far as the tail has come."""
        return self._track.length

    def poll(self, timeout: float | None = 0.0) -> TailItem | None:
        """The next item; None if there is none within `timeout` seconds, or at all any more.

        Parameters
        ----------
        timeout : float or None
            How long to wait for it; None waits until the tail has ended.

        Returns
        -------
        TailItem or None
            What was written, which is durable; `ended` tells whether more may come.

        Raises
        ------
        CorruptJournalError
            Acknowledged bytes of the journal are damaged.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if (item := self._next_item()) is not None:
                self._pause = _SHORTEST
                return item
            if self.ended is not None:
                return None
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return None
            time.sleep(self._pause if deadline is None else min(self._pause, deadline - now))
            self._pause = min(_LONGEST, self._pause * 1.2)

    def __next__(self) -> TailItem:
        item = self.poll(self.timeout)
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Let go of everything; done twice is done once."""
        self._stop_following()
        self._close_shown()

    def __repr__(self) -> str:
        end = f", {self.ended}" if self.ended else ""
        return f"<safeh5 tail of {self.path!r}: {self._next} items seen{end}>"

    # --- where items come from ------------------------------------------------------

    def _next_item(self) -> TailItem | None:
        """The next item that is there now."""
        while True:
            while self._ready:
                item = self._ready.popleft()
                if not isinstance(item.at, int):
                    return item
                self._next = item.at + 1
                if item.at >= self._first:
                    return item
            if not (self._read_backlog() or self._read_journal()):
                return None

    def _read_backlog(self) -> bool:
        """Get some items from the file; False when none are left there."""
        while self._backlog:
            items, shown = self._backlog.popleft(), self._shown
            if not items:
                continue
            assert shown is not None
            try:
                dataset = shown.file[self.path]
                some = items[: max(1, _BLOCK_BYTES // max(1, dataset.nbytes // max(1, len(dataset))))]
                values = dataset[some.start : some.stop]
            except LiveViewExpiredError:
                self._attach(items.start)
                continue
            if len(some) < len(items):
                self._backlog.appendleft(items[len(some) :])
            self._ready.extend(TailItem(number, values[i]) for i, number in enumerate(some))
            return True
        self._close_shown()
        return False

    def _read_journal(self) -> bool:
        """Look for records that have become durable; False when there are none, or no journal any more."""
        if self._follower is None:
            return False
        if self._untold is not None:
            return self._look_for_checkpoint(*self._untold)
        try:
            frame = self._next_frame()
            if frame is None:
                return self._look_who_writes()
            self.lsn = frame.lsn
            self._ready.extend(self._track.take(codec.decode(frame.meta), frame.payload))
        except JournalPrunedError:
            self._attach(self._next)
        except JournalGoneError:
            self._finish()
        except Untold as untold:
            self._untold = self.lsn, untold
        return True

    def _next_frame(self) -> Frame | None:
        assert self._follower is not None
        if self._frames is None:
            self._frames = self._follower.advance()
        frame = next(self._frames, None)
        if frame is None:
            self._frames = None
        return frame

    def _look_who_writes(self) -> bool:
        """Nothing new: now and then look who writes, and end if nobody does; True if there may be more."""
        now = time.monotonic()
        if now < self._look_at_lock:
            return False
        self._look_at_lock = now + _LOCK_SECONDS
        unwritten = not self._wait_for_resume and not TargetLock.is_held(self._names.lock)
        if current_session(self._storage, self._names) != self._session:
            # Where there is another by now, its journal has taken the place of the one that is followed.
            self._finish()
            return True
        if unwritten and self._unwritten:
            # The last thing that the writer did may be to write, so only the second look is believed.
            assert self._follower is not None
            self._end(TailEnd.SUSPENDED if self._follower.noted is Kind.SEAL else TailEnd.INTERRUPTED)
        self._unwritten = unwritten
        return False

    def _look_for_checkpoint(self, lsn: int, untold: Untold) -> bool:
        """Go on when a checkpoint holds the record at `lsn`, which does not tell what it wrote."""
        assert self._session is not None
        if current_session(self._storage, self._names) != self._session:
            self._finish()
        elif newest_checkpoint(self._storage, self._names.staging, self._session)[1] < lsn:
            return self._look_who_writes()
        else:
            self._attach(self._next)
            if self.lsn < lsn:
                return False
        self._untold = None
        if self._shown is not None:
            changed = range(untold.first, min(untold.stop or self._next, self._next, self._track.length))
            self._backlog.appendleft(changed)
        return True

    # --- changing the source --------------------------------------------------------

    def _attach(self, first: int) -> None:
        """Begin again with the newest checkpoint; items from `first` on are wanted."""
        self._stop_following()
        shown = open_newest(self._storage, self._names, self._keep_bytes)
        self._session, self._began = shown.session, None
        if shown.session is not None:
            self._began = session_record(self._storage, self._names)
            self._follower = Follower(self._storage, self._names.sidecar, shown.session, after=shown.lsn)
        else:
            self.ended = TailEnd.NO_SESSION
        self.lsn = shown.lsn
        self._show(shown, first)

    def _show(self, shown: Shown, first: int) -> None:
        """Take the items from `first` on from an open file."""
        self._close_shown()
        self._shown = shown
        # A session that replaces the target, instead of going on with it, begins with nothing.
        replaced = shown.shows is Shows.TARGET and self._began is not None and not self._began.copy
        replaced = replaced and self.ended is None
        self._track = Track.of(self.path, None if replaced else shown.file.get(self.path))
        # Fewer items than were seen: the stream was rewound while nobody looked.
        self._backlog = deque([range(min(first, self._track.length), self._track.length)])

    def _skip(self) -> None:
        """Pass over everything that is durable now: what comes after is wanted."""
        while self._follower is not None:
            try:
                frame = self._next_frame()
                if frame is None:
                    break
                self.lsn = frame.lsn
                deque(self._track.take(codec.decode(frame.meta), frame.payload), maxlen=0)
            except Untold:
                continue
            except JournalPrunedError:
                self._attach(0)
            except JournalGoneError:
                break
        self._backlog.clear()
        self._close_shown()
        self._next = self._track.length

    def _finish(self) -> None:
        """The journal is gone: show what the target has more, and end."""
        assert self._follower is not None
        end = how_it_ended(self._follower.noted, self._began, self._names, written=self.lsn > 0)
        self._end(end)
        if end is TailEnd.COMMITTED:
            with contextlib.suppress(FileNotFoundError):
                self._show(open_target(self._storage, self._names, None), self._next)

    def _end(self, end: TailEnd) -> None:
        self._stop_following()
        self.ended = end

    def _stop_following(self) -> None:
        self._frames = self._follower = None

    def _close_shown(self) -> None:
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.close()


def _absolute(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    if not parts:
        raise InvalidTreeError(f"{path!r} is not the path of a dataset", dataset=path)
    return "/" + "/".join(parts)
