"""The checkpoint that a journal goes on from: opening it, and saying so when it is lost.

The journal of a session that began at its SESSION record can make the staging
file again, so a lost checkpoint costs time. A journal that begins at an anchor
cannot: what was written before is in the checkpoint and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeh5.errors import CheckpointLostError, JournalError, NotHDF5Error, recover_command
from safeh5.events import logger
from safeh5.journal import JournalScan, Kind
from safeh5.operations.control import CheckpointRecord, FileCreation, decode_control
from safeh5.storage import Storage
from safeh5.storage.pager import newest_applied, read_redo

if TYPE_CHECKING:
    from safeh5.applier import Place, Staging


def promised(journal: JournalScan) -> int:
    """The LSN that the last checkpoint holds at least, by the journal's own word; 0 for no word.

    The record is written when the checkpoint is on disk. So a redo slot that
    is older was outlived by the one that belongs to the file as it is, and
    the two do not fit together.
    """
    noted = journal.last(Kind.CHECKPOINT)
    try:
        return decode_control(CheckpointRecord, noted.meta).applied if noted else 0
    except JournalError:
        return journal.anchor.applied if journal.anchor else 0


def open_checkpoint(place: Place, journal: JournalScan, creation: FileCreation) -> Staging | None:
    """The staging file at its last checkpoint; None when the journal must make it again, and can.

    Raises
    ------
    CheckpointLostError
        If the journal begins at an anchor and the checkpoint is not there.
    """
    from safeh5.applier import Staging  # who only asks for the problem need not load HDF5

    problem = checkpoint_problem(place.storage, place.path, journal)
    staging = None
    if not problem:
        try:
            staging = Staging.last_checkpoint(place, creation)
        except NotHDF5Error as error:
            problem = error.message
    if staging is None and journal.anchor is not None:
        raise checkpoint_lost(place.path, place.shown, journal, problem)
    if staging is None and problem:
        logger.info("the staging file is made again: %s", problem)
    return staging


def checkpoint_problem(storage: Storage, staging: str, journal: JournalScan) -> str:
    """Why the journal cannot go on from a staging file; empty when it can, as far as its slots tell."""
    if not storage.exists(staging):
        return "staging.h5 is missing"
    redo = read_redo(storage, staging, journal.session_id)
    if redo is None:
        return "staging.h5 and its redo slots (staging.redo-0, staging.redo-1) hold no whole checkpoint"
    least = promised(journal)
    if redo.applied < least:
        return f"the last whole checkpoint holds LSN {redo.applied} only, and {least} is needed"
    return ""


def cut_short(storage: Storage, staging: str, journal: JournalScan) -> str | None:
    """How the redo slots prove that the journal has lost its end; None when they do not.

    A checkpoint is made of what is durable in the journal. So one that reaches
    farther than the journal was outlived by it: what the journal had behind its
    end was acknowledged, and a session that went on from here would give the
    LSNs that the checkpoint claims to hold to new records.
    """
    applied = newest_applied(storage, staging, journal.session_id)
    if applied <= journal.last_lsn:
        return None
    return f"the journal ends with LSN {journal.last_lsn}, and staging.h5 was checkpointed at LSN {applied}"


def checkpoint_lost(staging: str, target: str, journal: JournalScan, problem: str) -> CheckpointLostError:
    """The error for a journal that begins at an anchor, without its checkpoint."""
    assert journal.anchor is not None
    return CheckpointLostError(
        f"what was written up to LSN {journal.anchor.applied} was only in the checkpoint, and {problem}",
        path=staging,
        lsn=journal.anchor.applied,
        safe=f"The target is untouched, and the {journal.records} records behind that LSN are in the journal",
        hint="If a copy of staging.h5 and its redo slots exists, put it back and run: "
        f"{recover_command(target)}; otherwise set the session aside with: "
        + recover_command(target, "--rollback"),
    )
