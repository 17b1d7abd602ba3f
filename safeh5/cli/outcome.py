"""How a command ends: its reports, its errors, its exit code; as text or as one JSON object.

The JSON object is the same for every command::

    {"ok": ..., "exit_code": ..., "reports": [...], "errors": [...]}

One report per path; a path that failed has an error instead, and the others
are done all the same.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.text import Text

from safeh5.cli.exits import Exit, of_error
from safeh5.cli.text import console
from safeh5.errors import SafeH5Error

DEBUG = "SAFEH5_DEBUG"


class Outcome:
    """What a command has to tell.

    Parameters
    ----------
    as_json : bool
        Whether standard output gets one JSON object and nothing else.

    Attributes
    ----------
    tracebacks : bool
        Whether errors show where they were raised; of the whole program.
    """

    tracebacks = False

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.code = Exit.DONE
        self.reports: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def add(self, report: dict[str, Any], code: Exit) -> None:
        """Note the report on one path."""
        self.reports.append(report)
        self.worsen(code)

    def worsen(self, code: Exit) -> None:
        """The exit code is the highest of all."""
        self.code = max(self.code, code)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """The work on one path: its failure is told, and the next path has its turn."""
        try:
            yield
        except (SafeH5Error, OSError) as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Tell what went wrong, in one message on standard error."""
        code = of_error(error)
        self.worsen(code)
        self.errors.append(_described(error, code))
        if not self.as_json:
            for style, line in _message(error):
                console(error=True).print(Text(line, style))
        if Outcome.tracebacks:
            traceback.print_exception(error, file=sys.stderr)

    def finish(self) -> None:
        """Write the JSON object, if that is what was asked for."""
        if self.as_json:
            ending = {"ok": self.code == Exit.DONE, "exit_code": int(self.code)}
            print(json.dumps({**ending, "reports": self.reports, "errors": self.errors}, indent=2))


@contextmanager
def outcome(as_json: bool = False) -> Iterator[Outcome]:
    """The whole work of one command; never lets a traceback out.

    Raises
    ------
    typer.Exit
        With the exit code.
    """
    result = Outcome(as_json)
    try:
        yield result
    except typer.Abort:
        console(error=True).print("Nothing was changed.")
        result.worsen(Exit.FAILED)
    except BrokenPipeError:
        _forget_output()  # whoever read our output has seen enough
        raise typer.Exit(Exit.FAILED) from None
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, typer.Exit | typer.BadParameter):
            raise
        result.fail(error)
    result.finish()
    raise typer.Exit(result.code)


def _message(error: BaseException) -> Iterator[tuple[str, str]]:
    if isinstance(error, SafeH5Error):
        yield "bold red", f"safeh5: {error}"
    elif isinstance(error, KeyboardInterrupt):
        yield "yellow", "safeh5: stopped. Run the command again to go on; nothing acknowledged is lost."
    elif isinstance(error, OSError):
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        yield "bold red", f"safeh5: {where}{error.strerror or error}."
    else:
        yield (
            "bold red",
            f"safeh5: this is a bug in safeh5 ({type(error).__name__}: {error}); please report it.",
        )
        again = shlex.join([f"{DEBUG}=1", "safeh5", *sys.argv[1:]])
        yield "", f"The traceback, for the report: {again}"


def _described(error: BaseException, code: Exit) -> dict[str, Any]:
    """An error as a JSON object: every public fact that it carries."""
    facts = {
        "type": type(error).__name__,
        "exit_code": int(code),
        "text": " ".join(t for _, t in _message(error)),
    }
    carried = vars(error) if isinstance(error, SafeH5Error) else {}
    plain = (str, int, float, bool, type(None))
    return facts | {k: v for k, v in carried.items() if not k.startswith("_") and isinstance(v, plain)}


def _forget_output() -> None:
    """Let the interpreter's last flush go nowhere instead of to a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
