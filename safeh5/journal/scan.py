"""One pass over a journal: what is there, what is durable, what is damaged.

The rule that tells a torn tail from damage: at a bad place where the frame
with LSN *n* should be, let *E* be the highest LSN that is proved to have been
durable. The proof is a SYNC mark, a SEAL, COMMIT, ROLLBACK or RESUME (anywhere
in the journal, behind the bad place too), or a later segment, whose header
states how much of the segment before it is valid.

- *n* <= *E*: these bytes were on disk and are not any more. Damage. So it is in what a later segment's
  header states of the segment before it, whatever *n*: all of that was on disk.
- *n* > *E*: they were never acknowledged. The torn tail begins here, however
  many whole frames follow: file systems may write the later bytes first.

A journal may begin at an anchor (`safeh5.journal.anchor`): at the latest one,
and what stands before it is garbage, whether it is still there or not.

A frame that is whole and may not stand where it stands is damage in any case:
no torn write makes one. The scan never raises for damage; it lists it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from safeh5.errors import ForeignSidecarError, UnsupportedVersion
from safeh5.journal.anchor import Anchor, read_anchor
from safeh5.journal.findings import Damage, JournalScan, SegmentInfo, TornTail
from safeh5.journal.format import (
    MAX_SEGMENT_HEADER,
    SEGMENT_HEADER,
    SEGMENT_HEADER_SIZE,
    FormatError,
    SegmentHeader,
    UnknownVersion,
)  # fmt: skip
from safeh5.journal.ledger import Ledger, proved_by
from safeh5.journal.segment import StrPath, segment_paths, unreadable
from safeh5.journal.walk import BadPlace, RawFrame, survey
from safeh5.storage.files import Storage
from safeh5.storage.handles import MappedFile
from safeh5.storage.names import segment_name

MAX_LISTED_DAMAGE: Final = 1000
_OFFSETS: Final = {name: offset for offset, _, name, _ in SEGMENT_HEADER.rows()}


def scan(storage: Storage, directory: StrPath, *, live: bool = False) -> JournalScan:
    """Read the journal in `directory` once and say what it holds.

    Parameters
    ----------
    live : bool
        A session is writing it. Then it may cut off a frame for which there
        was no room while we look, and the last segment is read, not mapped.

    Raises
    ------
    UnsupportedVersion
        A segment was written by a newer safeh5.
    ForeignSidecarError
        There is no segment in the directory.
    OSError
        The directory or a file cannot be read.
    """
    paths = segment_paths(storage, directory)
    while paths:
        # A session that is running may remove old segments while they are looked at: then look again.
        before = paths
        try:
            found = _Scan(storage, os.fspath(directory), dict(paths), live).run()
        except FileNotFoundError:
            if (paths := segment_paths(storage, directory)) == before:
                raise
            continue
        if not found.damage or (paths := segment_paths(storage, directory)) == before:
            return found
    raise ForeignSidecarError("this directory holds no journal of safeh5", path=directory)


class _Scan:
    """The state of one pass. The valid prefix ends at the first bad place."""

    def __init__(self, storage: Storage, directory: str, paths: dict[int, str], live: bool = False) -> None:
        self.storage = storage
        self.live = live
        self.directory = directory
        self.paths = paths
        self.headers: dict[int, SegmentHeader] = {}
        self.session = b""
        self.proved = 0
        self.ledger = Ledger()
        self.in_prefix = True
        self.segments: list[SegmentInfo] = []
        self.damage: list[Damage] = []
        self.more_damage = 0
        self.torn: TornTail | None = None
        self.anchor: Anchor | None = None
        self.leftovers: tuple[str, ...] = ()

    def run(self) -> JournalScan:
        """The whole pass: headers first, since each says how much of the segment before is valid."""
        causes = {number: self._read_header(number) for number in self.paths}
        ours = [header for header in self.headers.values() if header.session == self.session]
        self.proved = max((header.first_lsn - 1 for header in ours), default=0)
        expected = self._begin()
        is_cut = self.anchor is None and 1 not in self.paths
        for number in self.paths:
            if is_cut and not self.segments:
                self.in_prefix = False
            elif number != expected:
                self.report(expected, 0, self.ledger.last_lsn + 1, _missing(expected, number - 1))
            self._scan_segment(number, causes[number])
            expected = number + 1
        if is_cut:
            self._explain_beginning()
        return self._result()

    def _begin(self) -> int:
        """The number of the segment that the journal begins with; passes over those before an anchor."""
        for number in reversed(self.paths):
            header = self.headers.get(number)
            if header is None or (header.session, header.number) != (self.session, number):
                continue
            if anchor := read_anchor(self.storage, self.paths[number], header):
                self.anchor = anchor
                self.ledger.begin_at(anchor)
                earlier = [other for other in self.paths if other < number]
                self.leftovers = tuple(self.paths.pop(other) for other in earlier)
                return number
        return 1

    def _explain_beginning(self) -> None:
        """Say why the journal does not begin with segment 1, nor at an anchor.

        Segments go only when a later one begins with an anchor. If one there is whose first
        frame is not whole, that was the anchor, and the segments before it may have gone
        rightly: then it is named first.
        """
        found, self.damage = self.damage, []
        lost = [
            damage
            for damage in found
            if damage.segment in self.paths and damage.offset <= SEGMENT_HEADER_SIZE
        ]
        if lost:
            self.damage.append(lost[-1])
            found.remove(lost[-1])
        elif self.torn is not None and self.torn.offset <= SEGMENT_HEADER_SIZE:
            number = self.segments[-1].number
            self.report(number, self.torn.offset, self.torn.first_lsn, "it ends inside its first record")
        else:
            self._report_empty()
        self.report(1, 0, 1, _missing(1, self.segments[0].number - 1))
        self.damage += found

    def _report_empty(self) -> None:
        last = self.segments[-1]
        if last.header is not None and last.size <= SEGMENT_HEADER_SIZE:
            first = last.header.first_lsn
            self.report(last.number, SEGMENT_HEADER_SIZE, first, "it ends before its first record")

    # --- headers ------------------------------------------------------------------

    def _read_header(self, number: int) -> str:
        """Enter the header of a segment, or return what is wrong with it."""
        path = self.paths[number]
        try:
            header = SegmentHeader.unpack(self.storage.read_bytes(path, MAX_SEGMENT_HEADER))
        except UnknownVersion as error:
            raise UnsupportedVersion(
                f"the journal was written by a newer safeh5 ({error})", path=path,
                safe="It is not damaged, and nothing has been changed",
                hint="Use the version of safeh5 that wrote it, or a later one.",
            ) from error  # fmt: skip
        except FormatError as error:
            return str(error)
        self.headers[number] = header
        self.session = self.session or header.session
        return ""

    def _misfit(self, header: SegmentHeader, number: int) -> tuple[str, str] | None:
        """The field of a whole header that does not fit the journal, and why."""
        if header.number != number:
            return "number", f"this is segment {header.number} under the name of segment {number}"
        if header.session != self.session:
            return "session", "this segment is of another session"
        if not self.in_prefix:
            return None
        if header.first_lsn != self.ledger.last_lsn + 1:
            return "first LSN", f"LSN {header.first_lsn} begins here and {self.ledger.last_lsn + 1} should"
        if self.anchor is not None and number == self.anchor.segment:
            return None
        before = self.segments[-1] if self.segments else None
        if header.previous_length != (before.valid_length if before else 0):
            return "previous length", "the segment before has not the length stated here"
        if header.previous_chain != (before.chain if before else 0):
            return "previous chain", "the segment before is not the one that this one followed"
        return None

    # --- segments -----------------------------------------------------------------

    def _scan_segment(self, number: int, cause: str) -> None:
        header = self.headers.get(number)
        valid = 0
        if header is None:
            self.report(number, 0, self.ledger.last_lsn + 1, cause)
        elif misfit := self._misfit(header, number):
            self.report(number, _OFFSETS[misfit[0]], header.first_lsn, misfit[1])
        if self.in_prefix and header is not None:
            self.ledger.begin_segment(header)
            valid = SEGMENT_HEADER_SIZE
        if header is not None and (header.session, header.number) == (self.session, number):
            valid = self._scan_file(number, header, valid)
        size = self.storage.stat(self.paths[number]).st_size
        chain, last_lsn = self.ledger.chain, self.ledger.last_lsn
        self.segments.append(SegmentInfo(self.paths[number], number, header, size, valid, chain, last_lsn))

    def _scan_file(self, number: int, header: SegmentHeader, valid: int) -> int:
        """Go through the frames of a segment; returns how many of its bytes are in the prefix."""
        successor = self.headers.get(number + 1)
        if successor and (successor.session, successor.number) != (self.session, number + 1):
            successor = None  # what stands there says nothing about this segment
        with self._opened(number) as mapped:
            if cause := unreadable(mapped):
                self.report(number, 0, header.first_lsn, cause)
                return 0
            stated = successor.previous_length if successor else mapped.size
            frames = _Frames(self, number, header, valid)
            frames.take(mapped.view, min(stated, mapped.size))
            if mapped.size < stated and not frames.bad:
                frames.note(BadPlace(mapped.size, frames.next_lsn, f"the file ends here, not at {stated}"))
            is_last = number == max(self.paths)
            frames.judge(mapped.size, is_last, ends_unknown=successor is None and not is_last)
        return frames.valid

    def _opened(self, number: int) -> MappedFile:
        path = self.paths[number]
        is_growing = self.live and number == max(self.paths)
        return self.storage.load(path) if is_growing else self.storage.map(path)

    def report(self, number: int, offset: int, lsn: int | None, cause: str) -> None:
        self.in_prefix = False
        if len(self.damage) >= MAX_LISTED_DAMAGE:
            self.more_damage += 1
            return
        path = self.paths.get(number) or str(Path(self.directory, segment_name(number)))
        self.damage.append(Damage(path, number, offset, lsn, cause))

    def _result(self) -> JournalScan:
        ledger = self.ledger
        first = self.headers.get(self.anchor.segment if self.anchor else 1)
        return JournalScan(
            directory=self.directory, session_id=self.session or bytes(16), segments=tuple(self.segments),
            first_lsn=self.anchor.lsn if self.anchor else 1, last_lsn=ledger.last_lsn,
            durable_lsn=max(ledger.durable_lsn, self.proved), frames=ledger.frames,
            size=sum(segment.valid_length for segment in self.segments),
            records=ledger.records, record_bytes=ledger.record_bytes, batch=ledger.batch,
            aborted=frozenset(ledger.aborted), control=tuple(ledger.control),
            created=first.created if first else 0, modified=ledger.modified, damage=tuple(self.damage),
            more_damage=self.more_damage, torn=self.torn, anchor=self.anchor, leftovers=self.leftovers,
        )  # fmt: skip


class _Frames:
    """The frames of one segment: those of the prefix entered, the bad places judged at the end."""

    def __init__(self, scan: _Scan, number: int, header: SegmentHeader, valid: int) -> None:
        self.scan = scan
        self.number = number
        self.header = header
        self.valid = valid
        self.next_lsn = header.first_lsn
        self.bad: list[BadPlace] = []
        self.whole_behind = 0

    def take(self, view: memoryview, end: int) -> None:
        """Go through all of the segment up to byte `end`, past bad places too."""
        for item in survey(view, self.header.salt, self.header.first_lsn, SEGMENT_HEADER_SIZE, end):
            if isinstance(item, BadPlace):
                self.note(item)
                continue
            self.next_lsn = item.lsn + 1
            if self.scan.in_prefix:
                self._enter(view, item)
            else:
                self._look_behind(view, item)

    def note(self, place: BadPlace) -> None:
        """A bad place; what it means is known only after the whole segment was seen."""
        self.scan.in_prefix = False
        if len(self.bad) < MAX_LISTED_DAMAGE:
            self.bad.append(place)
        else:
            self.scan.more_damage += 1

    def judge(self, size: int, is_last: bool, ends_unknown: bool) -> None:
        """Tell damage from a torn tail, by the rule at the head of this module.

        A segment behind which the next one's header is lost (`ends_unknown`) may have ended
        anywhere: what no frame follows there is not blamed, but that header is.
        """
        if ends_unknown and not self.whole_behind:
            return
        durable = max(self.scan.ledger.durable_lsn, self.scan.proved)
        # The next header was written when all that it states of this segment was on disk.
        vouched = not is_last and not ends_unknown
        for place in self.bad:
            if vouched or place.lsn <= durable:
                self.scan.report(self.number, place.offset, place.lsn, place.cause)
            elif is_last and self.scan.torn is None:
                self.scan.torn = TornTail(
                    self.scan.paths[self.number], self.number, place.offset, size - place.offset,
                    self.whole_behind, place.lsn,
                )  # fmt: skip

    def _enter(self, view: memoryview, frame: RawFrame) -> None:
        try:
            self.scan.ledger.take(view, self.header.created, frame)
        except FormatError as error:
            self.scan.report(self.number, frame.offset, frame.lsn, str(error))
        else:
            self.valid = frame.end

    def _look_behind(self, view: memoryview, frame: RawFrame) -> None:
        """A whole frame behind a bad place: it may still prove what was durable."""
        self.whole_behind += 1
        with contextlib.suppress(FormatError):
            self.scan.proved = max(self.scan.proved, proved_by(view, frame))


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"segment {first} is missing"
    return f"segments {first} to {last} are missing"
