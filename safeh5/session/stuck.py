"""What is said when the applier beside a session does not get on."""

from __future__ import annotations

import shlex

from safeh5.errors import ApplyError, recover_command
from safeh5.recovery import orders

_SAFE = "The target is untouched and everything acknowledged is in the journal"


def why_stuck(
    target: str, applied: int, deaths: int, refused: orders.Refused | None, unstarted: str | None
) -> Exception:
    """The error for whoever waits for an applier that died again and again.

    Parameters
    ----------
    target : str
        Path of the HDF5 file.
    applied : int
        LSN of the last record that it applied.
    deaths : int
        How often in a row.
    refused : Refused or None
        What the applier itself said.
    unstarted : str or None
        Why it could not even be started.
    """
    if refused is not None:
        salvage = recover_command(target, "--salvage")
        hint = f"To commit everything else, end this session and run: {salvage}"
        return refused.error(_SAFE, hint if refused.lsn is not None else None)
    if unstarted is not None:
        return ApplyError(
            f"the applier could not be started: {unstarted}",
            path=target,
            safe=_SAFE,
            hint="See to that and call again: the session goes on. Or end it, and later: "
            + recover_command(target),
        )
    return ApplyError(
        f"the applier died {deaths} times in a row after LSN {applied}",
        path=target,
        lsn=applied + 1,
        safe=_SAFE,
        hint=f"Look at that record with: safeh5 inspect {shlex.quote(target)}; "
        "then end the session, and: " + recover_command(target),
    )
