"""How far a growing journal is durable, by its own marks, reading only what is new.

What stands behind the last mark may still be cut off by the writer (a write
that failed half way), and to touch a mapping behind the end of its file ends
the process. So these bytes are read, not mapped, and of a frame only header
and meta: they say where the next one is. Whoever knows from here what is
durable may map that much.
"""

from __future__ import annotations

import contextlib
from typing import Final

from safeh5.journal.format import FRAME_HEADER, FRAME_HEADER_SIZE, MAX_META, FormatError, frame_size
from safeh5.journal.ledger import proved_by
from safeh5.journal.place import Journal, Place
from safeh5.journal.walk import BadPlace, RawFrame, parse

_WINDOW: Final = 16 << 10


class Marks:
    """Reads along with the writer.

    Parameters
    ----------
    journal : Journal
        Whose marks.
    place : Place
        Where to begin: the first frame of a segment.

    Attributes
    ----------
    durable : int
        Everything up to this LSN is proved durable.
    """

    def __init__(self, journal: Journal, place: Place) -> None:
        self._journal = journal
        self._begin(place)

    def _begin(self, place: Place) -> None:
        self.durable = place.lsn - 1
        self._place = place
        self._seen: tuple[int, int] | None = None
        self._stuck_at = self._restarted_at = -1

    def look(self) -> int:
        """`durable`, brought up to date. Costs two questions to the file system when nothing is new.

        Raises
        ------
        FileNotFoundError
            The segment was removed.
        """
        while True:
            status = self._journal.storage.stat(self._place.segment.path)
            seen = status.st_size, status.st_mtime_ns
            if seen != self._seen:
                self._seen = seen
                self._read_on(status.st_size)
            following = self._journal.successor(self._place)
            if following is None:
                return self.durable
            # That a segment exists proves all before it durable.
            self._begin(Place.first(following))

    def _read_on(self, size: int) -> None:
        """Go from frame to frame up to the end of the file, or to one that is not whole yet."""
        window, base = memoryview(b""), 0
        while self._place.offset + FRAME_HEADER_SIZE <= size:
            frame = self._head(window, base)
            if frame is None and base != self._place.offset:
                window, base = self._window(size), self._place.offset
                frame = self._head(window, base)
            if frame is None:
                self._stuck()
                return
            if frame.end > size:
                return
            with contextlib.suppress(FormatError):
                at_window = frame._replace(offset=frame.offset - base)
                self.durable = max(self.durable, proved_by(window, at_window))
            self._place = self._place.after(frame)

    def _head(self, window: memoryview, base: int) -> RawFrame | None:
        """The frame at the present place, if its header and meta are whole and in the window."""
        segment, offset, lsn = self._place
        end = base + len(window)
        if not base <= offset < end:
            return None
        try:
            return parse(window, segment.header.salt, lsn, offset, end, base=base, whole=False)
        except BadPlace as bad:
            return bad.frame

    def _window(self, size: int) -> memoryview:
        """Bytes from the present place on: some frames, or one header with its meta."""
        path, offset = self._place.segment.path, self._place.offset
        data = self._journal.storage.read_bytes(path, min(_WINDOW, size - offset), offset)
        if len(data) >= FRAME_HEADER_SIZE:
            meta_length: int = FRAME_HEADER.unpack_from(data)[5]
            needed = frame_size(meta_length, 0)
            if meta_length <= MAX_META and len(data) < needed <= size - offset:
                data = self._journal.storage.read_bytes(path, needed, offset)
        return memoryview(data)

    def _stuck(self) -> None:
        """No whole frame here: it is being written, or the writer has cut off what we went over.

        If it is still none when the file has changed, go through the segment
        once more from its beginning.
        """
        offset = self._place.offset
        if self._stuck_at == offset and self._restarted_at != offset:
            self._restarted_at = offset
            self._place, self._seen = Place.first(self._place.segment), None
        self._stuck_at = offset
