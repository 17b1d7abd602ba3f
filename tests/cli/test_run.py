"""``safeh5 run``: the program is as it would be under Python, and its files are journaled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

import safeh5

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("value = 5\n")
    return tmp_path


def python(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ran(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(here, "-m", "safeh5", "run", *arguments)


def script(here: Path, text: str) -> str:
    (here / "program.py").write_text(text)
    return "program.py"


WRITES = "import h5py\nfile = h5py.File('run.h5', 'w')\nfile['x'] = 1\n"


def test_files_of_the_program_are_journaled_and_left_open_committed(here: Path) -> None:
    done = ran(here, script(here, WRITES + "import os; print(sorted(os.listdir('.')), file.session)"))
    assert done.returncode == 0 and "run.h5.safeh5" in done.stdout, done.stderr
    with h5py.File(here / "run.h5") as file:
        assert file["x"][()] == 1


PROGRAMS = {
    "arguments": "import sys; print(sys.argv, __name__, __file__, sys.path[0])",
    "a module beside": "import beside; print(beside.value)",
    "main": "import sys, pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C)) is C)",
    "exit code": "raise SystemExit(7)",
    "exit message": "raise SystemExit('bye')",
    "an exception": "def f():\n    raise ValueError('meant')\nf()",
    "an exception in an exception": "try:\n    1/0\nexcept ZeroDivisionError:\n    {}[1]",
    "a syntax error": "print(1)\ndef f(:\n",
    "an exception in a library": "import json; json.loads('{')",
    "atexit": "import atexit; atexit.register(print, 'end'); global_name = 1",
    "threads": "import threading\nthreading.Timer(0.2, lambda: print(value)).start()\nvalue = 3",
    "an encoding": "# -*- coding: latin-1 -*-\nprint(len('\u00e9'))",
}


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_does_what_it_does_under_python(text: str, here: Path) -> None:
    name = script(here, text)
    expected = python(here, name, "one", "--two", "-m")
    done = ran(here, name, "one", "--two", "-m")
    assert (done.stdout, done.stderr, done.returncode) == (
        expected.stdout,
        expected.stderr,
        expected.returncode,
    )


@pytest.mark.parametrize("name", ["program", "package", "package.inner"])
def test_a_module_does_what_it_does_under_python(name: str, here: Path) -> None:
    text = "import sys; print(sys.argv, __name__, __package__, __spec__.name)"
    script(here, text)
    (here / "package").mkdir()
    for part in ("__init__", "__main__", "inner"):
        (here / "package" / f"{part}.py").write_text("" if part == "__init__" else text)
    expected, done = python(here, "-m", name, "-x", "one"), ran(here, "-m", name, "-x", "one")
    assert (done.stdout, done.stderr, done.returncode) == (expected.stdout, expected.stderr, 0)


def test_an_exception_keeps_the_old_file_and_says_how_to_commit(here: Path) -> None:
    target = here / "run.h5"
    done = ran(here, script(here, WRITES + "raise ValueError('meant')"))
    assert done.returncode == 1 and "ValueError: meant" in done.stderr
    assert f"safeh5 recover {target}" in done.stderr and not target.exists()
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["x"][()] == 1


def test_options_reach_the_files_of_the_program(here: Path) -> None:
    name = script(
        here, WRITES.replace("file = ", "with ").replace("\nfile['x']", " as file:\n file['x']") + " 1/0"
    )
    done = ran(here, "--on-error", "rollback", name)
    assert "ZeroDivisionError" in done.stderr and not list(here.glob("run.h5*"))
    ran(here, "--durability", "record", "--verify", "full", name)
    assert (here / "run.h5.safeh5").exists()
    done = ran(here, "--recover", "replay", script(here, WRITES))
    assert done.returncode == 0 and not (here / "run.h5.safeh5").exists()


@pytest.mark.parametrize("arguments", [("nothing.py",), ("-m", "nothing"), ("-m", "no.thing")])
def test_a_program_that_is_not_there_is_said_in_one_line(arguments: tuple[str, ...], here: Path) -> None:
    done = ran(here, *arguments)
    assert done.returncode == 3 and done.stderr.startswith("safeh5: ") and "Traceback" not in done.stderr
