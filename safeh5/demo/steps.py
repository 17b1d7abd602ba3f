"""The steps of the demonstration, each a function with a typed result.

`prepare`, `acquire` with a kill, `check_target`, then `safeh5.status` and
`safeh5.recover` as anybody would call them, `acquire` to the end, `compare`.
"""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import numpy.typing as npt

from safeh5.demo.source import FrameSource
from safeh5.errors import InternalError
from safeh5.events import Progress, ProgressEvent, silent
from safeh5.storage.children import environment

GROUP = "/Measurement"
FRAMES = "Raw_Data"
CALIBRATION = "/Calibration/Dark_Frame"

Acknowledged = Callable[[int, float], None]
"""Told the number of acknowledged frames and how many there are per second."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the demonstration plays.

    Attributes
    ----------
    target : str
        An HDF5 file made by plain h5py, with good data in it.
    digest : str
        SHA-256 of its bytes before anything else happened.
    """

    target: str
    digest: str


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What the parent saw of an acquiring child.

    Attributes
    ----------
    first, acknowledged : int
        The first frame it wrote, and how many frames it acknowledged in all its calls.
    seconds : float
        How long it took, from the first frame acknowledged to the last.
    killed : bool
        Whether SIGKILL ended it.
    pid : int
        Its process.
    """

    first: int
    acknowledged: int
    seconds: float
    killed: bool
    pid: int

    @property
    def rate(self) -> float:
        """Acknowledged frames per second."""
        return max(self.acknowledged - 1, 0) / self.seconds if self.seconds > 0 else 0.0

    @property
    def next_frame(self) -> int:
        """The first frame that was not acknowledged."""
        return self.first + self.acknowledged


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """The target after the kill.

    Attributes
    ----------
    same_bytes : bool
        Whether it is the old file, byte for byte.
    objects : tuple of str
        What plain h5py finds in it.
    beside : tuple of str
        Names of what else lies in its directory.
    """

    same_bytes: bool
    objects: tuple[str, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The file compared with the source.

    Attributes
    ----------
    frames : int
        How many frames the file holds.
    elements : int
        How many elements were compared.
    different : tuple of int
        Numbers of the frames that are not equal, bit by bit.
    old_data_whole : bool
        Whether what was in the file before the acquisition is there still.
    """

    frames: int
    elements: int
    different: tuple[int, ...]
    old_data_whole: bool

    @property
    def ok(self) -> bool:
        """Whether everything is equal."""
        return not self.different and self.old_data_whole


def prepare(directory: str | os.PathLike[str]) -> Scene:
    """Make the target: an ordinary HDF5 file with a measurement that must not be lost."""
    target = os.path.join(os.fspath(directory), "run.h5")
    with h5py.File(target, "x") as file:
        file[CALIBRATION] = _dark_frame()
        file[CALIBRATION].attrs["taken"] = "before the demonstration"
    return Scene(target, _digest(target))


def acquire(
    scene: Scene,
    source: FrameSource,
    *,
    options: tuple[str, ...] = (),
    kill_after: int | None = None,
    acknowledged: Acknowledged = lambda frames, rate: None,
) -> Acquisition:
    """Run a child that acquires; kill it with SIGKILL in the midst of writing, if asked to.

    Parameters
    ----------
    scene : Scene
        Where to.
    source : FrameSource
        What is acquired.
    options : tuple of str
        Arguments that make the child open the same source.
    kill_after : int, optional
        Kill it once so many frames are acknowledged: it is then writing the next one.
    acknowledged : callable
        Told about each frame.

    Raises
    ------
    InternalError
        If the child fails by itself.
    """
    # However few frames there are: who is to be killed does not commit first.
    hold = () if kill_after is None else ("--hold",)
    command = [sys.executable, "-m", "safeh5.demo.child", scene.target, *options, *hold]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert child.stdin is not None and child.stdout is not None
    try:
        numbers, seconds = _listen(child.stdout, child, kill_after, acknowledged)
    finally:
        child.kill()
        code = child.wait()
        for stream in (child.stdin, child.stdout):
            stream.close()
    killed = kill_after is not None and len(numbers) >= kill_after and code != 0
    if code != 0 and not killed:
        raise InternalError(f"the acquiring process ended with code {code}", path=scene.target)
    return Acquisition(numbers[0] if numbers else source.count, len(numbers), seconds, killed, child.pid)


def _listen(
    stream: IO[bytes], child: subprocess.Popen[bytes], kill_after: int | None, acknowledged: Acknowledged
) -> tuple[list[int], float]:
    """Read the numbers of acknowledged frames until the child ends; those it wrote before the kill count."""
    numbers: list[int] = []
    began = last = time.monotonic()
    for line in stream:
        if not line.endswith(b"\n"):
            break  # torn by the kill
        numbers.append(int(line))
        last = time.monotonic()
        began = last if len(numbers) == 1 else began
        acknowledged(len(numbers), (len(numbers) - 1) / max(last - began, 1e-9))
        if kill_after is not None and len(numbers) == kill_after:
            child.kill()
    child.wait()
    return numbers, last - began


def check_target(scene: Scene) -> TargetCheck:
    """Look at the target with plain h5py, as any other program would."""
    found: list[str] = []
    with h5py.File(scene.target, "r") as file:
        file.visit(found.append)
    here = Path(scene.target)
    beside = sorted(path.name for path in here.parent.iterdir() if path != here)
    return TargetCheck(_digest(scene.target) == scene.digest, tuple(found), tuple(beside))


def count_frames(scene: Scene) -> int:
    """How many frames the target holds."""
    with h5py.File(scene.target, "r") as file:
        return int(file[f"{GROUP}/{FRAMES}"].shape[0])


def compare(scene: Scene, source: FrameSource, progress: Progress = silent) -> Comparison:
    """Compare the frames of the target with the source, element by element, bit by bit."""
    with h5py.File(scene.target, "r") as file:
        frames = file[f"{GROUP}/{FRAMES}"]
        count = int(frames.shape[0])
        different = []
        for index in range(count):
            if not _equal(frames[index], source.frame(index)):
                different.append(index)
            progress(ProgressEvent("comparing with the source", index + 1, count, "frames"))
        whole = CALIBRATION in file and _equal(file[CALIBRATION][()], _dark_frame())
    return Comparison(count, count * math.prod(source.shape), tuple(different), whole)


def _equal(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def _dark_frame() -> npt.NDArray[Any]:
    return np.random.default_rng(7).normal(100, 3, (256, 256))


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
