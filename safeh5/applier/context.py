"""What handlers share: the file, property lists, references, datasets kept open."""

from __future__ import annotations

from typing import Any

from h5py import h5d, h5f, h5g, h5i, h5o, h5p, h5r, h5t

from safeh5.applier.chunks import WholeChunks
from safeh5.operations.model import NewLink
from safeh5.operations.values import StoredReference, decode_space
from safeh5.options import KIB

_KEPT_OPEN = 64
_SIEVE_BYTES = 64 * KIB
"""HDF5's own buffer of a dataset that is stored in one piece."""
# h5py's own: the layer above replaces them for journaled files.
_open_objects, _file_of = h5f.get_obj_ids, h5i.get_file_id


class Context:
    """The file that operations are applied to.

    Parameters
    ----------
    file_id : h5py.h5f.FileID
        The file, open for writing.

    Attributes
    ----------
    root : h5py.h5g.GroupID
        The root group; paths are resolved from here.
    """

    def __init__(self, file_id: h5f.FileID) -> None:
        self.root = h5g.open(file_id, b"/")
        self._datasets: dict[str, h5d.DatasetID] = {}
        self._chunks: dict[str, WholeChunks] = {}
        self._last: tuple[str, Any] = ("", None)
        self._lcpl = {cset: _link_plist(cset) for cset in (h5t.CSET_ASCII, h5t.CSET_UTF8)}

    def open(self, path: str) -> Any:
        """The identifier of whatever stands at `path`; that of the last call is kept open."""
        known, found = self._last
        if known != path or found is None:
            found = self._datasets.get(path) or h5o.open(self.root, path.encode())
            self._last = (path, found)
        return found

    def made(self, path: str, made: Any) -> None:
        """An object was just made at `path`: the next operations are often about it."""
        self._last = (path, made)
        if isinstance(made, h5d.DatasetID):
            self._keep(path, made)

    def dataset(self, path: str) -> h5d.DatasetID:
        """The dataset at `path`, kept open for the next write to it."""
        found = self._datasets.get(path)
        if found is None:
            found = h5d.open(self.root, path.encode())
            self._keep(path, found)
        return found

    def chunks(self, path: str, dataset: h5d.DatasetID, encoded: bytes) -> WholeChunks:
        """How whole chunks of items of this type are written to the dataset, which stands at `path`."""
        known = self._chunks.get(path)
        if known is None or known.dataset is not dataset or known.encoded != encoded:
            known = self._chunks[path] = WholeChunks(dataset, encoded)
        return known

    def _keep(self, path: str, dataset: h5d.DatasetID) -> None:
        if len(self._datasets) >= _KEPT_OPEN:
            self._close_kept()
        self._datasets[path] = dataset

    @property
    def chunk_cache_bytes(self) -> int:
        """Bytes of values that HDF5 may keep in memory, for the datasets that anybody has open."""
        return sum(map(_kept_bytes, _open_objects(_file_of(self.root), h5f.OBJ_DATASET)))

    def forget(self) -> None:
        """Close the objects kept open: paths may mean other ones from here on."""
        self._close_kept()
        self._last = ("", None)

    def _close_kept(self) -> None:
        self._datasets.clear()
        self._chunks.clear()

    def lcpl(self, op: NewLink) -> h5p.PropLCID:
        """Link creation properties for the link that `op` makes; missing groups are made."""
        if op.charset is None:
            return self._lcpl[h5t.CSET_ASCII if op.path.isascii() else h5t.CSET_UTF8]
        return self._lcpl.get(op.charset) or _link_plist(op.charset)

    def reference(self, stored: StoredReference) -> h5r.Reference:
        """The h5py reference that `stored` means in this file."""
        name = stored.path.encode()
        if stored.selection is None:
            return h5r.create(self.root, name, h5r.OBJECT)
        return h5r.create(self.root, name, h5r.DATASET_REGION, decode_space(stored.selection))


def _kept_bytes(dataset: h5d.DatasetID) -> int:
    """Bytes of values that HDF5 may keep of a dataset before it writes them."""
    if dataset.get_create_plist().get_layout() != h5d.CHUNKED:
        return _SIEVE_BYTES
    kept: int = dataset.get_access_plist().get_chunk_cache()[1]
    return kept


def _link_plist(cset: int) -> h5p.PropLCID:
    plist = h5p.create(h5p.LINK_CREATE)
    plist.set_create_intermediate_group(True)
    plist.set_char_encoding(cset)
    return plist
