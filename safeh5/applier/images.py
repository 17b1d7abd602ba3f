"""Objects that come from another file: out of the HDF5 file image in a record's payload."""

from __future__ import annotations

import io
from typing import Final

import h5py
from h5py import h5o, h5p

from safeh5._typing import Buffer
from safeh5.applier.context import Context
from safeh5.operations import model

COPIED: Final = b"copied"
"""Name of the object in the image."""

_MEANWHILE: Final = b"~safeh5-copied"
_FLAGS: Final = h5o.COPY_EXPAND_REFERENCE_FLAG | h5o.COPY_PRESERVE_NULL_FLAG


class _Image(io.RawIOBase):
    """A buffer as a file to be read, without a copy of it."""

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data).cast("B")
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        found = self._data[self._at : self._at + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def copy_in(context: Context, op: model.CopyIn, payload: Buffer) -> None:
    """Copy the object of the image, with what its references point to."""
    path, root = op.path.encode(), context.root
    plist = h5p.create(h5p.OBJECT_COPY)
    plist.set_copy_object(_FLAGS)
    with h5py.File(_Image(payload), "r") as image:
        pointed = sorted(name.encode() for name in image if name.encode() != COPIED)
        if not pointed:
            h5o.copy(image.id, COPIED, root, path, plist, lcpl=context.lcpl(op))
            return
        # All at once, so that references among them lead to the copies; HDF5 would name those
        # that only references lead to after their address, which is another one each time.
        h5o.copy(image.id, b"/", root, _MEANWHILE, plist)
    root.links.move(_MEANWHILE + b"/" + COPIED, root, path, lcpl=context.lcpl(op))
    for name in pointed:
        root.links.move(_MEANWHILE + b"/" + name, root, _free(context, name))
    root.unlink(_MEANWHILE)


def _free(context: Context, name: bytes) -> bytes:
    free, number = name, 1
    while context.root.links.exists(free):
        free, number = b"%s_%d" % (name, number), number + 1
    return free
