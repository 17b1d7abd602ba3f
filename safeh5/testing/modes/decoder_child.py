"""``python decoder_child.py NAME ...``: atheris at work on one decoder.

Run as a file: as a module its package would be imported before it could be instrumented.
"""

from __future__ import annotations

import logging
import sys

import atheris

_LOOKED_AT = [
    "safeh5.journal",
    "safeh5.operations",
    "safeh5.storage.redo",
    "safeh5.recovery",
    "safeh5.storage.names",
]

with atheris.instrument_imports(include=_LOOKED_AT):
    from safeh5.testing.modes.decoder import DECODERS


def main() -> None:
    """Run libFuzzer; it ends the process."""
    name, arguments = sys.argv[1], sys.argv[2:]
    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *arguments], DECODERS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
