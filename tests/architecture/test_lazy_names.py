"""Names of the package are imported when asked for; to whoever asks they are simply there."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASKED = {
    "the packages of names": "safeh5.microdata.MicroData; safeh5.recovery.recover; safeh5.h5.File",
    "functions that are packages as well": "safeh5.verify.__call__; safeh5.live.__call__",
    "every public name": "[getattr(safeh5, name) for name in safeh5.__all__]",
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_a_name_that_was_not_imported_yet_is_there(asked: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", f"import safeh5; {asked}"], check=True, timeout=60)


def test_a_name_that_there_is_not_is_refused_as_of_any_module() -> None:
    import safeh5

    with pytest.raises(AttributeError, match="nothing_like_it"):
        safeh5.nothing_like_it  # noqa: B018
