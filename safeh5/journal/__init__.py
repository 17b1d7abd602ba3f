"""The journal: segments of checksummed frames, written once, read in order.

`format` says what every byte means. `JournalWriter` appends, `scan` says what
a journal holds and whether it is sound, `records` yields what counts,
`salvage_frames` what can be saved from a damaged one, and a `Follower` reads
along while another process writes. The package knows nothing of HDF5: what is in a
record is not its business.
"""

from safeh5.journal.anchor import Anchor
from safeh5.journal.findings import (
    ControlFrame,
    Damage,
    JournalScan,
    OpenBatch,
    SegmentInfo,
    TornTail,
)
from safeh5.journal.follow import Follower
from safeh5.journal.format import WHOLE, Kind
from safeh5.journal.reader import Frame, frames, records
from safeh5.journal.reread import reread
from safeh5.journal.salvage import Gap, salvage_frames
from safeh5.journal.scan import scan
from safeh5.journal.tip import Placed
from safeh5.journal.writer import JournalWriter

__all__ = [
    "WHOLE",
    "Anchor",
    "ControlFrame",
    "Damage",
    "Follower",
    "Frame",
    "Gap",
    "JournalScan",
    "JournalWriter",
    "Kind",
    "OpenBatch",
    "Placed",
    "SegmentInfo",
    "TornTail",
    "frames",
    "records",
    "reread",
    "salvage_frames",
    "scan",
]
