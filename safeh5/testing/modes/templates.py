"""Small interrupted sessions to be damaged; all are of the small world of `safeh5.testing.world`."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import safeh5
from safeh5.journal import scan
from safeh5.storage import Storage
from safeh5.storage.names import segment_number
from safeh5.testing.camera import Camera, Shot
from safeh5.testing.world import ELEMENTS, batches, dead_session, held, make_old, values, write_batch


@dataclass(frozen=True, slots=True)
class Template:
    """A directory with a target and its interrupted session.

    Attributes
    ----------
    directory : Path
        The directory.
    count : int
        Batches that were acknowledged.
    old : bool
        Whether there was a file before.
    last_segment : int
        Number of the journal's last segment.
    pruned : bool
        Whether the journal builds on a checkpoint.
    others : tuple of Path
        Sidecars of other sessions, which wrote something else.
    from_checkpoint : bool
        Whether recovery goes on from the last checkpoint, as it does with large files.
    frames : bool
        Whether it wrote frames of a stream, each a record that is a batch, and not batches of some records.
    """

    directory: Path
    count: int
    old: bool
    last_segment: int
    pruned: bool = False
    others: tuple[Path, ...] = ()
    from_checkpoint: bool = False
    frames: bool = False
    vouched: bool = True
    """Whether a mark vouches for all of the journal, so that no flipped bit may be taken for its end."""

    @property
    def seconds(self) -> float:
        """How long a recovery may take."""
        return 10.0

    @property
    def name(self) -> str:
        """The file that the session is of."""
        return "run.h5"

    @property
    def losses_are_bare(self) -> bool:
        """Whether what a salvage leaves can be told only by reading it."""
        return False

    def held(self, target: Path) -> set[str]:
        """What a target holds after a replay."""
        return held(target) if target.exists() else batches()

    def left(self, target: Path) -> set[str]:
        """What a salvage has left: the frames in the middle of a stream that were lost are empty."""
        return _frames_left(target) if self.frames else self.held(target)

    def is_prefix(self, found: set[str]) -> bool:
        """Whether a recovery without salvage may bring this."""
        return found in self.prefixes()

    def is_all(self, found: set[str]) -> bool:
        """Whether nothing is missing."""
        return found == self.all()

    def all(self) -> set[str]:
        """What was acknowledged, and what was there before."""
        return self._first(self.count)

    def prefixes(self) -> list[set[str]]:
        """What a recovery without salvage may bring: what was there at the end of a batch."""
        return [self._first(count) for count in range(self.count + 1)]

    def _first(self, count: int) -> set[str]:
        if self.frames:
            return batches(old=self.old) | {f"f{number}" for number in range(count)}
        return batches(*range(count), old=self.old)

    def facts(self) -> dict[str, Any]:
        """What is needed to judge a damaged copy of it."""
        return {k: v for k, v in asdict(self).items() if k not in ("directory", "others")}

    def lay_out(self, place: Path, scratch: Path) -> Path:
        """A directory with what is kept of a damaged copy, which is at `place`."""
        return place


def _frames_left(target: Path) -> set[str]:
    if not target.exists():
        return batches()
    with h5py.File(target) as file:
        found = {"old"} & set(file)
        frames = file["stream/frames"][()] if "stream/frames" in file else []
    for number, frame in enumerate(frames):
        if np.array_equal(frame, values(number)):
            found.add(f"f{number}")
        else:
            assert not frame.any(), f"made up: {frame}"
    return found


_SESSIONS: tuple[tuple[int, bool, dict[str, Any]], ...] = (
    (3, True, {}),
    (3, False, {}),
    (4, False, {"segment_bytes": 600}),
    (6, True, {"segment_bytes": 900, "checkpoint_bytes": 30}),
    (8, True, {"journal_limit": 1600}),
    (8, False, {"journal_limit": 3000}),
    (60, True, {"segment_bytes": 8000, "checkpoint_bytes": 300}),
)

_OTHERS: tuple[dict[str, Any], ...] = (
    {"segment_bytes": 600},
    {"segment_bytes": 900, "checkpoint_bytes": 1},
    {"journal_limit": 1600},
)


def make_templates(root: Path) -> list[Template]:
    """One of each kind: in one segment and in several, checkpointed, pruned, suspended, committing."""
    root.mkdir(parents=True)
    made = []
    for number, (count, old, options) in enumerate(_SESSIONS):
        directory = root / str(number)
        dead_session(directory, *range(count), old=old, **options)
        made.append((directory, count, old))
    made.append((_suspended(root / "suspended"), 3, True))
    made += [(_committing(root / f"committing-{nth}", nth), 3, True) for nth in range(1, 9)]
    for directory, _, _ in made:
        make_reserve_small(directory / "run.h5.safeh5" / "reserve")
    others = make_others(root)
    templates = [
        Template(d, n, old, last_segment(d), is_pruned(d), others) for d, n, old in made if last_segment(d)
    ]
    # Where the journal is whole it is believed, and not the checkpoint: but for large files.
    large = [t for t in templates if not t.pruned and any(t.directory.glob("*.safeh5/staging.redo-*"))]
    streamed = _streamed(root / "streamed", 7)
    return [
        *templates,
        *(replace(template, from_checkpoint=True) for template in large),
        Template(streamed, 7, True, last_segment(streamed), others=others, frames=True),
    ]


def make_reserve_small(reserve: Path) -> None:
    """Nobody reads it, and a mebibyte more to copy for each damage is most of the work."""
    if reserve.exists():
        os.truncate(reserve, 4096)


def is_pruned(directory: Path, name: str = "run.h5") -> bool:
    """Whether the journal of a session builds on a checkpoint."""
    return not scan(Storage(), directory / f"{name}.safeh5").is_complete


def make_others(root: Path) -> tuple[Path, ...]:
    """Sessions like these that wrote other batches, so that none of theirs is taken for one of these.

    Their checkpoints are many: the newest of two slots counts, whosever it is.
    """
    found = []
    for number, options in enumerate(_OTHERS, 1):
        directory = root / f"foreign-{number}"
        dead_session(directory, *range(20 * number, 20 * number + 8), old=True, **options)
        make_reserve_small(directory / "run.h5.safeh5" / "reserve")
        found.append(directory / "run.h5.safeh5")
    return tuple(found)


def last_segment(directory: Path, name: str = "run.h5") -> int:
    """Number of the last segment of a session."""
    found = (segment_number(path) for path in (directory / f"{name}.safeh5").glob("journal-*.log"))
    return max((number for number in found if number), default=0)


def _streamed(directory: Path, count: int) -> Path:
    """Frames of a stream: wherever a segment ends, it ends with a batch."""
    living = directory.with_name(directory.name + "-living")
    living.mkdir()
    make_old(living / "run.h5")
    session = safeh5.open(living / "run.h5", segment_bytes=500)
    frames = session.stream("/stream/frames", shape=(ELEMENTS,), dtype="<i4")
    for number in range(count):
        frames.append(values(number))
    shutil.copytree(living, directory, ignore=shutil.ignore_patterns("*.lock"))
    session.rollback()
    shutil.rmtree(living)
    make_reserve_small(directory / "run.h5.safeh5" / "reserve")
    return directory


def _suspended(directory: Path) -> Path:
    directory.mkdir()
    make_old(directory / "run.h5")
    with safeh5.open(directory / "run.h5") as session:
        for number in range(3):
            write_batch(session, number)
        session.suspend()
    return directory


def _committing(directory: Path, nth: int) -> Path:
    """A session that died at the `nth` effect of its commit."""
    living = directory.with_name(directory.name + "-living")
    living.mkdir()
    make_old(living / "run.h5")
    camera = Camera(living, directory.parent)
    session = safeh5.open(living / "run.h5", storage=camera)
    for number in range(3):
        write_batch(session, number)
    camera.arm(Shot(nth), lambda: None)
    session.commit()
    picture = camera.picture or camera.take()
    picture.rename(directory)
    (directory / "run.h5.safeh5.lock").unlink(missing_ok=True)
    shutil.rmtree(living)
    return directory
