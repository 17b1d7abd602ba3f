"""The README promises only what runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def marked(name: str) -> str:
    """The command that CI takes from the README under `name`."""
    found = re.search(rf"^<!-- ci: {name} -->\n```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README has no command marked 'ci: {name}'"
    return found[1].strip()


@pytest.mark.parametrize("name", ["demo", "test"])
def test_each_promise_of_the_readme_is_one_command_of_dev_py(name: str) -> None:
    command = marked(name)
    assert "\n" not in command
    program, script, verb = command.split()
    assert (program, script) == ("python3", "dev.py")
    assert verb in runpy.run_path(str(ROOT / "dev.py"), run_name="dev")["COMMANDS"]


def test_the_ten_lines_of_the_readme_run_and_leave_plain_hdf5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import h5py

    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    with h5py.File("run.h5", "r") as file:
        assert file["Scan_000/frames"].shape == (10, 64, 64)
