"""A pytest plugin: what the journal of a file that a test closes makes by itself.

At each commit the sidecar is copied as it lies on the disk, which is what a
process killed at that moment leaves. Then the session commits; and from the
copy

``journal``
    the journal alone, without the staging file, is replayed over the target as
    the session found it;
``checkpoint``
    if there was a checkpoint, recovery goes on from it.

Each must be the file that the test made, object by object.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from peers import outcomes
from safeh5.errors import SafeH5Error
from safeh5.recovery import recover, replay
from safeh5.session.session import Session
from safeh5.storage import Names
from safeh5.testing.compare import differences

FILE = "PEERS_REPLAYED"
"""Environment variable: the file that the findings go to, one line per file and form."""

FORMS = ("journal", "checkpoint")


def pytest_configure() -> None:
    """Look at every session that commits from here on."""
    Session.commit = _watched(Session.commit)  # type: ignore[method-assign, assignment]


def _watched(commit: Callable[[Session], None]) -> Callable[[Session], None]:
    @wraps(commit)
    def watched(self: Session) -> None:
        place = Path(tempfile.mkdtemp(prefix="safeh5-peers-"))
        try:
            _copy(Path(self.target), place)
            commit(self)
            if not hasattr(self, "_peers_seen"):
                self._peers_seen = True  # type: ignore[attr-defined]
                for form in FORMS:
                    _look(self, place, form)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return watched


def _copy(target: Path, place: Path) -> None:
    """The target and its sidecar as they are; only what is on the disk counts."""
    names = Names.of(target)
    with suppress(FileNotFoundError):
        shutil.copy2(target, place / target.name)
    shutil.copytree(names.sidecar, place / os.path.basename(names.sidecar))


def _look(session: Session, place: Path, form: str) -> None:
    """Replay, compare with the file that was committed, and note what was found."""
    target = Path(session.target)
    copy = Names.of(place / target.name)
    if form == "journal":
        kept = place / "kept"
        kept.mkdir()
        for path in _staging_files(copy):
            shutil.move(path, kept)
    else:
        for kept_file in (place / "kept").iterdir():
            shutil.move(kept_file, copy.sidecar)
        if not _has_checkpoint(copy):
            return
    # Beside the target, since it may lead to other files by their names.
    output = target.with_name(f"{target.name}.peers-{form}")
    found = _replay(copy, output, form) or compare(target, output)
    with suppress(FileNotFoundError):
        output.unlink()
    outcomes.write_line(
        os.environ[FILE], test=outcomes.current(), file=target.name, form=form, differences=found
    )


def _staging_files(copy: Names) -> list[str]:
    return [str(path) for path in Path(copy.sidecar).glob("staging.*")]


def _has_checkpoint(copy: Names) -> bool:
    return any(Path(copy.sidecar).glob("staging.redo-*"))


def _replay(copy: Names, output: Path, form: str) -> list[str]:
    rebuild: Any = replay.REBUILD_BYTES
    try:
        replay.REBUILD_BYTES = rebuild if form == "journal" else -1  # type: ignore[misc]
        recover(copy.target, output=output)
    except (SafeH5Error, OSError) as error:
        return [f"recovery fails: {type(error).__name__}: {error}"]
    finally:
        replay.REBUILD_BYTES = rebuild  # type: ignore[misc]
    return []


def compare(target: Path, output: Path) -> list[str]:
    """In what two files differ, in words; a comparison that fails is a difference."""
    try:
        return [str(difference) for difference in differences(target, output, limit=5)]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        return [f"not comparable: {type(error).__name__}: {error}"]
