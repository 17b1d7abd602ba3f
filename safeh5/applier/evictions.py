"""HDF5's metadata cache: between checkpoints it writes nothing, after one it gives memory back."""

from __future__ import annotations

from typing import Final

from h5py import h5f

from safeh5.options import MIB

CACHE_KEPT: Final = 4 * MIB


def forbid_evictions(file_id: h5f.FileID) -> None:
    """Let the metadata cache grow, and write nothing of it between flushes.

    HDF5 allows that only with its automatic resizing off.
    """
    # HDF5 evicts when the size set is smaller than it was before: see `allow_evictions`.
    _configure_cache(file_id, evictions=False, size=2 * CACHE_KEPT)


def allow_evictions(file_id: h5f.FileID) -> None:
    """Have the metadata cache evict what is beyond `CACHE_KEPT`, at the next look-up."""
    _configure_cache(file_id, evictions=True, size=CACHE_KEPT)


def _configure_cache(file_id: h5f.FileID, *, evictions: bool, size: int) -> None:
    config = file_id.get_mdc_config()
    config.evictions_enabled, config.set_initial_size, config.initial_size = evictions, True, size
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
    file_id.set_mdc_config(config)
