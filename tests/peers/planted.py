"""A pytest plugin with a bug in it: attributes are applied, and no record of them is made."""

from __future__ import annotations

from typing import Any

from safeh5.operations import model
from safeh5.session.session import Session

_record = Session.record


def _forgetful(self: Session, operation: Any, payload: Any = b"", at: Any = None) -> int:
    if isinstance(operation, model.SetAttribute):
        self._workspace.apply(operation, payload, self.last_lsn)
        return self.last_lsn
    return _record(self, operation, payload, at)


Session.record = _forgetful  # type: ignore[method-assign]
