"""The door of one journaled file: the only way from h5py's objects to the journal."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from h5py import h5f, h5i, h5p

from safeh5._typing import Buffer
from safeh5.applier import AtHand
from safeh5.applier.below import below_of
from safeh5.errors import ApplyError, InternalError, SafeH5Error, UnjournaledOperationError
from safeh5.h5 import native
from safeh5.h5.exposed import Exposed
from safeh5.h5.paths import Paths
from safeh5.h5.recorder import Recorder
from safeh5.operations.model import Operation

_NOT_SAID = 0xFFFF  # H5F_ACC_DEFAULT: as the file that holds the link

_doors: WeakValueDictionary[Any, Door] = WeakValueDictionary()


@dataclass(slots=True)
class Handle:
    """One opening of a journaled file.

    Attributes
    ----------
    name : str
        The path that it was opened by.
    driver : str or None
        The driver that was asked for.
    closed : bool
        Whether its user has closed it.
    """

    name: str
    driver: str | None = None
    closed: bool = False


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
    intent : int
        How HDF5 has the file open.
    target : bytes
        Path of the file that the user works on.
    handles : dict of int to Handle
        How the file was opened, by the numbers of its identifiers.
    exposed : Exposed
        Datasets whose HDF5 identifiers were given away.
    paths : Paths
        Where objects stand that were asked for.
    moved : dict of address to bytes
        Where objects were found that HDF5 has under an outdated name.
    below : StagingFile or None
        The file object that HDF5 works by.
    unrecorded : list of None
        One for each time that a dataset which is not linked was written or resized.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.file_id = recorder.file_id
        self.fileno, self.intent = self.file_id.fileno, self.file_id.get_intent()
        self.target = os.fsencode(recorder.target)
        self._pid = os.getpid()
        self.handles: dict[int, Handle] = {}
        self.exposed = Exposed(recorder.target)
        self.paths = Paths()
        self.moved: dict[Any, bytes] = {}
        self.below = below_of(self.file_id)
        self.unrecorded: list[None] = []
        self._access: tuple[Any, h5p.PropLAID] = (None, self._link_access(h5p.create(h5p.LINK_ACCESS)))

    @classmethod
    def of(cls, recorder: Recorder) -> Door:
        """The door for `recorder`, made once for each open file."""
        known = door_of(recorder.file_id)
        if known is not None:
            return known
        door = cls(recorder)
        _doors[door.fileno] = door
        return door

    def link_access(self, lapl: h5p.PropLAID | None = None) -> h5p.PropLAID:
        """How links are followed: `lapl`, with what external links of this file need.

        They lead into other files for reading only, unless `lapl` says
        otherwise, since what would be written there is in no journal.
        """
        given, access = self._access
        if lapl is not given:
            access = self._link_access(h5p.create(h5p.LINK_ACCESS) if lapl is None else lapl.copy())
            self._access = lapl, access
        return access

    def _link_access(self, lapl: h5p.PropLAID) -> h5p.PropLAID:
        # HDF5 would open the other file by the driver of this one, whose
        # Python object is the staging file.
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fapl_sec2()
        lapl.set_elink_fapl(access)
        lapl.set_elink_prefix(os.path.dirname(self.target))
        if lapl.get_elink_acc_flags() == _NOT_SAID:
            lapl.set_elink_acc_flags(h5f.ACC_RDONLY)
        return lapl

    @property
    def is_lost(self) -> bool:
        """Whether HDF5 has closed the file, which a full disk brings about."""
        return not self.file_id.valid

    @property
    def changes(self) -> tuple[int, int] | None:
        """The same as long as nothing is changed; None where changes may pass unseen."""
        return None if self.exposed else (self.recorder.position, len(self.unrecorded))

    def note_unrecorded(self) -> None:
        """A dataset that is not linked is changed, of which the journal knows nothing."""
        self.unrecorded.append(None)
        if self.below is not None:
            self.below.settled = False

    def release(self, handle: Any, *, objects: bool) -> None:
        """Close one of the file's identifiers; the session commits with the last thing that is open.

        Parameters
        ----------
        handle : FileID
            What is closed.
        objects : bool
            Whether everything that was opened through it is closed as well. If
            not, the file stays open as long as any of it does.

        Raises
        ------
        SafeH5Error
            If the session cannot commit; everything is then open as before, to be
            tried again.
        """
        if self.recorder.ended or os.getpid() != self._pid:
            return  # in a fork the file is its parent's
        last = objects or not _is_shared(handle)
        if self.recorder.commits and self._is_last(handle, objects=objects):
            self.exposed.record(self)
            self.recorder.close()
        elif not self.is_lost:
            close_plainly(handle, objects=objects)
        self.handle(handle.number).closed = last
        # As h5py does when a file is closed: what is left of it says so, in h5py's words.
        native.nonlocal_close()
        if not self.recorder.ended:
            # What is still open decides when the file ends, and not this identifier.
            handle.door = copy.copy(self)

    def flush(self) -> None:
        """Make everything written so far durable."""
        self.exposed.record(self)
        self.recorder.flush()

    def handle(self, number: int) -> Handle:
        """How the file was opened for the identifier `number`."""
        return self.handles.setdefault(number, Handle(os.fsdecode(self.target)))

    def abandon(self, handle: Any, error: BaseException) -> None:
        """`error` leaves the ``with`` block of `handle`: the session ends without commit.

        Unless others have the file open: they go on, and meet the error themselves
        if nobody catches it.
        """
        if self.recorder.commits and os.getpid() == self._pid and self._is_last(handle, objects=True):
            self.recorder.abandon(error)
            native.nonlocal_close()
        else:
            self.release(handle, objects=True)

    def _is_last(self, handle: Any, *, objects: bool) -> bool:
        """Whether nothing is open beside `handle`, of what users have opened."""
        if self.is_lost:
            # Whoever went on after that has the file open anew.
            return not any(door.recorder is self.recorder for door in doors() if not door.is_lost)
        if not objects and _is_shared(handle):
            return False
        own = h5f.get_obj_count(handle, h5f.OBJ_ALL | h5f.OBJ_LOCAL) if objects else 1
        applier = h5f.get_obj_count(self.file_id, h5f.OBJ_ALL | h5f.OBJ_LOCAL)
        return bool(h5f.get_obj_count(self.file_id, h5f.OBJ_ALL) <= applier + own)

    def holds(self, oid: Any) -> bool:
        """Whether an identifier belongs to this file."""
        return bool(oid.fileno == self.fileno)

    def record(self, operation: Operation, payload: Buffer = b"", at: AtHand | None = None) -> None:
        """Journal and apply; what HDF5 refuses is raised as h5py would have raised it."""
        try:
            self.recorder.record(operation, payload, at)
        except ApplyError as error:
            cause = error.__cause__
            # What the disk says is no refusal of HDF5: our error tells what is safe and what to do.
            if cause is None or isinstance(cause, SafeH5Error) or getattr(cause, "errno", None):
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


def doors() -> list[Door]:
    """Every door that something is left of."""
    return list(_doors.values())


def door_of(oid: Any) -> Door | None:
    """The door of the file that a plain identifier belongs to, if it is journaled."""
    return _doors.get(oid.fileno)


def _is_shared(handle: Any) -> bool:
    """Whether there are more users of the same number: ``x.file`` gives another object of it."""
    return bool(native.is_valid(handle) and h5i.get_ref(handle) > 1)


def close_plainly(handle: Any, *, objects: bool) -> None:
    """Close an identifier of a file that stays open, as h5py would."""
    if objects:
        h5f.FileID._close_open_objects(handle, h5f.OBJ_LOCAL | ~h5f.OBJ_FILE)
        h5f.FileID._close_open_objects(handle, h5f.OBJ_LOCAL | h5f.OBJ_FILE)
    h5f.FileID.close(handle)


def refused(function: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Call an h5py function that is known to fail, for its own error.

    What HDF5 would refuse is found out before it is journaled, and then said
    in h5py's words.
    """
    function(*args, **kwargs)
    raise InternalError("h5py did what safeh5 took for impossible: the change is not in the journal")
