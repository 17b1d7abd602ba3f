"""A failure as a file: how to come to it again, the disk that the crash left, what may be made of it.

To replay it the workload is recorded once more and crashed behind the same kind
of effect, with the same fates, then in every way of the same family: a sync that was missing is there
when the bug is mended, and the disk of that day cannot come about any more.
Only when a user's script is gone the kept disk itself is recovered.
"""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from typing import Any

from safeh5.testing.states.check import StateError, check, place
from safeh5.testing.states.contents import ABSENT, Contents
from safeh5.testing.states.disk import Fate, read_tree
from safeh5.testing.states.events import Event, Kind
from safeh5.testing.states.explore import Explorer, Found, recovering, story
from safeh5.testing.states.history import Expected
from safeh5.testing.states.workload import Recording, Workload, record
from safeh5.testing.states.workloads import WORKLOADS

_STORY = 40


def lay_out(recording: Recording, found: Found, contents: Contents, directory: Path) -> dict[str, Any]:
    """Put the files of a failure into a directory; returns the rest of the case."""
    place(found.tree, directory / "disk")
    numbers = {n for wanted in found.expected.values() for n in (*wanted.replayed, *wanted.rolled_back)}
    (directory / "contents").mkdir()
    for number in numbers - {ABSENT}:
        shutil.copyfile(contents.path(number), directory / "contents" / f"{number}.h5")
    return {
        "workload": recording.workload.name,
        "command": list(recording.workload.command),
        "behind": _kind_of_point(recording.events[: found.point]),
        "half": found.half is not None,
        "from_checkpoint": recording.workload.from_checkpoint,
        "family": found.state.family,
        "fates": [[found.point - number, *fate] for number, fate in found.state.choice.items()],
        "way": found.way,
        "story": story(recording, found)[-_STORY:],
        "directories": list(found.tree.directories),
        "modes": {path: file.mode for path, file in found.tree.files.items()},
        "expected": {
            path: {
                "replayed": wanted.replayed,
                "rolled_back": wanted.rolled_back,
                "found": sorted(digest.hex() for digest in wanted.found),
                "mode": wanted.mode,
            }
            for path, wanted in found.expected.items()
        },
    }


def replay(case: dict[str, Any], directory: Path) -> None:
    """Come to that crash again, recover and look.

    Raises
    ------
    StateError
        It is still not as promised.
    """
    workload = _workload(case)
    if workload is None:
        _replay_disk(case, directory)
        return
    recording = record(workload, directory / "recording")
    explorer = Explorer(recording, Contents(directory / "again"), directory / "explored", seed=0)
    fates = {back: Fate(what, at) for back, what, at in case.get("fates", ())}
    exactly = explorer.exactly(fates, case["behind"], _kind_of_point) if fates else ()
    like = explorer.like(case["family"], case["behind"], _kind_of_point)
    for state, tree, expected in itertools.chain(exactly, like):
        what = explorer.judge(tree, expected, case["way"])
        if what is not None:
            raise StateError(f"{state.family}: {what}")


def _workload(case: dict[str, Any]) -> Workload | None:
    what, name, *_ = case["command"]
    if what == "workload":
        return WORKLOADS.get(name)
    return Workload(case["workload"], ("script", name)) if Path(name).is_file() else None


def _kind_of_point(events: list[Event]) -> str:
    """The last effect before a crash, without the numbers in it."""
    last = next((event for event in reversed(events) if event.kind is not Kind.MARK), None)
    return re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", "" if last is None else str(last))


def _replay_disk(case: dict[str, Any], directory: Path) -> None:
    contents = Contents(directory / "found")
    for path in sorted((directory / "contents").glob("*.h5")):
        contents.adopt(int(path.stem), path.read_bytes())
    disk = directory / "disk"
    for name in case["directories"]:
        (disk / name).mkdir(parents=True, exist_ok=True)
    for name, mode in case["modes"].items():
        if (disk / name).exists():  # lock files are not kept: without a holder they mean nothing
            (disk / name).chmod(mode)
    tree = read_tree(disk) if disk.exists() else None
    if tree is None:
        raise StateError("the kept case has no disk")
    expected = {
        path: Expected(
            tuple(wanted["replayed"]),
            tuple(wanted["rolled_back"]),
            frozenset(bytes.fromhex(digest) for digest in wanted["found"]),
            wanted["mode"],
        )
        for path, wanted in case["expected"].items()
    }
    with recovering(from_checkpoint=case["from_checkpoint"]):
        place(tree, directory / "state")
        check(directory / "state", expected, contents, case["way"])
