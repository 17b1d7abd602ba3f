"""Targets in every condition, and a way to run the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from safeh5.cli.app import app

WRITER = """
import os, signal, sys
import numpy as np
import safeh5
from safeh5 import MicroDataGroup, MicroDataset

session = safeh5.open(sys.argv[1])
scan = MicroDataGroup("Scan_", attrs={"operator": "Ada"})
scan.add_children(MicroDataset("frames", np.arange(600, dtype="u2").reshape(6, 10, 10), chunking=(1, 10, 10)))
session.write(MicroDataGroup("/", children=[scan]))
try:
    with session.batch():
        session.write(MicroDataset("cancelled", np.zeros(3)))
        raise KeyError
except KeyError:
    pass
session.write(MicroDataset("after", np.ones(3)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process."""
    monkeypatch.delenv("SAFEH5_DEBUG", raising=False)

    def invoke(*arguments: object, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture(scope="session")
def killed_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a session whose writer was killed; do not change it."""
    place = tmp_path_factory.mktemp("killed")
    path = str(Path(__file__).parents[2])
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {path!r})\n{WRITER}",
        str(place / "run.h5"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    return place


@pytest.fixture
def interrupted(killed_session: Path, tmp_path: Path) -> Path:
    """A target whose session was interrupted (the target itself is not there yet)."""
    shutil.copytree(killed_session, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run.h5"


@pytest.fixture
def corrupt(interrupted: Path) -> Path:
    """The same with a flipped bit in an acknowledged frame."""
    segment = interrupted.with_name("run.h5.safeh5") / "journal-00000001.log"
    data = bytearray(segment.read_bytes())
    place = data.index(bytes(range(0, 20, 1))[:1] + b"\x00\x01\x00\x02\x00\x03\x00")
    data[place + 4] ^= 1
    segment.write_bytes(data)
    return interrupted
