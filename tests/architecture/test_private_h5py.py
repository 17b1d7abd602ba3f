"""h5py's private parts are touched in one module only (rule ``private_h5py``)."""

from __future__ import annotations

from tests.architecture.sources import Source, modules

PRIVATE = "h5py._"


def touches(source: Source) -> bool:
    """Whether `source` names anything inside a private module of h5py."""
    return any(name.startswith(PRIVATE) for name, _ in source.mentions()) or any(
        name.startswith(PRIVATE) for name in source.names.values()
    )


def test_private_parts_of_h5py_are_touched_in_one_module_only() -> None:
    found = [source.name for source in modules() if touches(source)]
    assert len(found) <= 1, f"h5py._hl and its like stand in {found}; gather them in one module"
    assert all(name.startswith("safeh5.h5.") for name in found), found


def test_a_private_import_is_found() -> None:
    assert touches(Source.of("from h5py._hl.base import phil"))
    assert touches(Source.of("import h5py._hl.files as files"))
    assert touches(Source.of("import h5py\nh5py._hl.dataset.Dataset"))
    assert not touches(Source.of("import h5py\nh5py.File"))
