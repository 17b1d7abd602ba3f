"""Who holds a target is named rightly, also when it is not the one who began."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import safeh5
from safeh5.errors import SessionLockedError
from safeh5.storage import Names, Owner, TargetLock
from safeh5.storage.children import environment

BEGIN_AND_DIE = "import os, sys, safeh5; safeh5.open(sys.argv[1]); os._exit(9)"


def test_a_running_recovery_is_not_taken_for_the_process_that_died(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    subprocess.run([sys.executable, "-c", BEGIN_AND_DIE, str(target)], env=environment(), check=False)
    lock = TargetLock(Names.of(target).lock)
    lock.acquire(0.0)
    try:
        detail = safeh5.status(target).detail
        with pytest.raises(SessionLockedError) as caught:
            safeh5.recover(target)
    finally:
        lock.release(remove=True)
    assert "a recovery it seems" in detail
    assert "a recovery, it seems" in str(caught.value) and "which is no more" in str(caught.value)


def test_a_process_that_lives_or_may_live_is_not_called_gone() -> None:
    me = Owner.current()
    assert not me.is_gone
    assert not Owner(pid=me.pid, host="another host", boot_id="another boot").is_gone
    assert Owner(pid=me.pid, host=me.host, boot_id="another boot").is_gone
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Owner(pid=child.pid, host=me.host, boot_id=me.boot_id).is_gone
