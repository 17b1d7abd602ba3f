"""Making the sidecar of a session: whole and durable under its name, or not there."""

from __future__ import annotations

import os

from safeh5.errors import (
    DiskFullError,
    JournalWriteError,
)
from safeh5.journal import JournalWriter, Kind
from safeh5.journal.failures import NO_SPACE
from safeh5.operations.control import SessionRecord, encode_control
from safeh5.options import (
    JournalOptions,
)
from safeh5.recovery import publish
from safeh5.storage import Names, Owner, Storage


def _directory_mode(names: Names) -> int:
    """Permissions of the sidecar: nobody reads there what he may not read in the target."""
    try:
        mode = os.stat(names.target).st_mode
    except FileNotFoundError:
        return 0o777
    # Who may read the target may list the directory; only its owner writes.
    return 0o700 | (mode & 0o044) | (mode & 0o044) >> 2


def make_sidecar(
    storage: Storage, names: Names, session_id: bytes, record: SessionRecord, options: JournalOptions
) -> JournalWriter:
    """The sidecar, whole and durable under its name, or nothing.

    All that matters of it is synced before the rename, and the rename before this
    returns. A crash before leaves a directory under the temporary name, which
    the next open removes.
    """
    made = names.new_sidecar(session_id)
    try:
        storage.make_directory(made, _directory_mode(names))
        journal = None
        try:
            # Not synced: a page that is missing or torn costs a message some words.
            with storage.create(os.path.join(made, os.path.basename(names.owner))) as owner:
                owner.write([Owner.current().to_json()])
            journal = JournalWriter.create(storage, made, session_id, options, unnamed=True)
            journal.append(Kind.SESSION, encode_control(record))
            # Segment, directory, name, and the directory that has the name: each is on the
            # disk before the next says that it is there.
            journal.sync()
            storage.sync_directory(made)
            storage.rename(made, names.sidecar)
            storage.sync_directory(names.directory)
        except BaseException:
            if journal is not None:
                journal.close()
            _unmake_sidecar(storage, names, session_id)
            raise
    except OSError as error:
        kind = DiskFullError if error.errno in NO_SPACE else JournalWriteError
        raise kind(
            f"the session's directory cannot be made: {_reason(error)}",
            path=names.sidecar,
            errno=error.errno,
            safe="The target is untouched, and no session was begun",
        ) from error
    journal.moved_to(names.sidecar)
    return journal


def _reason(error: OSError) -> str:
    return (
        error.message
        if isinstance(error, JournalWriteError | DiskFullError)
        else error.strerror or str(error)
    )


def _unmake_sidecar(storage: Storage, names: Names, session_id: bytes) -> None:
    """Take back a sidecar that did not come to be; by a rename, if it has its name already."""
    made = names.new_sidecar(session_id)
    if storage.exists(made):
        publish.remove_garbage(storage, made)
    elif storage.exists(names.sidecar):
        publish.retire(storage, names, session_id)
