"""Opening: from a path to a session that holds the lock and has a journal.

Order of things, and why
------------------------
1. The lock, before anything is looked at: what is seen then stays so.
2. Leftovers of finished sessions go: under the lock they belong to nobody.
3. An interrupted session is found before a new one can be begun over it.
4. The target is checked: opening never truncates, never creates over, never
   takes a file that HDF5 cannot read.
5. The sidecar is made under a temporary name, made durable, renamed, and the
   directory is synced: a sidecar that exists has a whole first segment.
"""

from __future__ import annotations

import os
import shlex
import uuid
from dataclasses import dataclass, field

import h5py

from safeh5.errors import (
    ForeignSidecarError,
    InterruptedSessionError,
    InvalidOptionError,
    NotHDF5Error,
    SessionLockedError,
    TargetExistsError,
    TargetNotFoundError,
    UnsupportedVersion,
    recover_command,
)
from safeh5.events import Progress, logger, silent
from safeh5.journal import JournalScan, JournalWriter, Kind, scan
from safeh5.operations.control import FileCreation, ResumeRecord, SessionRecord, Writer, encode_control, now
from safeh5.options import (
    MODES,
    ApplierKind,
    BacklogOptions,
    CheckpointOptions,
    DiskOptions,
    JournalOptions,
    OnError,
    VerifyLevel,
)
from safeh5.recovery.act import carry_out
from safeh5.recovery.classify import classify, explain, target_state
from safeh5.recovery.evidence import Evidence, examine
from safeh5.recovery.leftovers import remove_leftovers
from safeh5.recovery.locking import lock_target, require_file, require_name
from safeh5.recovery.plan import corrupt_journal, make_plan, require_checkpoint
from safeh5.recovery.report import Action, Condition, TargetState
from safeh5.recovery.torn import save_torn
from safeh5.session.beside import Beside
from safeh5.session.disk import DiskWatch
from safeh5.session.log import BatchLog
from safeh5.session.parts import Parts
from safeh5.session.session import Session
from safeh5.session.sidecar import make_sidecar
from safeh5.session.workspace import Workspace
from safeh5.session.workspace_auto import Auto
from safeh5.session.workspace_beside import BesideWorkspace
from safeh5.session.workspace_inline import Inline
from safeh5.session.workspace_process import Process
from safeh5.storage import Names, Owner, Storage, TargetLock
from safeh5.storage.fingerprint import Fingerprint

_RESUMABLE = (Condition.INTERRUPTED, Condition.SUSPENDED)
_ENDED = (Condition.IN_DOUBT, Condition.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Opening:
    """What `safeh5.open` was asked for.

    Attributes
    ----------
    mode : str
        One of `MODES`.
    resume : bool
        Go on with an interrupted session, if there is one.
    recover : Action or None
        Replay, roll back or salvage an interrupted session first, then begin a new one.
    journal : JournalOptions
        How the journal is laid out.
    on_error : OnError
        What a ``with`` block does when an exception leaves it.
    verify : VerifyLevel
        How much of the new file is read again before commit.
    creation : FileCreation
        How a new HDF5 file is made.
    checkpoints : CheckpointOptions
        When the session checkpoints by itself.
    applier : ApplierKind
        Where operations are applied.
    backlog : BacklogOptions
        How far the applier may fall behind.
    disk : DiskOptions
        When free space is too little.
    lock_timeout : float
        Seconds to wait for the lock.
    progress : callable
        Gets `ProgressEvent` while copying and replaying.
    """

    mode: str = "a"
    resume: bool = False
    recover: Action | None = None
    journal: JournalOptions = field(default_factory=JournalOptions)
    on_error: OnError = OnError.SUSPEND
    verify: VerifyLevel = VerifyLevel.NONE
    creation: FileCreation = field(default_factory=FileCreation)
    checkpoints: CheckpointOptions = field(default_factory=CheckpointOptions)
    applier: ApplierKind = ApplierKind.AUTO
    backlog: BacklogOptions = field(default_factory=BacklogOptions)
    disk: DiskOptions = field(default_factory=DiskOptions)
    lock_timeout: float = 0.0
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            hint = "To read a file use h5py.File(path, 'r')" if self.mode == "r" else None
            raise InvalidOptionError(
                f"mode={self.mode!r} is not one of {', '.join(map(repr, MODES))}", hint=hint
            )
        if self.resume and self.recover is not None:
            raise InvalidOptionError(
                "resume goes on with an interrupted session and recover ends it: choose one"
            )


def open_session(path: str | os.PathLike[str], opening: Opening, storage: Storage) -> Session:
    """The session that `opening` asks for.

    Raises
    ------
    SessionLockedError, InterruptedSessionError, CorruptJournalError
        The target has another session.
    TargetNotFoundError, TargetExistsError, NotHDF5Error
        The target does not fit the mode.
    """
    names = _names_of_target(path)
    lock = lock_target(storage, names, opening.lock_timeout)
    try:
        return _open_locked(storage, names, lock, opening)
    except BaseException:
        lock.release(remove=True)
        raise


def _names_of_target(path: str | os.PathLike[str]) -> Names:
    if not os.fspath(path):
        raise TargetNotFoundError("the name of the file is empty", safe="Nothing was touched")
    names = Names.of(path)
    if names.is_aside or os.path.realpath(os.fspath(path)) == names.sidecar:
        raise InvalidOptionError(
            f"{os.fspath(path)} is the sidecar of a session; open the HDF5 file {names.target}",
            path=names.target,
        )
    if not os.path.isdir(names.directory):
        raise TargetNotFoundError("there is no such directory", path=names.directory)
    require_file(names)
    require_name(names)
    return names


def _open_locked(storage: Storage, names: Names, lock: TargetLock, opening: Opening) -> Session:
    remove_leftovers(storage, names)
    evidence = examine(storage, names, locked=False)
    condition = classify(evidence)
    if condition in _RESUMABLE and opening.resume:
        return _resume(storage, names, lock, opening, evidence)
    if condition is not Condition.CLEAN:
        _end_interrupted(storage, evidence, condition, opening)
    return _begin(storage, names, lock, opening)


def _end_interrupted(storage: Storage, evidence: Evidence, condition: Condition, opening: Opening) -> None:
    """Finish or undo the session found there, if that was asked for or is a formality."""
    action = opening.recover
    if action is None and condition in _ENDED and opening.resume:
        action = Action.REPLAY
    if action is None or condition in (Condition.FOREIGN, Condition.UNSUPPORTED):
        raise _not_asked_for(evidence, condition)
    report = carry_out(storage, evidence, make_plan(evidence, action), progress=opening.progress)
    for warning in report.warnings:
        logger.warning("%s", warning)


def _not_asked_for(evidence: Evidence, condition: Condition) -> Exception:
    sentence, command = explain(evidence, condition)
    target = evidence.names.target
    if condition is Condition.CORRUPT:
        return corrupt_journal(evidence)
    if condition is Condition.FOREIGN:
        return ForeignSidecarError(sentence, path=evidence.names.sidecar, safe="Nothing was touched")
    if condition is Condition.UNSUPPORTED:
        return UnsupportedVersion(sentence, path=evidence.names.sidecar, safe="Nothing was touched")
    resume = ", or go on with it: open it with resume=True" if condition in _RESUMABLE else ""
    return InterruptedSessionError(
        f"{target} has an unfinished session. {sentence}",
        path=target,
        safe=("The file itself is whole, and n" if evidence.target is not None else "N")
        + "othing acknowledged is lost",
        hint=f"Finish it with: {command or recover_command(target)}{resume}; give it up with: "
        + recover_command(target, "--rollback"),
    )


# --- a new session ------------------------------------------------------------------


def _begin(storage: Storage, names: Names, lock: TargetLock, opening: Opening) -> Session:
    base = _check_target(names, opening.mode)
    copy = base is not None and opening.mode in ("a", "r+")
    record = SessionRecord(
        target=os.path.basename(names.target),
        mode=opening.mode,
        base=base,
        copy=copy,
        writer=Writer.current(),
        time=now(),
        creation=opening.creation,
    )
    session_id = uuid.uuid4().bytes
    journal = make_sidecar(storage, names, session_id, record, opening.journal)
    return _session(storage, names, lock, opening, record, journal, session_id, journaled=False)


def _check_target(names: Names, mode: str) -> Fingerprint | None:
    """What the target looks like, once it is known to fit `mode`."""
    base = Fingerprint.of(names.target)
    if base is None:
        if mode == "r+":
            raise TargetNotFoundError(
                "there is no such file, and mode 'r+' does not make one", path=names.target
            )
        return None
    if mode in ("x", "w-"):
        raise TargetExistsError(f"the file exists, and mode {mode!r} makes a new one", path=names.target)
    if mode in ("a", "r+"):
        _require_hdf5(names.target)
    return base


def _require_hdf5(target: str) -> None:
    """Open the target for reading: what HDF5 cannot read is not copied, changed and put back."""
    try:
        with h5py.File(target, "r"):
            pass
    except BlockingIOError as error:
        raise SessionLockedError(
            f"{target} is open for writing in another program: {error}",
            path=target,
            safe="It was not touched",
            hint="Wait until that program has closed it",
        ) from error
    except OSError as error:
        raise NotHDF5Error(
            f"{target} is not an HDF5 file that can be opened: {error}",
            path=target,
            safe="It was not touched",
            hint=f"Look at it with: safeh5 verify {shlex.quote(target)}; mode 'w' replaces it at commit",
        ) from error


# --- going on -------------------------------------------------------------------------


def _resume(
    storage: Storage, names: Names, lock: TargetLock, opening: Opening, evidence: Evidence
) -> Session:
    assert evidence.scan is not None and evidence.session is not None
    require_checkpoint(evidence)
    if target_state(evidence) is TargetState.CHANGED:
        logger.warning(
            "%s was changed by someone else since the session began: its commit will be refused, "
            "and the result can then be written to another file",
            names.target,
        )
    journal_scan: JournalScan = evidence.scan
    if kept := save_torn(storage, evidence):
        logger.warning("the torn end of the journal, never acknowledged, is kept at %s", kept)
    journal = JournalWriter.resume(storage, names.sidecar, journal_scan, opening.journal)
    record = ResumeRecord(writer=Writer.current(), time=now(), purpose="resume")
    journal.append(Kind.RESUME, encode_control(record))
    journal.sync()
    _sign(storage, names)
    assert journal_scan.session_id is not None
    return _session(
        storage,
        names,
        lock,
        opening,
        evidence.session,
        journal,
        journal_scan.session_id,
        journaled=journal_scan.records > 0 or not journal_scan.is_complete,
        found=journal_scan,
    )


def _sign(storage: Storage, names: Names) -> None:
    """Put our name on the page that tells who writes; for people only, so it may fail."""
    made = names.owner + ".new"
    try:
        if storage.exists(made):
            storage.unlink(made)
        storage.write_new(made, Owner.current().to_json())
        storage.replace(made, names.owner)
    except OSError as error:
        logger.warning("%s still names the process before: %s", names.owner, error.strerror or error)


def _session(
    storage: Storage,
    names: Names,
    lock: TargetLock,
    opening: Opening,
    record: SessionRecord,
    journal: JournalWriter,
    session_id: bytes,
    *,
    journaled: bool,
    found: JournalScan | None = None,
) -> Session:
    parts = Parts(
        storage=storage,
        names=names,
        lock=lock,
        session_id=session_id,
        record=record,
        log=BatchLog(journal, DiskWatch(storage, names, opening.disk, _copies(opening.applier))),
        workspace=_workspace(storage, names, session_id, record, opening, journal),
        verify=opening.verify,
        progress=opening.progress,
        found=found,
    )
    return Session(parts, options=opening.journal, on_error=opening.on_error, journaled=journaled)


def _copies(applier: ApplierKind) -> int:
    """How often payload is written before a call returns."""
    return 1 if applier is ApplierKind.PROCESS else 2


def _workspace(
    storage: Storage,
    names: Names,
    session_id: bytes,
    record: SessionRecord,
    opening: Opening,
    journal: JournalWriter,
) -> Workspace:
    child = Beside(names, session_id, record, opening.checkpoints)
    beside = BesideWorkspace(storage, names, session_id, record, child, opening.backlog)

    def whole() -> JournalScan:
        journal.write_out()
        return scan(storage, names.sidecar)

    inline = Inline(storage, names, session_id, record, whole, opening.checkpoints, opening.progress)
    if opening.applier is ApplierKind.INLINE:
        return inline
    return Process(inline, beside) if opening.applier is ApplierKind.PROCESS else Auto(inline, beside)
