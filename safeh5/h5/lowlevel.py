"""`h5py.h5f.open` and `h5py.h5f.create` by path: what they ask for, in the words of ``h5py.File``.

Some packages open their files so. While `safeh5.install` holds they are journaled
as well. What a property list says of the file that is made is taken over as far as
``h5py.File`` has an argument for it.
"""

from __future__ import annotations

import os
from typing import Any, Final

from h5py import h5f, h5fd, h5p

from safeh5.h5.arguments import Wanted
from safeh5.operations.control import FileCreation

_VERSIONS: Final = {
    getattr(h5f, f"LIBVER_{theirs}"): ours
    for theirs, ours in {
        "EARLIEST": "earliest",
        "V18": "v108",
        "V110": "v110",
        "V112": "v112",
        "V114": "v114",
        "V200": "v200",
    }.items()
    if hasattr(h5f, f"LIBVER_{theirs}")
}
_STRATEGIES: Final = {
    h5f.FSPACE_STRATEGY_FSM_AGGR: "fsm",
    h5f.FSPACE_STRATEGY_PAGE: "page",
    h5f.FSPACE_STRATEGY_AGGR: "aggregate",
    h5f.FSPACE_STRATEGY_NONE: "none",
}
_DRIVERS: Final = {h5fd.SEC2: None, h5fd.STDIO: "stdio"}
_SWMR: Final = h5f.ACC_SWMR_READ | h5f.ACC_SWMR_WRITE


def wanted_to_open(name: bytes | str, flags: int, fapl: h5p.PropFAID | None) -> Wanted | None:
    """What a call of `h5py.h5f.open` asks for; None if it is left to h5py."""
    if not flags & h5f.ACC_RDWR or flags & _SWMR or not _is_one_file(fapl):
        return None
    return Wanted(os.fsdecode(name), "r+", _driver(fapl), FileCreation(libver=_versions(fapl)), None)


def wanted_to_create(
    name: bytes | str, flags: int, fcpl: h5p.PropFCID | None, fapl: h5p.PropFAID | None
) -> Wanted | None:
    """What a call of `h5py.h5f.create` asks for; None if it is left to h5py."""
    if flags & _SWMR or not _is_one_file(fapl):
        return None
    mode = "x" if flags & h5f.ACC_EXCL else "w"
    return Wanted(os.fsdecode(name), mode, _driver(fapl), _creation(fcpl, fapl), None)


def _is_one_file(fapl: h5p.PropFAID | None) -> bool:
    return fapl is None or fapl.get_driver() in _DRIVERS


def _driver(fapl: h5p.PropFAID | None) -> str | None:
    return None if fapl is None else _DRIVERS[fapl.get_driver()]


def _versions(fapl: h5p.PropFAID | None) -> tuple[str, str]:
    """Lowest and highest version of the format; HDF5's default is not that of ``h5py.File``."""
    low, high = (h5p.create(h5p.FILE_ACCESS) if fapl is None else fapl).get_libver_bounds()
    return _VERSIONS.get(low, "latest"), _VERSIONS.get(high, "latest")


def _creation(fcpl: h5p.PropFCID | None, fapl: h5p.PropFAID | None) -> FileCreation:
    if fcpl is None:
        return FileCreation(libver=_versions(fapl))
    strategy, persist, threshold = fcpl.get_file_space_strategy()
    plain = (strategy, bool(persist), threshold) == (h5f.FSPACE_STRATEGY_FSM_AGGR, False, 1)
    space: dict[str, Any] = {}
    if not plain:
        space = {"fs_strategy": _STRATEGIES[strategy], "fs_persist": bool(persist), "fs_threshold": threshold}
        if strategy == h5f.FSPACE_STRATEGY_PAGE:
            space["fs_page_size"] = fcpl.get_file_space_page_size()
    return FileCreation(
        libver=_versions(fapl),
        userblock_size=fcpl.get_userblock() or None,
        track_order=bool(fcpl.get_link_creation_order() & h5p.CRT_ORDER_TRACKED) or None,
        **space,
    )
