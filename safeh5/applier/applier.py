"""The applier: turns operations into HDF5, in normal running and in recovery alike.

Invariants
----------
1. Nothing else in the package opens HDF5 for writing.
2. Applying is a function of the file and the operation alone: no clock, no
   names made up here, no defaults taken from the process.
3. After every operation the latch of the staging file is looked at, so that
   a disk that failed below libhdf5 is an error here and not a crash there.
4. An operation that fails raises `ApplyError`; what it left behind is not
   trusted, and the caller rebuilds the staging file from the journal.

The low-level interface of h5py is used throughout: it takes HDF5's own types
and spaces as they were journaled, and shares them between objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from h5py import h5f

from safeh5._typing import Buffer
from safeh5.applier import attributes, data, images, objects, scales
from safeh5.applier.context import Context
from safeh5.applier.direct import AtHand
from safeh5.applier.filters import missing_filters, missing_filters_hint
from safeh5.errors import ApplyError, JournalError, SafeH5Error
from safeh5.operations import model
from safeh5.operations.many import taken_apart
from safeh5.operations.model import Operation
from safeh5.storage.interrupts import Uninterrupted

Handler = Callable[[Context, Any, Buffer], None]

_HANDLERS: dict[type[Operation], Handler] = {
    model.CreateGroup: objects.create_group,
    model.CreateDataset: objects.create_dataset,
    model.CommitDatatype: objects.commit_datatype,
    model.CreateSoftLink: objects.create_soft_link,
    model.CreateHardLink: objects.create_hard_link,
    model.CreateExternalLink: objects.create_external_link,
    model.Delete: objects.delete,
    model.Move: objects.move,
    model.Copy: objects.copy,
    model.CopyIn: images.copy_in,
    model.SetComment: objects.set_comment,
    model.WriteData: data.write,
    model.AppendData: data.append,
    model.WriteChunk: data.write_chunk,
    model.Resize: data.resize,
    model.SetAttribute: attributes.set_attribute,
    model.WriteAttribute: attributes.write_attribute,
    model.DeleteAttribute: attributes.delete_attribute,
    model.RenameAttribute: attributes.rename_attribute,
    model.MakeScale: scales.make,
    model.AttachScale: scales.attach,
    model.DetachScale: scales.detach,
    model.LabelAxis: scales.label,
}


class Applier:
    """Applies operations to one open HDF5 file.

    Parameters
    ----------
    file_id : h5py.h5f.FileID
        The file, open for writing.
    check : callable
        Raises when the disk below the file has failed; called after every operation.
    begin : callable
        Called before every operation: what the file object has may be outdated from here on.
    """

    def __init__(
        self,
        file_id: h5f.FileID,
        check: Callable[[], None] = lambda: None,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = Context(file_id)
        self._check, self._begin = check, begin

    def apply(
        self,
        operation: Operation,
        payload: Buffer = b"",
        *,
        lsn: int | None = None,
        at: AtHand | None = None,
    ) -> None:
        """Change the file as `operation` says.

        Parameters
        ----------
        operation : Operation
            What to do.
        payload : buffer
            The values, raw or packed as the operation says.
        lsn : int, optional
            Where the record stands in the journal; for messages.
        at : AtHand, optional
            What the caller has open of all this; it spares looking it up.

        Raises
        ------
        ApplyError
            If HDF5 refuses; the cause is chained. The file must then be rebuilt.
        """
        current = operation
        try:
            # An interrupt or a garbage collection inside a callback of libhdf5
            # would enter libhdf5 a second time, or leave it by an exception.
            with Uninterrupted():
                self._begin()
                if at is not None:
                    at.apply(self._context, operation)
                else:
                    for current, part in taken_apart(operation, payload):
                        _HANDLERS[type(current)](self._context, current, part)
        except (JournalError, ApplyError) as error:
            self._check()
            raise self._refused(current, lsn, error.message) from error
        except SafeH5Error:
            raise
        except Exception as error:
            # What h5py raises for an HDF5 error is any of KeyError, OSError,
            # RuntimeError, TypeError and ValueError: all mean "refused". The
            # disk is asked first, since its failure would be the true cause.
            self._check()
            raise self._refused(current, lsn, f"{type(error).__name__}: {error}") from error
        self._check()

    @property
    def chunk_cache_bytes(self) -> int:
        """Bytes of values that HDF5 may keep in memory, for the datasets kept open."""
        return self._context.chunk_cache_bytes

    def release(self) -> None:
        """Forget the objects kept open between operations; needed before the file is closed."""
        self._context.forget()

    @staticmethod
    def _refused(operation: Operation, lsn: int | None, reason: str) -> ApplyError:
        return ApplyError(
            f"{_words(operation)} of {operation.path} was refused by HDF5: {reason}",
            lsn=lsn,
            dataset=operation.path,
            hint=missing_filters_hint(missing_filters(operation)),
        )


def _words(operation: Operation) -> str:
    """``CreateDataset`` -> ``create dataset``."""
    return "".join(" " + c.lower() if c.isupper() else c for c in type(operation).__name__).strip()
