"""The door of one journaled file: the only way from h5py's objects to the journal."""

from __future__ import annotations

import os
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from h5py import h5f, h5p

from safeh5._typing import Buffer
from safeh5.errors import ApplyError, InternalError, SafeH5Error, UnjournaledOperationError
from safeh5.h5.recorder import Recorder
from safeh5.operations.model import Operation

_doors: WeakValueDictionary[Any, Door] = WeakValueDictionary()


class Door:
    """What all identifiers of one journaled file share.

    Parameters
    ----------
    recorder : Recorder
        Where changes go.

    Attributes
    ----------
    fileno : tuple of int
        HDF5's number of the open file; objects of other files, reached through
        external links, have another one.
    link_access : h5py.h5p.PropLAID
        How links are followed: into other files for reading only, since what
        would be written there is in no journal. It also names the driver for
        them, which would otherwise be that of the staging file.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.file_id = recorder.file_id
        self.fileno = self.file_id.fileno
        self.target = os.fsencode(recorder.target)
        self.link_access = self.for_links(h5p.create(h5p.LINK_ACCESS), h5f.ACC_RDONLY)

    @classmethod
    def of(cls, recorder: Recorder) -> Door:
        """The door for `recorder`, made once for each open file."""
        known = door_of(recorder.file_id)
        if known is not None:
            return known
        door = cls(recorder)
        _doors[door.fileno] = door
        return door

    def for_links(self, plist: h5p.PropLAID, flags: int | None = None) -> h5p.PropLAID:
        """`plist` with what external links of this file need."""
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fapl_sec2()
        plist.set_elink_fapl(access)
        plist.set_elink_prefix(os.path.dirname(self.target))
        if flags is not None:
            plist.set_elink_acc_flags(flags)
        return plist

    def holds(self, oid: Any) -> bool:
        """Whether an identifier belongs to this file."""
        return bool(oid.fileno == self.fileno)

    def record(self, operation: Operation, payload: Buffer = b"") -> None:
        """Journal and apply; what HDF5 refuses is raised as h5py would have raised it."""
        try:
            self.recorder.record(operation, payload)
        except ApplyError as error:
            cause = error.__cause__
            if cause is None or isinstance(cause, SafeH5Error):
                raise
            # Programs written for h5py catch its ValueError, KeyError, OSError.
            raise cause from None

    def refuse(self, what: str, path: str | None = None, hint: str | None = None) -> NoReturn:
        """Raise for a road that cannot be journaled."""
        raise UnjournaledOperationError(
            f"{what} cannot be journaled",
            path=self.recorder.target,
            dataset=path,
            safe="It was not done; everything else is as it was",
            hint=hint,
        )


def door_of(oid: Any) -> Door | None:
    """The door of the file that a plain identifier belongs to, if it is journaled."""
    return _doors.get(oid.fileno)


def refused(function: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Call an h5py function that is known to fail, for its own error.

    What HDF5 would refuse is found out before it is journaled, and then said
    in h5py's words.
    """
    function(*args, **kwargs)
    raise InternalError("h5py did what safeh5 took for impossible: the change is not in the journal")
