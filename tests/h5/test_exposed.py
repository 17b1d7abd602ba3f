"""HDF5's own numbers of datasets: who takes one can write past the journal, and that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import safeh5


def test_the_first_raw_identifier_that_is_taken_is_warned_of(
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
