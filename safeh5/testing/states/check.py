"""One disk state: put it on a disk, recover, look.

What must be true
-----------------
1. Before anything: the target is the old file or the new one, byte for byte.
2. The session is not taken for damaged, foreign or newer: a crash is none of that.
3. Recovery ends without an error, and the target then holds a state at the end
   of a batch, not older than what had been promised.
4. It tells of no loss, and names what it dropped, where it dropped anything.
5. The permissions of the target are those that it had.
6. Nothing lies about but what is kept on purpose.
7. A second recovery finds nothing to do.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import safeh5
from safeh5.errors import NothingToRecoverError, RecoverError
from safeh5.recovery import Condition, RecoveryReport
from safeh5.testing.states.contents import ABSENT, Contents, digest_of
from safeh5.testing.states.disk import Tree
from safeh5.testing.states.history import Expected

REPLAY: Final = "replay"
RESUME: Final = "resume"
ROLL_BACK: Final = "rollback"
WAYS: Final = (REPLAY, RESUME, ROLL_BACK)
"""What may be done about an interrupted session."""

_WRONG: Final = (Condition.CORRUPT, Condition.FOREIGN, Condition.UNSUPPORTED, Condition.LIVE)
_KEPT: Final = (".safeh5-torn-", ".safeh5-rolledback-")


class StateError(AssertionError):
    """A disk state after which something is not as it was promised."""


def place(tree: Tree, root: Path) -> None:
    """Make a directory that holds this tree and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name in tree.directories:
        os.mkdir(root / name)
    for name, file in tree.files.items():
        path = root / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode | 0o200), "wb") as opened:
            opened.write(file.data)
        if file.mode & 0o777 != 0o644:
            os.chmod(path, file.mode)
        os.utime(path, ns=(file.mtime, file.mtime))


def check(root: Path, expected: dict[str, Expected], contents: Contents, way: str) -> list[int]:
    """Recover every target in a directory; returns the content that each has then.

    Raises
    ------
    StateError
        Something is not as it must be.
    """
    found = [_check(root, path, wanted, contents, way) for path, wanted in expected.items()]
    _check_litter(root, set(expected))
    return found


def _check(root: Path, path: str, wanted: Expected, contents: Contents, way: str) -> int:
    target = root / path
    before = _read(target)
    if (b"" if before is None else digest_of(before)) not in wanted.found:
        raise StateError(f"before recovery {path} is neither the old file nor the new one")
    if way != REPLAY:  # which would refuse these by itself
        status = safeh5.status(target)
        if status.condition in _WRONG:
            raise StateError(f"a crash is taken for {status.condition}: {status.detail}")
    report, way = _act(target, way)
    now = _recognise(target, wanted.rolled_back if way == ROLL_BACK else wanted.replayed, contents)
    if report is not None:
        _check_report(report)
    if now != ABSENT and wanted.mode is not None and target.stat().st_mode & 0o7777 != wanted.mode:
        raise StateError(f"{path} has the mode {target.stat().st_mode & 0o7777:o}, it had {wanted.mode:o}")
    with suppress(NothingToRecoverError):
        again = safeh5.recover(target)
        if again.before is not Condition.CLEAN:
            raise StateError(f"a second recovery finds {again.before}")
    return now


def _act(target: Path, way: str) -> tuple[RecoveryReport | None, str]:
    """Do something about the session; returns what recovery reported, and what was done in the end."""
    try:
        if way == RESUME:
            _resume(target)
            return None, way
        if way == ROLL_BACK:
            try:
                return safeh5.recover(target, "rollback"), way
            except RecoverError:
                pass  # it has its COMMIT record: there is no way back
        return safeh5.recover(target), REPLAY
    except NothingToRecoverError:
        return None, way


def _resume(target: Path) -> None:
    """Go on with the session and commit it, in one breath."""
    condition = safeh5.status(target).condition
    if condition not in (Condition.INTERRUPTED, Condition.SUSPENDED):
        safeh5.recover(target)
        return
    with safeh5.open(target, resume=True):
        pass


def _recognise(target: Path, allowed: tuple[int, ...], contents: Contents) -> int:
    data = _read(target)
    if data is None:
        if ABSENT in allowed:
            return ABSENT
        raise StateError(f"{target.name} is not there, and was promised")
    digest = digest_of(data)
    for number in reversed(allowed):
        if number != ABSENT and contents.is_one(target, digest, number):
            return number
    raise StateError(f"{target.name} holds {_describe(target, digest, allowed, contents)}")


def _describe(target: Path, digest: bytes, allowed: tuple[int, ...], contents: Contents) -> str:
    for number in range(len(contents)):
        if contents.is_one(target, digest, number):
            return f"an older or newer state ({number}) than any that it may ({list(allowed)})"
    real = [number for number in allowed if number != ABSENT]
    if not real:
        return "something, and there should be no file"
    lines = "\n".join(f"  {difference}" for difference in contents.differences(target, real[-1]))
    return f"none of the states that it went through; from the last one it differs in\n{lines}"


def _check_report(report: RecoveryReport) -> None:
    if report.losses or report.damage:
        raise StateError(f"recovery tells of losses or damage: {report.losses} {report.damage}")
    kept = any("-torn-" in path for path in report.kept_aside)
    if kept and report.torn is None:
        raise StateError("recovery keeps a torn end aside that its report does not name")


def _check_litter(root: Path, targets: set[str]) -> None:
    """What lies about after recovery that nobody kept on purpose."""
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        ours = ".safeh5" in name and not any(kept in name for kept in _KEPT)
        if ours and name not in targets:
            raise StateError(f"{name} is left behind")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
