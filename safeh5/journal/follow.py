"""Following a journal that somebody else writes: each record once, in order, when it is sure.

A record is handed out when its batch has its END, and no ABORT, within what is
known to be durable. A session ends a batch only when HDF5 has taken what is in
it, or is sure to, and never cancels it afterwards; should a journal cancel a batch that
was durable and handed out, that is an error, not a correction.

Two places move through the journal. The *scout* goes ahead over headers until
a batch is whole; then the *reader* goes over the same frames, payloads and
checksums included, and hands them out. So nothing is read again, however
long a batch stays open, and no batch is kept in memory.

Only what is durable is mapped: the writer may cut off what is not, and to
touch a mapping behind the end of its file ends the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from safeh5.errors import JournalError
from safeh5.journal.findings import Damage
from safeh5.journal.format import BARRIERS, WHOLE, Kind
from safeh5.journal.maps import Maps
from safeh5.journal.marks import Marks
from safeh5.journal.place import Journal, Place
from safeh5.journal.reader import Frame, make_frame
from safeh5.journal.segment import StrPath, segment_paths
from safeh5.journal.walk import BadPlace, RawFrame, parse
from safeh5.storage.files import Storage

_OPERATION, _END, _ABORT = int(Kind.OPERATION), int(Kind.END), int(Kind.ABORT)


class Follower:
    """Reads the records of a journal while it grows.

    Memory: at most two segments are mapped at a time, only while `advance` is
    under way, and of them no more than 64 MiB (or one frame) stay resident.
    Not for several threads at once, and with one iterator at a time.

    Parameters
    ----------
    storage : Storage
        The disk.
    directory : path-like
        Where the segments are.
    session_id : bytes
        Whose journal, 16 bytes.
    after : int
        Records up to this LSN are not wanted.

    Attributes
    ----------
    noted : Kind or None
        The latest word on the session as such that was passed: RESUME, SEAL,
        COMMIT or ROLLBACK.
    """

    def __init__(self, storage: Storage, directory: StrPath, session_id: bytes, after: int = 0) -> None:
        self._journal = Journal(storage, os.fspath(directory), session_id)
        self._storage = storage
        self._durable = after
        self._settled = self._position = after
        # The latest batch that was handed out or cancelled; None when it is not known.
        self._last_batch: int | None = 0 if after == 0 else None
        self._marks: Marks | None = None
        self._reader: Place
        self._scout: Place
        self._located = False
        self._open = self._whole = 0
        self._whole_end = 0
        self._begun = False
        self.noted: Kind | None = None

    @property
    def settled(self) -> int:
        """Every record up to this LSN was handed out, and no batch that is not reaches below it."""
        return self._settled

    def locate(self) -> None:
        """Find the place to read from; `advance` does that when it has not been done.

        Raises
        ------
        JournalPrunedError
            The journal does not reach back to the LSN `after`.
        JournalGoneError
            There is no journal of this session.
        """
        if self._located:
            return
        known = None if self._open or self._whole else self._last_batch
        self._reader = self._scout = self._journal.locate(self._position, known)
        # What stands before an anchor is not wanted, or was handed out.
        self._position = max(self._position, self._reader.lsn - 1)
        self._settled = max(self._settled, self._reader.lsn - 1)
        self._open = self._whole = 0
        self._marks, self._located, self._begun = None, True, False

    def advance(self, durable: int | None = None) -> Iterator[Frame]:
        """The OPERATIONs that have become sure since the last call, in order, each once.

        When nothing is new this costs a question or two to the file system,
        else it costs what is new. An iterator that is given up loses nothing:
        the next call goes on behind the last frame that was handed out.

        Parameters
        ----------
        durable : int, optional
            The LSN up to which the journal is known to be durable; by default
            it is found out from the journal's own SYNC marks.

        Yields
        ------
        Frame
            Its payload is a view on the mapped file, valid until the next
            frame is asked for.

        Raises
        ------
        JournalPrunedError
            Records were removed from the journal before they were read.
        JournalGoneError
            The session has ended and its journal is gone.
        CorruptJournalError
            Durable bytes are damaged.
        """
        if durable is not None:
            self._durable = max(self._durable, durable)
        else:
            self._durable = max(self._durable, self._look())
        if self._located and self._scout.lsn > self._durable and not self._whole:
            return
        with Maps(self._storage) as maps:
            while self._find_batch(maps):
                yield from self._hand_out(maps)

    def _look(self) -> int:
        while True:
            self.locate()
            self._marks = self._marks or Marks(self._journal, self._reader)
            try:
                return self._marks.look()
            except FileNotFoundError:
                self._located = False

    # --- the scout ------------------------------------------------------------------

    def _find_batch(self, maps: Maps) -> bool:
        """Go ahead until a batch is known to be whole, and kept; False when there is none yet."""
        while True:
            self.locate()
            try:
                return self._scout_on(maps)
            except FileNotFoundError:
                # Removed because a later segment begins with an anchor: have we passed everything?
                maps.release()
                self._located = False

    def _scout_on(self, maps: Maps) -> bool:
        while self._scout.lsn <= self._durable:
            place, frame, _ = self._frame_at(maps, self._scout, whole=False)
            if self._whole and frame.kind == _OPERATION:
                # The next batch begins, so the one before was not cancelled.
                return True
            self._scout = place.after(frame)
            self._take(frame)
        return bool(self._whole)

    def _take(self, frame: RawFrame) -> None:
        """Enter a frame that the scout went over."""
        if frame.kind == _OPERATION and not frame.flags & WHOLE:
            self._open = frame.batch
        elif frame.kind in (_OPERATION, _END):
            self._open, self._whole, self._whole_end = 0, frame.batch, frame.lsn
        elif frame.kind == _ABORT:
            self._cancel(frame)
        elif frame.kind in BARRIERS:
            self.noted = Kind(frame.kind)
        if frame.lsn <= self._position:
            # Handed out before, or not wanted.
            self._last_batch, self._whole = self._whole or self._last_batch, 0
            self._reader = self._scout
        elif not self._open and not self._whole:
            self._pass()

    def _cancel(self, frame: RawFrame) -> None:
        handed_out = frame.batch not in (self._open, self._whole) or self._begun
        if handed_out and frame.lsn > self._position:
            raise JournalError(
                f"batch {frame.batch} was cancelled after it had been ended and made durable",
                path=self._journal.directory,
                lsn=frame.lsn,
                hint="Report this: no session of safeh5 does that",
            )
        self._open = self._whole = 0
        self._last_batch = frame.batch

    def _pass(self) -> None:
        """Everything up to the scout is handed out, or need not be."""
        self._reader = self._scout
        self._position = self._settled = self._scout.lsn - 1

    # --- the reader -----------------------------------------------------------------

    def _hand_out(self, maps: Maps) -> Iterator[Frame]:
        """The records of the batch that the scout has found to be whole."""
        self._begun = True
        while self._reader.lsn <= self._whole_end:
            try:
                place, raw, view = self._frame_at(maps, self._reader, whole=True)
            except FileNotFoundError:
                # This batch is not passed: `locate` says that it is lost to us.
                self._located = self._begun = False
                return
            self._reader, self._position = place.after(raw), raw.lsn
            if raw.kind == _OPERATION:
                segment = place.segment
                yield make_frame(view, raw, segment.number, segment.header.created)
            maps.touched(raw.end - raw.offset)
        self._last_batch, self._whole, self._begun = self._whole, 0, False
        # What the scout went over since are notes.
        self._pass()

    def _frame_at(self, maps: Maps, place: Place, *, whole: bool) -> tuple[Place, RawFrame, memoryview]:
        """The durable frame at a place, which may turn out to be in the next segment; its bytes."""
        while True:
            view = maps.view(place.segment.path)
            try:
                frame = parse(
                    view, place.segment.header.salt, place.lsn, place.offset, len(view), whole=whole
                )
                return place, frame, view
            except BadPlace as bad:
                if not maps.renew(place.segment.path):
                    place = self._next_segment(place, bad)

    def _next_segment(self, place: Place, bad: BadPlace) -> Place:
        """The place in the next segment when this one ends here; else something is wrong."""
        following = self._journal.successor(place)
        if following is not None and following.header.previous_length == place.offset:
            return Place.first(following)
        segment = place.segment
        now = self._journal.segment(segment.number)
        later = max(segment_paths(self._storage, self._journal.directory), default=0) > segment.number
        if now is None or (following is None and later):
            raise FileNotFoundError(segment.path)
        if now != segment:
            raise self._journal.gone()
        raise Damage(segment.path, segment.number, bad.offset, bad.lsn, bad.cause).error() from bad
