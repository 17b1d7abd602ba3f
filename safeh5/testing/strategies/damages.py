"""What happens to the files of a sidecar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from safeh5.testing.damage import Damage, Kind, files_of


@st.composite
def damages(draw: st.DrawFn, sidecar: str | os.PathLike[str], others: Sequence[Path] = ()) -> Damage:
    """Something that happens to a file of a sidecar as it is now.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    sidecar : path-like
        The directory; its files are looked at, not changed.
    others : sequence of Path
        Other sidecars, older ones of the same session or of other sessions,
        whose files and blocks may come to stand in this one.
    """
    sizes = files_of(sidecar)
    file = draw(st.sampled_from(sorted(sizes)))
    kind = draw(st.sampled_from([kind for kind in Kind if others or not kind.needs_other]))
    size = max(1, sizes[file])
    return Damage(
        kind=kind,
        file=file,
        offset=draw(st.integers(0, size - 1)),
        length=draw(st.sampled_from([1, 8, 64, 512, 4096])),
        second=draw(st.integers(0, size - 1)),
        bit=draw(st.integers(0, 7)),
        other=draw(st.integers(0, len(others) - 1)) if others else 0,
    )
