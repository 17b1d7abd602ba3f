"""safeh5: HDF5 files that survive anything that happens to the writer.

Every change is recorded in an append-only journal first, applied to a copy,
and put in the place of the target by one atomic rename. `open` begins a
session; `status`, `recover` and `verify` are for afterwards.
"""

from typing import TYPE_CHECKING

from safeh5 import errors
from safeh5._lazy import lazily
from safeh5._version import __version__ as __version__
from safeh5.errors import SafeH5Error
from safeh5.events import ProgressEvent

# These two are packages as well as functions: imported first, so that the functions keep the names.
from safeh5.live import live
from safeh5.options import Durability, OnError, VerifyLevel
from safeh5.verify import verify

if TYPE_CHECKING:
    from safeh5.h5 import File, install, uninstall
    from safeh5.live import LiveState, LiveView, Shows, Tail, TailEnd, TailItem
    from safeh5.microdata import (
        EmptyMicroDataset,
        ExpandableMicroDataset,
        ExternalLink,
        HardLink,
        MicroData,
        MicroDataGroup,
        MicroDataset,
        MicroDatatype,
        Reference,
        SoftLink,
    )
    from safeh5.recovery import (
        Action,
        Condition,
        RecoveryReport,
        StatusReport,
        recover,
        status,
        status_tree,
    )
    from safeh5.session import Session, State, Written, open
    from safeh5.verify import VerifyReport
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "safeh5.h5": "File install uninstall",
            "safeh5.live": "LiveState LiveView Shows Tail TailEnd TailItem",
            "safeh5.microdata": "EmptyMicroDataset ExpandableMicroDataset ExternalLink HardLink MicroData "
            "MicroDataGroup MicroDataset MicroDatatype Reference SoftLink",
            "safeh5.recovery": "Action Condition RecoveryReport StatusReport recover status status_tree",
            "safeh5.session": "Session State Written open",
            "safeh5.verify": "VerifyReport",
        },
    )

__all__ = [
    "Action",
    "Condition",
    "Durability",
    "EmptyMicroDataset",
    "ExpandableMicroDataset",
    "ExternalLink",
    "File",
    "HardLink",
    "LiveState",
    "LiveView",
    "MicroData",
    "MicroDataGroup",
    "MicroDataset",
    "MicroDatatype",
    "OnError",
    "ProgressEvent",
    "RecoveryReport",
    "Reference",
    "SafeH5Error",
    "Session",
    "Shows",
    "SoftLink",
    "State",
    "StatusReport",
    "Tail",
    "TailEnd",
    "TailItem",
    "VerifyLevel",
    "VerifyReport",
    "Written",
    "errors",
    "install",
    "live",
    "open",
    "recover",
    "status",
    "status_tree",
    "uninstall",
    "verify",
]
