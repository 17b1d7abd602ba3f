"""Groups, datasets, datatypes and links: the handlers that change the tree."""

from __future__ import annotations

from functools import lru_cache

from h5py import h5d, h5g, h5o, h5p, h5t

from safeh5._typing import Buffer
from safeh5.applier.context import Context
from safeh5.applier.filters import load_filters
from safeh5.operations import model
from safeh5.operations.properties import make_dcpl, make_gcpl
from safeh5.operations.values import decode_space, decode_type


def create_group(context: Context, op: model.CreateGroup, payload: Buffer) -> None:
    """Make a group; HDF5 refuses if something stands there."""
    made = h5g.create(context.root, op.path.encode(), lcpl=context.lcpl(op), gcpl=make_gcpl(op))
    context.made(op.path, made)


def create_dataset(context: Context, op: model.CreateDataset, payload: Buffer) -> None:
    """Make a dataset with all its creation properties."""
    load_filters(op.layout.filters)
    made = h5d.create(
        context.root,
        op.path.encode(),
        _shared_type(context, op.type, op.committed_type),
        decode_space(op.space),
        _dcpl(op.layout),
        lcpl=context.lcpl(op),
    )
    context.made(op.path, made)


def _dcpl(layout: model.Layout) -> h5p.PropDCID:
    # Those that name other files or datasets are rarely the same.
    return make_dcpl(layout) if layout.virtual or layout.external else _shared_dcpl(layout)


@lru_cache(maxsize=256)
def _shared_dcpl(layout: model.Layout) -> h5p.PropDCID:
    """Creation properties of datasets; shared, since HDF5 only reads them."""
    return make_dcpl(layout)


def _shared_type(context: Context, encoded: bytes, committed: str | None) -> h5t.TypeID:
    return decode_type(encoded) if committed is None else h5t.open(context.root, committed.encode())


def commit_datatype(context: Context, op: model.CommitDatatype, payload: Buffer) -> None:
    """Make a committed datatype, of a copy: committing changes the type object itself."""
    decode_type(op.type).copy().commit(context.root, op.path.encode(), lcpl=context.lcpl(op))


def create_soft_link(context: Context, op: model.CreateSoftLink, payload: Buffer) -> None:
    """Make a soft link."""
    context.root.links.create_soft(op.path.encode(), op.target.encode(), lcpl=context.lcpl(op))


def create_hard_link(context: Context, op: model.CreateHardLink, payload: Buffer) -> None:
    """Give an object another name."""
    context.root.links.create_hard(op.path.encode(), context.root, op.target.encode(), lcpl=context.lcpl(op))


def create_external_link(context: Context, op: model.CreateExternalLink, payload: Buffer) -> None:
    """Make a link into another file, which is not looked at."""
    context.root.links.create_external(
        op.path.encode(), op.filename.encode(), op.target.encode(), lcpl=context.lcpl(op)
    )


def delete(context: Context, op: model.Delete, payload: Buffer) -> None:
    """Remove a link."""
    context.forget()
    context.root.unlink(op.path.encode())


def move(context: Context, op: model.Move, payload: Buffer) -> None:
    """Rename a link."""
    context.forget()
    context.root.links.move(op.source.encode(), context.root, op.path.encode(), lcpl=context.lcpl(op))


def copy(context: Context, op: model.Copy, payload: Buffer) -> None:
    """Copy an object within the file."""
    plist = h5p.create(h5p.OBJECT_COPY)
    plist.set_copy_object(op.flags)
    h5o.copy(context.root, op.source.encode(), context.root, op.path.encode(), plist, lcpl=context.lcpl(op))


def set_comment(context: Context, op: model.SetComment, payload: Buffer) -> None:
    """Set an object's comment."""
    h5o.set_comment(context.open(op.path), op.comment.encode())
