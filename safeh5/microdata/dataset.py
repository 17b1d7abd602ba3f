"""Datasets of a tree, with all the ways to say how they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safeh5.microdata.nodes import Attributes, MicroData


class MicroDataset(MicroData):
    """A dataset.

    Parameters
    ----------
    name : str
        Name in the parent group.
    data : array_like, h5py.Dataset, iterator of arrays, h5py.Empty or None
        The values. Objects with ``shape``, ``dtype`` and slicing, h5py's
        datasets among them, are read block by block when the tree is written;
        arrays that an iterator gives are joined along axis 0.
        ``[]`` and None allocate a dataset of shape `maxshape`.
    dtype : dtype, h5py type or MicroDatatype, optional
        Type in the file; that of `data` when None.
    compression : optional
        As in `h5py.Group.create_dataset`, objects of hdf5plugin included.
    chunking : int, tuple of int or True, optional
        Chunk shape; h5py's guess when it is needed and not given.
    parent : str, optional
        See `MicroData`.
    resizable : bool
        Whether the dataset can grow: in every axis, or as `maxshape` allows.
    maxshape : int or tuple, optional
        For a resizable dataset its limits (None: no limit); else its shape,
        `data` filling it from the origin.
    attrs : mapping, optional
        See `MicroData`. ``attrs['labels']`` names regions: a mapping of names
        to slices, or for two axes a list of one name for each row or column.
    shape : tuple of int, optional
        Shape of the dataset when `data` is an iterator of known total length.
    compression_opts, shuffle, fletcher32, scaleoffset, fillvalue, fill_time, track_times, track_order
        As in `h5py.Group.create_dataset`.
    scale : str or bool, optional
        Make the dataset a dimension scale, of this name if one is given.
    scales : mapping, optional
        Axis number to the scale (node or path), or list of scales, of that axis.
    axis_labels : sequence of str, optional
        The label of each axis; an empty one is not written.
    """

    def __init__(
        self,
        name: str,
        data: Any,
        dtype: Any = None,
        compression: Any = None,
        chunking: Any = None,
        parent: str | None = None,
        resizable: bool = False,
        maxshape: Any = None,
        attrs: Attributes | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        compression_opts: Any = None,
        shuffle: bool | None = None,
        fletcher32: bool | None = None,
        scaleoffset: int | bool | None = None,
        fillvalue: Any = None,
        fill_time: str | None = None,
        track_times: bool | None = None,
        track_order: bool | None = None,
        scale: str | bool | None = None,
        scales: Mapping[int, Any] | None = None,
        axis_labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, parent, attrs)
        self.data = data
        self.dtype = dtype
        self.compression = compression
        self.chunking = chunking
        self.resizable = resizable
        self.maxshape = maxshape
        self.shape = shape
        self.compression_opts = compression_opts
        self.shuffle = shuffle
        self.fletcher32 = fletcher32
        self.scaleoffset = scaleoffset
        self.fillvalue = fillvalue
        self.fill_time = fill_time
        self.track_times = track_times
        self.track_order = track_order
        self.scale = scale
        self.scales: dict[int, Any] = dict(scales or {})
        self.axis_labels: tuple[str, ...] = tuple(axis_labels or ())

    @classmethod
    def from_hdf5(cls, dataset: Any, *, name: str | None = None, parent: str = "/") -> MicroDataset:
        """A node that reproduces an h5py dataset; data are read when it is written.

        Parameters
        ----------
        dataset : h5py.Dataset
            The dataset; its file must stay open until the node is written.
        name : str, optional
            Name of the node; the dataset's own when None.
        parent : str
            See `MicroData`.

        Returns
        -------
        MicroDataset
            With its type, extent, storage, filters, attributes and scales.
        """
        from safeh5.microdata.from_hdf5 import read_dataset

        return read_dataset(dataset, name=name, parent=parent)


class EmptyMicroDataset(MicroDataset):
    """A dataset of shape `maxshape` whose values come later.

    Parameters
    ----------
    name, maxshape, dtype, compression, chunking, parent, attrs, **options
        As for `MicroDataset`.
    """

    def __init__(
        self,
        name: str,
        maxshape: Any,
        dtype: Any,
        compression: Any = None,
        chunking: Any = None,
        parent: str | None = None,
        attrs: Attributes | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            name, None, dtype, compression, chunking, parent, maxshape=maxshape, attrs=attrs, **options
        )


class ExpandableMicroDataset(MicroDataset):
    """A dataset that grows, in every axis or as `maxshape` allows.

    Parameters
    ----------
    name, data, dtype, compression, chunking, parent, maxshape, attrs, **options
        As for `MicroDataset`.
    """

    def __init__(
        self,
        name: str,
        data: Any,
        dtype: Any = None,
        compression: Any = None,
        chunking: Any = None,
        parent: str | None = None,
        maxshape: Any = None,
        attrs: Attributes | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, data, dtype, compression, chunking, parent, True, maxshape, attrs, **options)
