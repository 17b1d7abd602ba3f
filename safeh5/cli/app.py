"""The command ``safeh5`` itself: its commands, its global options, its start."""

from __future__ import annotations

import logging
import os
import platform
import sys
from typing import Annotated

import typer

from safeh5.cli.commands import HELP, Commands
from safeh5.cli.outcome import DEBUG, Outcome
from safeh5.cli.text import say
from safeh5.events import logger

app = typer.Typer(
    name="safeh5",
    cls=Commands,
    help="HDF5 files that survive anything that happens to their writer.",
    epilog="Exit codes: 0 done or clean, 1 failed, 2 usage, 3 not found, 4 locked by a live writer, "
    "5 an interrupted session waits, 6 data lost or damaged, 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        import h5py

        import safeh5

        libraries = f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}"
        below = f"{libraries}, Python {platform.python_version()}"
        say(f"safeh5 {safeh5.__version__} ({below})")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks; {DEBUG}=1 does the same.")
    ] = False,
) -> None:
    """HDF5 files that survive anything that happens to their writer."""
    Outcome.tracebacks = debug or bool(os.environ.get(DEBUG))


def main() -> None:
    """Run the command line of this process and end it with the exit code."""
    _prepare_streams()
    app()


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no text; printing it must not fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("safeh5: %(message)s"))
    logger.addHandler(handler)
    # Where no bar can be drawn, the log tells what is being done.
    logger.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
