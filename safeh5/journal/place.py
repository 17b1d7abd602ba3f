"""Places in a journal that somebody else may be writing and pruning: finding one, going on to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from safeh5.errors import JournalGoneError, JournalPrunedError
from safeh5.journal.anchor import Anchor, read_anchor
from safeh5.journal.findings import Damage
from safeh5.journal.format import MAX_SEGMENT_HEADER, SEGMENT_HEADER_SIZE, FormatError, SegmentHeader
from safeh5.journal.segment import segment_paths
from safeh5.journal.walk import RawFrame
from safeh5.storage.files import Storage
from safeh5.storage.names import segment_name

_TRIES: Final = 10


class Segment(NamedTuple):
    """A segment file whose header is good."""

    number: int
    path: str
    header: SegmentHeader


class Place(NamedTuple):
    """Where a frame begins, or will.

    Attributes
    ----------
    segment : Segment
        The file.
    offset : int
        Byte of the segment.
    lsn : int
        LSN of the frame.
    """

    segment: Segment
    offset: int
    lsn: int

    @classmethod
    def first(cls, segment: Segment) -> Place:
        """The first frame of a segment."""
        return cls(segment, SEGMENT_HEADER_SIZE, segment.header.first_lsn)

    def after(self, frame: RawFrame) -> Place:
        """The place behind the frame that stands here."""
        return Place(self.segment, frame.end, frame.lsn + 1)


class Journal(NamedTuple):
    """The journal of one session in a directory."""

    storage: Storage
    directory: str
    session: bytes

    def segment(self, number: int) -> Segment | None:
        """The segment of this number; None when there is no such file.

        Raises
        ------
        JournalGoneError
            The file is of another session.
        CorruptJournalError
            Its header is damaged.
        """
        path = str(Path(self.directory, segment_name(number)))
        try:
            header = SegmentHeader.unpack(self.storage.read_bytes(path, MAX_SEGMENT_HEADER))
        except FileNotFoundError:
            return None
        except FormatError as error:
            raise Damage(path, number, 0, None, str(error)).error() from error
        if header.session != self.session:
            raise self.gone()
        return Segment(number, path, header)

    def successor(self, place: Place) -> Segment | None:
        """The segment behind that of `place`; None when there is none."""
        return self.segment(place.segment.number + 1)

    def locate(self, position: int, last_batch: int | None) -> Place:
        """The beginning of the segment from which to read what stands behind LSN `position`.

        Parameters
        ----------
        last_batch : int or None
            The latest batch up to there, when it is known.

        Raises
        ------
        JournalPrunedError
            Records behind `position` are not in the journal any more.
        JournalGoneError
            The journal is not there any more.
        """
        anchor: Anchor | None = None
        for _ in range(_TRIES):
            found, anchor = self._look(position, last_batch)
            if found is not None:
                return Place.first(found)
            if anchor is not None:
                break
        raise self._pruned(position, anchor)

    def _look(self, position: int, last_batch: int | None) -> tuple[Segment | None, Anchor | None]:
        """Go back from the last segment, as far as they follow each other, to the one wanted."""
        try:
            paths = segment_paths(self.storage, self.directory)
        except FileNotFoundError:
            raise self.gone() from None
        if not paths:
            raise self.gone()
        latest: Anchor | None = None
        for number in range(max(paths), 0, -1):
            # None: it was removed while we looked, or it is what lies before an anchor.
            if number not in paths or (segment := self.segment(number)) is None:
                break
            anchor = read_anchor(self.storage, segment.path, segment.header)
            latest = latest or anchor
            # Every record before an anchor is in its checkpoint, and belongs to a batch up to its last.
            if anchor is not None and (anchor.applied <= position or anchor.last_batch == last_batch):
                return segment, anchor
            if segment.header.first_lsn <= position + 1:
                return segment, anchor
        return None, latest

    def gone(self) -> JournalGoneError:
        """The error for a journal that was there and is no more."""
        return JournalGoneError(
            "the journal is not there any more: its session has ended",
            path=self.directory,
            safe="What the session committed is in its target",
        )

    def _pruned(self, position: int, anchor: Anchor | None) -> JournalPrunedError:
        return JournalPrunedError(
            f"the records behind LSN {position} were removed from the journal",
            path=self.directory,
            lsn=position + 1,
            safe=f"They are in the checkpoint of LSN {anchor.applied}" if anchor else None,
            hint="Begin again from the last checkpoint of the staging file",
        )
