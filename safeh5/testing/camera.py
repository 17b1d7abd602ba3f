"""What a process that dies at a chosen moment leaves on the disk, without a process that dies.

The `Camera` is the real disk. Right before a chosen effect it copies the
directory: had the process been killed there, this is what the next one would
find. The caller goes on and afterwards throws away what it did since. With
`Shot.part` the copy holds a torn write, with `Shot.lost` the end of the
journal that was never synced is lost, as after a power cut.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safeh5.storage import StrPath
from safeh5.storage.names import segment_number
from safeh5.testing.faults import LOOKING, Fault, FaultyStorage

_MADE = re.compile(r"\.(?P<target>[^/]+)\.safeh5\.new-[0-9a-f]{8}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shot:
    """When the picture is taken, and what it misses.

    Attributes
    ----------
    nth : int
        Before which change of the disk, counted from 1 when the camera is armed.
    part : int or None
        If that change appends to a file, so many bytes of it are there already.
    lost : float
        Which share, 0 to 1, of the journal's unsynced bytes is lost.
    """

    nth: int = 1
    part: int | None = None
    lost: float = 0.0


class Camera(FaultyStorage):
    """The real disk, of which pictures are taken.

    Parameters
    ----------
    directory : Path
        What is in the picture.
    album : Path
        Where pictures are put.
    """

    def __init__(self, directory: Path, album: Path) -> None:
        super().__init__()
        self.directory, self._album = directory, album
        self._pictures = 0
        self._synced: dict[int, int] = {}
        self._torn: tuple[Path, int] | None = None
        self._shot: Shot | None = None
        self._left = 0
        self.picture: Path | None = None

    def arm(self, shot: Shot, note: Callable[[], None]) -> None:
        """Take a picture at `shot`; `note` is called at that moment."""
        self._shot, self._note, self._left = shot, note, shot.nth
        self.picture = None

    def disarm(self) -> None:
        """Take no picture."""
        self._shot = self._torn = self.picture = None

    @property
    def armed(self) -> bool:
        """Whether a picture is still to be taken."""
        return self._shot is not None

    def take(self) -> Path:
        """Take the picture now."""
        shot, self._shot = self._shot or Shot(), None
        self._pictures += 1
        picture = self._album / f"picture-{self._pictures}"
        shutil.copytree(self.directory, picture, symlinks=True)
        self._lose(picture, shot.lost)
        self._inherit(picture)
        self.picture = picture
        return picture

    def strike(self, effect: str, path: StrPath) -> Fault | None:
        """Count a call, and take the picture if this is the moment."""
        fault = super().strike(effect, path)
        self.calls.clear()
        if self._torn is not None:
            self._tear(*self._torn)
        elif self._shot is not None and effect not in LOOKING:
            self._left -= 1
            if self._left == 0:
                self._now(effect, Path(path))
        return fault

    def attempt(self, effect: str, path: StrPath, action: Callable[[], T]) -> T:
        """Do it, and remember what is synced."""
        result = super().attempt(effect, path, action)
        if effect in ("sync", "sync_path"):
            found = self._where(path).stat()
            self._synced[found.st_ino] = found.st_size
        return result

    def _now(self, effect: str, path: Path) -> None:
        assert self._shot is not None
        self._note()
        if effect == "append" and self._shot.part is not None:
            # The write happens, and is cut in the picture, taken before the effect after it.
            path = self._where(path)
            self._torn = path, path.stat().st_size + self._shot.part
        else:
            self.take()

    def _tear(self, path: Path, size: int) -> None:
        self._torn = None
        picture = self.take()
        torn = picture / path.relative_to(self.directory)
        if torn.exists() and size < torn.stat().st_size:
            os.truncate(torn, size)

    def _where(self, path: StrPath) -> Path:
        """The file that was opened as `path`: a handle does not notice that its file was renamed."""
        path = Path(path)
        if path.exists():
            return path
        inside = self.directory / _MADE.sub(r"\g<target>.safeh5", str(path.relative_to(self.directory)))
        return inside if inside.exists() else inside.with_suffix("")

    def _inherit(self, picture: Path) -> None:
        """What was not synced still is not, in a picture that others go on from."""
        for file in self.directory.rglob("*"):
            synced = self._synced.get(file.stat().st_ino) if file.is_file() else None
            if synced is not None:
                self._synced[(picture / file.relative_to(self.directory)).stat().st_ino] = synced

    def _lose(self, picture: Path, share: float) -> None:
        """Cut the last segment of the journal somewhere behind its last sync."""
        segments = [p for p in self.directory.glob("*.safeh5/journal-*.log") if segment_number(p)]
        if not share or not segments:
            return
        last = max(segments)
        size = last.stat().st_size
        synced = self._synced.get(last.stat().st_ino, size)
        if synced < size:
            os.truncate(picture / last.relative_to(self.directory), size - round((size - synced) * share))
