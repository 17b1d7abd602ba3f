"""Small interrupted sessions to be damaged; all are of the small world of `safeh5.testing.world`."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safeh5
from safeh5.journal import scan
from safeh5.storage import Storage
from safeh5.storage.names import segment_number
from safeh5.testing.camera import Camera, Shot
from safeh5.testing.world import batches, dead_session, make_old, write_batch


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
        Sidecars of other sessions, and of this one at an earlier time.
    """

    directory: Path
    count: int
    old: bool
    last_segment: int
    pruned: bool = False
    others: tuple[Path, ...] = ()

    def all(self) -> set[str]:
        """What was acknowledged, and what was there before."""
        return batches(*range(self.count), old=self.old)

    def prefixes(self) -> list[set[str]]:
        """What a recovery without salvage may bring: what was there at the end of a batch."""
        return [batches(*range(n), old=self.old) for n in range(self.count + 1)]

    def facts(self) -> dict[str, Any]:
        """What is needed to judge a damaged copy of it."""
        return {k: v for k, v in asdict(self).items() if k not in ("directory", "others")}

    @classmethod
    def of(cls, facts: dict[str, Any], directory: Path) -> Template:
        """What `facts` says, of a session that is in `directory`."""
        return cls(directory, **facts)


_SESSIONS: tuple[tuple[int, bool, dict[str, Any]], ...] = (
    (3, True, {}),
    (3, False, {}),
    (4, False, {"segment_bytes": 600}),
    (6, True, {"segment_bytes": 900, "checkpoint_bytes": 30}),
    (8, True, {"journal_limit": 1600}),
    (8, False, {"journal_limit": 3000}),
    (60, True, {"segment_bytes": 8000, "checkpoint_bytes": 300}),
)


def make_templates(root: Path) -> list[Template]:
    """One of each kind: in one segment and in several, checkpointed, pruned, suspended, committing."""
    root.mkdir(parents=True)
    foreign = dead_session(root / "foreign", 0, 1, 2, old=True, segment_bytes=600).parent / "run.h5.safeh5"
    made = []
    for number, (count, old, options) in enumerate(_SESSIONS):
        directory = root / str(number)
        dead_session(directory, *range(count), old=old, **options)
        made.append((directory, count, old))
    made.append((_suspended(root / "suspended"), 3, True))
    made += [(_committing(root / f"committing-{nth}", nth), 3, True) for nth in range(1, 9)]
    for directory, _, _ in made:
        _make_reserve_small(directory / "run.h5.safeh5" / "reserve")
    others = _others(made, foreign)
    return [Template(d, n, old, _last(d), _is_pruned(d), others) for d, n, old in made if _last(d)]


def _make_reserve_small(reserve: Path) -> None:
    """Nobody reads it, and a mebibyte more to copy for each damage is most of the work."""
    if reserve.exists():
        os.truncate(reserve, 4096)


def _is_pruned(directory: Path) -> bool:
    return not scan(Storage(), directory / "run.h5.safeh5").is_complete


def _others(made: list[tuple[Path, int, bool]], foreign: Path) -> tuple[Path, ...]:
    """Of each session its sidecar as it was: blocks of a session may come to stand elsewhere in it."""
    return (foreign, *(directory / "run.h5.safeh5" for directory, _, _ in made if _last(directory)))


def _last(directory: Path) -> int:
    found = (segment_number(path) for path in (directory / "run.h5.safeh5").glob("journal-*.log"))
    return max((number for number in found if number), default=0)


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
