"""Sessions of a user's script to be damaged: it is recorded once, and stopped at some points of its trace.

What a kill leaves at such a point is known without killing (`states.disk`); of every
third the session is then suspended in good order. Which states the target may
come back to, and which one it has when nothing is damaged, the trace tells.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safeh5
from safeh5.errors import NothingToRecoverError, SafeH5Error
from safeh5.recovery import replay
from safeh5.testing.damage import copy_of
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import Settings, UsageError
from safeh5.testing.modes.looking import Whole
from safeh5.testing.modes.recorded import recorded, workload_of_user
from safeh5.testing.modes.templates import (
    Template,
    is_pruned,
    last_segment,
    make_others,
    make_reserve_small,
)
from safeh5.testing.states.check import place
from safeh5.testing.states.contents import ABSENT, Contents, digest_of
from safeh5.testing.states.disk import Disk
from safeh5.testing.states.events import Event, Kind
from safeh5.testing.states.history import History, Target
from safeh5.testing.states.workload import Recording

CONTENTS = "safeh5-contents"
"""The directory of a kept case with the states that the target may come back to."""

_POINTS = 10
"""At so many points at most the script is stopped."""

_LOOKED_AT = 60
_SPEED = 8 << 20
"""Bytes of a session for which a second more is allowed."""

_SETTLED = ("opened", "ended", "aborted", "promise")
"""Marks behind which no batch is open, so that nothing is missing when nothing is damaged."""


@dataclass(frozen=True, slots=True)
class ScriptTemplate(Template):
    """A session of a user's script.

    Attributes
    ----------
    target : str
        The name of its file, in the directory.
    states : tuple of int
        What the target may come back to, by number.
    complete : tuple of int
        What it comes back to when nothing is damaged.
    contents : Path
        Where these are.
    size : int
        Bytes of the session.
    """

    target: str = ""
    states: tuple[int, ...] = ()
    complete: tuple[int, ...] = ()
    contents: Path = Path()
    size: int = 0

    @property
    def name(self) -> str:
        """The file that the session is of."""
        return self.target

    @property
    def losses_are_bare(self) -> bool:
        """What a salvage leaves behind a loss is no state that there ever was."""
        return True

    @property
    def seconds(self) -> float:
        """How long a recovery may take."""
        return 10.0 + self.size / _SPEED

    def held(self, target: Path) -> set[str]:
        """The states that this is one of; they may be alike."""
        contents = _contents_at(self.contents)
        if not target.exists():
            return {_word(ABSENT)} if ABSENT in self.states else set()
        digest = digest_of(target.read_bytes())
        return {_word(n) for n in self.states if n != ABSENT and contents.is_one(target, digest, n)}

    def is_prefix(self, found: set[str]) -> bool:
        """Whether it is any of them."""
        return bool(found)

    def is_all(self, found: set[str]) -> bool:
        """Whether it is the last."""
        return bool(found & {_word(number) for number in self.complete})

    def all(self) -> set[str]:
        """Every state."""
        return {_word(number) for number in self.states}

    def facts(self) -> dict[str, Any]:
        """What is needed to judge a damaged copy of it."""
        found = Template.facts(self)
        del found["contents"]
        return found

    def lay_out(self, place: Path, scratch: Path) -> Path:
        """The damaged copy, with the states beside it."""
        copy_of(place, scratch)
        copy_of(self.contents, scratch / CONTENTS)
        for path in (scratch / CONTENTS).glob("*.h5"):
            if int(path.stem) not in self.states:
                path.unlink()
        return scratch


def template_of(facts: dict[str, Any], directory: Path) -> Template:
    """What `Template.facts` said, of a session that is in `directory`."""
    if "states" not in facts:
        return Template(directory, **facts)
    states = {name: tuple(facts[name]) for name in ("states", "complete")}
    return ScriptTemplate(directory, **{**facts, **states, "contents": directory / CONTENTS})


def _word(number: int) -> str:
    return f"state {number}"


@cache
def _contents_at(directory: Path) -> Contents:
    contents = Contents(directory)
    for path in sorted(directory.glob("*.h5")):
        contents.adopt(int(path.stem), path.read_bytes())
    return contents


# --- making them ----------------------------------------------------------------------------


def of_script(report: Report, settings: Settings, directory: Path) -> tuple[Template, ...]:
    """Run a user's script once, and stop it at some points.

    Raises
    ------
    UsageError
        It cannot be recorded, or never has a session that is open.
    """
    workload = workload_of_user(settings)
    recording, notes = recorded(workload, directory / "recording")
    for note in notes:
        report.note(note)
    made = _Maker(recording, directory).make()
    if not made:
        raise UsageError(f"{workload.name} has at no time a session with anything in it, to be damaged")
    report.count("sessions to be damaged", len(made))
    return tuple(made)


class _Maker:
    """Stops a recording at some points.

    Parameters
    ----------
    recording : Recording
        What was done.
    directory : Path
        Where there is room.
    """

    def __init__(self, recording: Recording, directory: Path) -> None:
        self.recording, self.directory = recording, directory
        self.contents = Contents(directory / CONTENTS)
        self.others = make_others(directory / "others")

    def make(self) -> list[Template]:
        """The sessions, in the order of the trace."""
        disk, made, mark = Disk(self.recording.start), list[Template](), ""
        history = History(self.contents, self.directory / "history", self.recording.events, disk)
        points = _some([n for n, e in enumerate(self.recording.events) if _is_settled(e)])
        for number, event in enumerate(self.recording.events):
            disk.apply(event)
            history.follow(event, disk)
            mark = event.path if event.kind is Kind.MARK else mark
            if number in points:
                for target in history.targets.values():
                    made += self._stopped(number, disk, target, seal=len(made) % 3 == 2)
        return _thinned(made)

    def _stopped(self, number: int, disk: Disk, target: Target, *, seal: bool) -> list[Template]:
        """A session as it is at this point; none if there is no journal, or it is given up."""
        session, root = target.session, self.directory / f"at-{number}-{target.path.replace('/', '-')}"
        if session is None or session.leaving:
            return []
        place(disk.build({}), root)
        path = root / target.path
        sidecar = path.with_name(path.name + ".safeh5")
        if not last_segment(path.parent, path.name):
            shutil.rmtree(root)
            return []
        if seal:
            with suppress(SafeH5Error):
                safeh5.open(path, resume=True).suspend()
        make_reserve_small(sidecar / "reserve")
        states = {target.content, *(state.content for state in session.states)}
        whole = Whole.of(sidecar)
        vouched = whole.vouched >= whole.places[-1][3] - 1
        journal = sum(file.stat().st_size for file in sidecar.glob("journal-*"))
        return [
            ScriptTemplate(
                path.parent, 0, target.content != ABSENT, last_segment(path.parent, path.name),
                pruned=is_pruned(path.parent, path.name), others=self.others,
                from_checkpoint=journal > replay.REBUILD_BYTES, vouched=vouched,
                target=path.name, states=tuple(sorted(states)), complete=self._complete(root, target, states),
                contents=self.directory / CONTENTS, size=sum(f.stat().st_size for f in sidecar.iterdir()),
            )
        ]  # fmt: skip

    def _complete(self, root: Path, target: Target, states: set[int]) -> tuple[int, ...]:
        """What a copy that nothing happened to comes back to."""
        path = copy_of(root, self.directory / "whole") / target.path
        with suppress(NothingToRecoverError):
            safeh5.recover(path)
        if not path.exists():
            return (ABSENT,)
        digest = digest_of(path.read_bytes())
        found = [n for n in states if n != ABSENT and self.contents.is_one(path, digest, n)]
        if not found:
            raise AssertionError(f"{path.name} was not damaged, and comes back as none of its states")
        return tuple(sorted(found))


def _is_settled(event: Event) -> bool:
    return event.kind is Kind.MARK and event.path in _SETTLED


def _some(points: list[int]) -> set[int]:
    """Some of these, evenly, the last among them."""
    step = max(1, -(-len(points) // _LOOKED_AT))
    return set(points[::-step])


def _thinned(made: list[Template]) -> list[Template]:
    step = max(1, -(-len(made) // _POINTS))
    return made[::-step][::-1]
