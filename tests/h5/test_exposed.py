"""HDF5's own numbers of datasets: what is written by one, past h5py, is recorded at the next flush."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5s

import safeh5


def _write_past(file: Any, path: str, values: Any) -> None:
    """What compiled code does that has the number of the dataset."""
    dataset = file[path]
    raw = h5d.DatasetID(dataset.id.id)
    array = np.asarray(values, dtype=dataset.dtype)
    h5d.DatasetID.write(raw, h5s.ALL, h5s.ALL, array)
    safeh5.h5.native.inc_ref(raw)


def test_the_first_number_that_is_taken_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with safeh5.File(tmp_path / "run.h5", "w") as file:
        data = file.create_dataset("x", data=np.arange(5))
        data[0] = 7
        data.attrs["a"] = 1
        assert data[:].tolist() == file["x"][:].tolist()
        assert "HDF5's own identifier" not in caplog.text
        assert data.id.id == data.id.id > 0
        assert caplog.text.count("HDF5's own identifier") == 1


@pytest.mark.parametrize("chunks", [None, (2,)])
def test_what_is_written_by_a_number_is_in_the_journal_at_the_next_flush(tmp_path: Path, chunks: Any) -> None:
    target = tmp_path / "run.h5"
    file = safeh5.File(target, "w")
    file.create_dataset("x", data=np.arange(5), chunks=chunks)
    file.create_dataset("new", (3,), "f4", chunks=(3,) if chunks else None)
    file.create_dataset("text", data=["a", "b"], dtype=h5py.string_dtype())
    assert file["text"].id.id
    _write_past(file, "x", np.arange(5) * 3)
    _write_past(file, "new", [1, 2, 3])
    file.flush()
    records = file.session.last_lsn
    file.flush()
    assert file.session.last_lsn == records, "what is recorded is recorded once"
    file.session._abandon()
    safeh5.recover(target)
    with h5py.File(target) as found:
        assert found["x"][:].tolist() == [0, 3, 6, 9, 12]
        assert found["new"][:].tolist() == [1, 2, 3]
