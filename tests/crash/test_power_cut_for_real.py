"""The power fails under a writer, for real: mounted file systems, shut down without their log."""

from __future__ import annotations

import random

import pytest

from safeh5.testing.modes import filesystems
from safeh5.testing.modes.filesystems import mounted
from safeh5.testing.modes.soak import cut, full
from safeh5.testing.zygote import Zygote


@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_was_acknowledged_survives_a_power_cut(kind: str) -> None:
    problem = filesystems.usable()[kind]
    if problem:
        pytest.skip(f"{kind}: {problem}")
    with Zygote("safeh5.testing.modes.workloads") as zygote, mounted(kind) as system:
        for seed in range(8):
            cut(system, zygote, random.Random(seed))
        full(system, zygote, random.Random(1))
