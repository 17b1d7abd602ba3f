"""Recovery: scan, classify, plan, act, report.

`status` looks and touches nothing; `recover` does what was planned, under the
lock of the target. Everything up to the plan is a pure function of what was
seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeh5._lazy import lazily

if TYPE_CHECKING:
    from safeh5.recovery.calls import recover
    from safeh5.recovery.looking import status, status_tree
    from safeh5.recovery.report import (
        Action,
        Condition,
        DamageReport,
        Loss,
        RecoveryReport,
        StatusReport,
        TargetState,
        TornReport,
        UnfinishedBatch,
    )
else:
    # The applier's process is in this package and needs little of it.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "safeh5.recovery.calls": "recover",
            "safeh5.recovery.looking": "status status_tree",
            "safeh5.recovery.report": "Action Condition DamageReport Loss RecoveryReport StatusReport "
            "TargetState TornReport UnfinishedBatch",
        },
    )

__all__ = [
    "Action",
    "Condition",
    "DamageReport",
    "Loss",
    "RecoveryReport",
    "StatusReport",
    "TargetState",
    "TornReport",
    "UnfinishedBatch",
    "recover",
    "status",
    "status_tree",
]
