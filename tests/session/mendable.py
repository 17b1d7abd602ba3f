"""A disk that fails and is mended."""

from __future__ import annotations

import errno

from safeh5.testing.faults import Fault, FaultyStorage


class MendableStorage(FaultyStorage):
    """A disk whose faults begin and end on command; each hits all calls of an effect on a path."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None

    def fail(self, effect: str, path: str = "", error: int = errno.ENOSPC, short: int = 0) -> None:
        self.fault = Fault(effect, path=path, times=None, error=error, short=short)

    def mend(self) -> None:
        self.fault = None

    def strike(self, effect: str, path: object) -> Fault | None:
        super().strike(effect, path)  # type: ignore[arg-type]
        call = self.calls[-1]
        return self.fault if self.fault is not None and self.fault.matches(call) else None
