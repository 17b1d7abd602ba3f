"""Dimension scales, by HDF5's own high-level library."""

from __future__ import annotations

from h5py import h5ds

from safeh5._typing import Buffer
from safeh5.applier.context import Context
from safeh5.operations import model


def make(context: Context, op: model.MakeScale, payload: Buffer) -> None:
    """Turn a dataset into a dimension scale."""
    h5ds.set_scale(context.dataset(op.path), op.name.encode())


def attach(context: Context, op: model.AttachScale, payload: Buffer) -> None:
    """Attach a scale to an axis."""
    h5ds.attach_scale(context.dataset(op.path), context.dataset(op.scale), op.axis)


def detach(context: Context, op: model.DetachScale, payload: Buffer) -> None:
    """Detach a scale from an axis."""
    h5ds.detach_scale(context.dataset(op.path), context.dataset(op.scale), op.axis)


def label(context: Context, op: model.LabelAxis, payload: Buffer) -> None:
    """Set the label of an axis."""
    h5ds.set_label(context.dataset(op.path), op.axis, op.label.encode())
