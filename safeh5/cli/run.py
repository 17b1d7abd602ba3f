"""``safeh5 run``: a Python program whose HDF5 files survive it."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import CodeType
from typing import Annotated, NoReturn

import typer

from safeh5.cli.exits import Exit
from safeh5.cli.outcome import Outcome
from safeh5.errors import TargetNotFoundError
from safeh5.events import logger
from safeh5.h5.installing import install
from safeh5.options import Durability, OnError, VerifyLevel
from safeh5.recovery import Action


def run(
    context: typer.Context,
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="A script; with -m, a module.")],
    module: Annotated[bool, typer.Option("-m", help="PROGRAM is a module, as for python -m.")] = False,
    durability: Annotated[
        Durability, typer.Option(help="When a call that changes a file returns.")
    ] = Durability.INTERVAL,
    on_error: Annotated[
        OnError, typer.Option(help="What an exception in a with block does.")
    ] = OnError.SUSPEND,
    verify: Annotated[
        VerifyLevel, typer.Option(help="How much of a new file is read again before commit.")
    ] = VerifyLevel.NONE,
    recover: Annotated[
        Action | None, typer.Option(help="Finish or undo interrupted sessions of files that it opens.")
    ] = None,
    lock_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wait so long for another writer.")
    ] = 0.0,
) -> None:
    """Run a Python program with safeh5.File in the place of h5py.File.

    What stands behind PROGRAM is the program's.
    """
    try:
        load, main = _of_module(program) if module else _of_script(program)
    except TargetNotFoundError as error:
        result = Outcome()
        result.fail(error)
        raise typer.Exit(result.code) from error
    logger.setLevel(logging.WARNING)  # what is printed is the program's
    sys.argv = [str(main.__file__) if module else program, *context.args]
    sys.modules["__main__"] = main
    install(
        durability=durability, on_error=on_error, verify=verify, recover=recover, lock_timeout=lock_timeout
    )
    try:
        exec(load(), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        _end_as_python_does(error)


Load = Callable[[], CodeType]


def _of_script(path: str) -> tuple[Load, types.ModuleType]:
    """The code of a script, and the ``__main__`` that Python would run it in."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise TargetNotFoundError(f"the program cannot be read: {error.strerror}", path=path) from error
    main = types.ModuleType("__main__")
    main.__file__ = os.path.abspath(path)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    return lambda: compile(source, str(main.__file__), "exec", dont_inherit=True), main


def _of_module(name: str) -> tuple[Load, types.ModuleType]:
    """The code of a module, or of a package's ``__main__``, and what it runs in."""
    sys.path[0] = os.getcwd()
    spec = _spec(name)
    if spec is None or spec.loader is None or not hasattr(spec.loader, "get_code"):
        raise TargetNotFoundError(f"there is no module {name} to run")
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__, main.__package__ = spec.origin, spec, spec.parent
    main.__loader__ = spec.loader
    get_code = spec.loader.get_code
    return lambda: get_code(spec.name), main


def _spec(name: str) -> ModuleSpec | None:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError):
        return None
    return spec


def _end_as_python_does(error: BaseException) -> NoReturn:
    """Show the program's traceback, without the frames above it, and end with Python's exit code.

    What is noted in `sys` is what Python notes; by it the files that are open
    know at the end that the program has failed.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error, trace)
    raise SystemExit(Exit.KILLED if isinstance(error, KeyboardInterrupt) else Exit.FAILED)
