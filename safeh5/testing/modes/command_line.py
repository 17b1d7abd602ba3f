"""What the command line says of a damaged session: an exit code and a message, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from safeh5.cli.app import app
from safeh5.cli.exits import Exit

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("inspect",),
    ("inspect", "--json"),
    ("recover", "--dry-run"),
    ("recover", "--dry-run", "--json"),
    ("recover", "--salvage", "--dry-run"),
)


def check_command_line(target: Path) -> None:
    """Run every command that changes nothing.

    Raises
    ------
    AssertionError
        A traceback, an exit code that is not in the list, or JSON that is none.
    """
    for command in COMMANDS:
        done = CliRunner().invoke(app, [*command, str(target)])
        words = f"safeh5 {' '.join(command)} ended with {done.exit_code}:\n{done.output}"
        assert done.exception is None or isinstance(done.exception, SystemExit), (
            f"{words}\n{done.exception!r}"
        )
        assert done.exit_code in set(Exit), words
        assert "Traceback" not in done.output, words
        if "--json" in command and done.stdout:
            json.loads(done.stdout)
