"""Damage, on copies of what a death left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import safeh5
from safeh5.journal import scan
from safeh5.recovery import RecoveryReport
from safeh5.storage import Storage
from safeh5.storage.names import segment_number
from safeh5.testing import strategies
from safeh5.testing.damage import Kind, NoEffectError, copy_of
from safeh5.testing.damaged import check_damaged, may_be_lost_in_silence
from safeh5.testing.machine.base import MachineBase
from safeh5.testing.oracle import content


class Damages(MachineBase):
    """Damaged copies of interrupted sessions."""

    @precondition(MachineBase.is_interrupted)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        """On a copy: the truth, or an error, or a loss that is named."""
        history = self.history
        sidecar = Path(f"{self.target}.safeh5")
        if history is None or not sidecar.is_dir() or not any(sidecar.iterdir()):
            return
        copy = copy_of(self.camera.directory, self._root / "damaged")
        damage = data.draw(strategies.damages(copy / sidecar.name, self._older))
        try:
            damage.apply(copy / sidecar.name, self._older)
        except NoEffectError:
            return
        self._keep_for_later(sidecar)

        numbers = [n for path in sidecar.glob("journal-*.log") if (n := segment_number(path))]
        silent = may_be_lost_in_silence(damage, max(numbers, default=0))
        # A whole journal in the place of another is a session, though not this one.
        exchanged = damage.kind is Kind.STALE and len(numbers) == 1

        complete = scan(Storage(), sidecar).is_complete

        def replayed(target: Path, report: RecoveryReport) -> None:
            said = report.torn or report.losses or report.damage or report.unfinished or silent
            if exchanged or (damage.file == "staging.h5" and not complete):
                # A journal that was pruned builds on it, and it has no checksums: decision 0012.
                return
            weaker = replace(history, durable=0 if said else history.durable)
            if content(target) != history.base or not weaker.may_be_base:
                self.oracle.find(target, weaker)

        def salvaged(target: Path, report: RecoveryReport) -> None:
            if report.losses:
                named = {loss.dataset for loss in report.losses}
                left = [p for p in safeh5.verify(target, level="full").problems if p.path not in named]
                assert not left, f"not readable, and not named: {left}"
            else:
                replayed(target, report)

        check_damaged(copy / "run.h5", damage, self._root / "second", replayed=replayed, salvaged=salvaged)

    def _keep_for_later(self, sidecar: Path) -> None:
        """Another sidecar, whose files and blocks may turn up in a later one."""
        if len(self._older) < 2:
            self._older.append(copy_of(sidecar, self._root / f"older-{len(self._older)}"))
