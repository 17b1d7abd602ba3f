"""The streams of a session: one object for each dataset, and what a crash left of them.

Invariants
----------
1. A dataset has one `Stream` at a time: two would each believe in a length of
   their own, and the second would write over what the first appended.
2. When the journal begins anew, the anchor takes over what is known of every
   stream, those of the sessions before the last crash included.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

import h5py

from safeh5.journal import JournalScan
from safeh5.microdata import FileNamespace
from safeh5.operations.control import StreamState
from safeh5.recovery.lengths import resume_report
from safeh5.recovery.report import ResumeReport
from safeh5.session.stream import Stream
from safeh5.session.streaming import has_other_names
from safeh5.storage import Storage


class StreamBook:
    """Keeps the streams of a session.

    Parameters
    ----------
    storage : Storage
        Where the journal lies.
    found : JournalScan or None
        The journal as it was found, when the session goes on with an interrupted one.
    """

    def __init__(self, storage: Storage, found: JournalScan | None) -> None:
        self._storage = storage
        self._found = found
        self._report: ResumeReport | None = None
        self._streams: dict[str, Stream] = {}

    def get(self, path: str) -> Stream | None:
        """The stream on the dataset at `path`, if it was opened."""
        return self._streams.get(path)

    def add(self, stream: Stream) -> Stream:
        """Keep `stream` (invariant 1)."""
        return self._streams.setdefault(stream.path, stream)

    def twin(self, file: h5py.File, path: str) -> Stream | None:
        """The stream that was opened on the dataset at `path` under another name of it (invariant 1)."""
        if not self._streams or not has_other_names(file, path):
            return None
        same = partial(FileNamespace(file).same, path)
        return next((stream for other, stream in self._streams.items() if same(other)), None)

    def forget(self, paths: Iterable[str]) -> None:
        """The datasets at `paths` are others from now on, or none."""
        for path in paths:
            if (stream := self._streams.pop(path, None)) is not None:  # an empty one is false
                stream.lose()

    def report(self) -> ResumeReport | None:
        """What was there when the session was gone on with; None if it began anew."""
        if self._report is None and self._found is not None:
            self._report = resume_report(self._storage, self._found)
            self._found = None
        return self._report

    def states(self) -> tuple[StreamState, ...]:
        """Every stream as it is now (invariant 2); to be asked for while the old segments are there."""
        states = {}
        if report := self.report():
            for was in report.streams:
                states[was.path] = StreamState(was.path, was.kept, _nanoseconds(was.last))
        for path, stream in self._streams.items():
            before = states.get(path)
            time = stream.last_time or (before.time if before else 0)
            states[path] = StreamState(path, stream.length, time)
        return tuple(states.values())


def _nanoseconds(iso: str | None) -> int:
    return 0 if iso is None else int(datetime.fromisoformat(iso).timestamp() * 1e9)
