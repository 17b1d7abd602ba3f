"""Names, types and values of every kind that HDF5 has."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

STAMPS = {"machine_id": "m", "timestamp": "t"}
"""What groups are stamped with by default; given here, so that two runs agree."""

# --- names and types --------------------------------------------------------------------

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
"""Any text that HDF5 can hold."""

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda name: name != "." and not name.endswith("_"))
"""Any name of an HDF5 object; none that safeh5 would number (``Scan_``)."""

numeric = st.one_of(
    stnp.integer_dtypes(endianness="?"),
    stnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    stnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    stnp.boolean_dtypes(),
    stnp.byte_string_dtypes(min_len=1, max_len=6),
)
"""Integers, floats, complex numbers, booleans, fixed-length strings, of either byte order."""

_fields = st.tuples(st.sampled_from("abcd"), st.one_of(numeric, st.tuples(numeric, st.just((2,)))))

types: st.SearchStrategy[np.dtype[Any]] = st.one_of(
    numeric,
    st.lists(_fields, min_size=1, max_size=3, unique_by=lambda field: field[0]).map(np.dtype),
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.builds(lambda f: np.dtype([f]), _fields)),
        min_size=1,
        max_size=2,
        unique_by=lambda field: field[0],
    ).map(np.dtype),
)
"""Types whose values are raw bytes: `numeric`, compounds and compounds of compounds, with array members."""

shapes = stnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)

# --- values -------------------------------------------------------------------------------


@st.composite
def _strings(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["utf-8", "ascii", "fixed"]))
    if kind == "ascii":
        letters = st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=9)
        return np.array(draw(st.lists(letters, max_size=4)), object).astype(h5py.string_dtype("ascii"))
    if kind == "fixed":
        return np.array([b"\xc3\xa9", draw(st.sampled_from([b"", b"x"]))], h5py.string_dtype("utf-8", 5))
    return np.array(draw(st.lists(text, max_size=5)), object).astype(h5py.string_dtype())


@st.composite
def _sequences(draw: st.DrawFn) -> Any:
    dtype = h5py.vlen_dtype(np.dtype(draw(st.sampled_from(["<i4", ">i2", "f4", ">f8"]))))
    rows = draw(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=4))
    out = np.empty(len(rows), dtype=dtype)
    for i, row in enumerate(rows):
        out[i] = np.array(row, h5py.check_vlen_dtype(dtype))
    return out


@st.composite
def _enums(draw: st.DrawFn) -> Any:
    # HDF5 wants names and values unique.
    values = draw(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))
    members = dict(zip("RGBW", values, strict=False))
    base = draw(st.sampled_from(["i1", "<u2", ">i4"]))
    dtype = h5py.enum_dtype(members, basetype=base)
    return np.array(draw(st.lists(st.sampled_from(values), max_size=5)), dtype=dtype)


@st.composite
def _opaques(draw: st.DrawFn) -> Any:
    width, count = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    return np.frombuffer(draw(st.binary(min_size=width * count, max_size=width * count)), f"V{width}")


def arrays() -> st.SearchStrategy[Any]:
    """Values of every kind that HDF5 has, references excepted; null dataspaces too."""
    plain = st.tuples(types, shapes).flatmap(lambda pair: stnp.arrays(*pair))
    return st.one_of(plain, _strings(), _sequences(), _enums(), _opaques(), st.builds(h5py.Empty, numeric))


def attributes() -> st.SearchStrategy[dict[str, Any]]:
    """A few attributes."""
    values = st.one_of(text, st.integers(0, 99), arrays())
    found = st.dictionaries(names, values, max_size=3)
    return found.map(lambda kept: {k: v for k, v in kept.items() if k not in (*STAMPS, "labels", "ref")})
