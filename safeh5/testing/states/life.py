"""One recorded process: ``python -m safeh5.testing.states.life ROOT TRACE NUMBER WHAT...``.

WHAT is ``workload NAME`` for life NUMBER of a built-in workload, ``script FILE
ARGUMENTS...`` for a user's script, run as Python would, or ``module NAME`` for a
process that a recorded one starts, ARGUMENTS behind it.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import traceback
from contextlib import AbstractContextManager

from safeh5.session import beside
from safeh5.storage.children import python_module
from safeh5.testing.states.promises import promises
from safeh5.testing.states.recorder import Recorder, recording

_for_good: list[AbstractContextManager[object]] = []


def main(root: str, trace: str, number: str, what: str, name: str, *arguments: str) -> None:
    """Record what is asked for."""
    recorder = Recorder(root, trace)
    os.register_at_fork(after_in_child=recorder.after_fork)

    def recorded(module: str) -> list[str]:
        return [*python_module("safeh5.testing.states.life"), root, trace, number, "module", module]

    # The applier beside a session writes too.
    beside.python_module = recorded  # type: ignore[attr-defined]
    # Not as `with` blocks: what runs when the interpreter ends (sessions are sealed then) is recorded too.
    _for_good.extend([recording(recorder), promises(recorder)])
    for block in _for_good:
        block.__enter__()
    if what == "workload":
        from safeh5.testing.states.workloads import LIVES

        LIVES[name][int(number)]()
    elif what == "module":
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        _run_script(name, list(arguments))


def _run_script(path: str, arguments: list[str]) -> None:
    """As ``python FILE ARGUMENTS...`` does: its directory comes first among those of modules."""
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        runpy.run_path(path, run_name="__main__")
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next  # what is ours, and Python's
        traceback.print_exception(error.with_traceback(trace))
        sys.exit(1)


if __name__ == "__main__":
    importlib.import_module("safeh5")
    main(*sys.argv[1:])
