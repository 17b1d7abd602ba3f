"""The tutorial's program runs as it stands, prints what its page shows, and is journaled."""

from __future__ import annotations

import os
import platform
import re
import runpy
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5.pycroscopy as px

PAGE = (
    Path(os.environ.get("SAFEH5_SEED", Path(__file__).parents[3] / "shared/seed")) / "microdata-tutorial.rst"
)

SHOWN = """\
Group already exists: /
Writing attribute: machine_id with value: MACHINE
Writing attribute: timestamp with value: TIME
Wrote attributes to group: / \n
Created Dataset /Main_Data
Created Group /Data_Group
Writing attribute: machine_id with value: MACHINE
Writing attribute: timestamp with value: TIME
Wrote attributes to group /Data_Group

Created Dataset /Data_Group/Empty_Data
Finished writing to h5 file.
Right now you got yourself a fancy folder structure. \n\
Make sure you do some reference linking to take advantage of the full power of HDF5.
"""
TREE = "///Main_Data\n///Data_Group\n///Data_Group/Empty_Data\n"


def neutral(text: str) -> str:
    """`text` with machine and time taken out."""
    text = text.replace(platform.node(), "MACHINE")
    return re.sub(r"\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d", "TIME", text)


def tutorial_tree(data: np.ndarray) -> px.MicroDataGroup:
    main = px.MicroDataset("Main_Data", data=data, parent="/")
    empty = px.MicroDataset("Empty_Data", data=[], dtype=np.float32, maxshape=[7, 5, 3])
    group, root = px.MicroDataGroup("Data_Group", parent="/"), px.MicroDataGroup("/")
    group.add_children([empty])
    root.add_children([main, group])
    return root


def test_the_program_prints_what_the_page_shows_and_makes_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data1, data2 = np.random.default_rng(1).random((5, 7)), np.random.default_rng(2).random((7, 5, 3))
    root = tutorial_tree(data1)
    root.show_tree()
    assert capsys.readouterr().out == TREE
    target = tmp_path / "microdata_test.h5"
    hdf = px.ioHDF5(str(target))
    refs = hdf.write_data(root, print_log=True)
    assert neutral(capsys.readouterr().out) == SHOWN
    [h5_main] = px.io.hdf_utils.get_h5_obj_refs(["Main_Data"], refs)
    [h5_empty] = px.io.hdf_utils.get_h5_obj_refs(["Empty_Data"], refs)
    assert np.allclose(h5_main[()], data1)
    h5_empty[:] = data2[:]
    hdf.file.flush()
    assert hdf.session.durable_lsn >= hdf.session.last_lsn - 1
    assert not target.exists()
    hdf.file.close()
    assert os.listdir(tmp_path) == [target.name]
    with h5py.File(target) as made:
        assert np.array_equal(made["Main_Data"][()], data1)
        assert np.array_equal(made["Data_Group/Empty_Data"][()], data2.astype("f4"))
        assert made["Data_Group/Empty_Data"].dtype == "f4"
        assert set(made.attrs) == set(made["Data_Group"].attrs) == {"machine_id", "timestamp"}


@pytest.mark.skipif(not PAGE.exists(), reason="the tutorial's page is not here")
def test_the_page_itself_runs_with_one_line_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text()
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.py"
    code = "\n".join(blocks(page, ".. code-block:: python"))
    program.write_text(code.replace("import pycroscopy as px", "import safeh5.pycroscopy as px"))
    runpy.run_path(str(program))
    shown = "".join(block + "\n" for block in blocks(page, "Out::"))
    shown = shown.replace("PC95444.ornl.gov", platform.node())
    assert neutral(capsys.readouterr().out).split("\n") == neutral(shown).split("\n")
    assert os.listdir(tmp_path) == ["program.py"]


def blocks(page: str, mark: str) -> list[str]:
    """The indented blocks of a page that follow a line `mark`, without blank lines around them."""
    found: list[str] = []
    lines = iter(page.splitlines())
    for line in lines:
        if line.strip() != mark:
            continue
        block: list[str] = []
        for text in lines:
            if text.strip() and not text.startswith("    "):
                break
            block.append(text[4:])
        while block and not block[0].strip():
            block.pop(0)
        while block and not block[-1].strip():
            block.pop()
        found.append("\n".join(block))
    return found
