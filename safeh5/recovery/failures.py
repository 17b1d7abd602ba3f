"""A disk that fails in the middle of a recovery, as one of our errors."""

from __future__ import annotations

from safeh5.errors import DiskFullError, RecoverError, SafeH5Error
from safeh5.journal.failures import NO_SPACE
from safeh5.recovery.plan import Step
from safeh5.storage import Names


def failed(step: Step, names: Names, error: OSError) -> SafeH5Error:
    """The error for a disk that failed in the middle of a step."""
    what = f"recovery could not {step.value}: {error.strerror or error}"
    safe = "What was acknowledged is in the journal"
    if error.errno in NO_SPACE:
        hint = "Free space and run the command again"
        return DiskFullError(what, errno=error.errno, path=names.target, safe=safe, hint=hint)
    return RecoverError(what, path=names.target, safe=safe, hint="See to the disk and run the command again")
