"""The command line: ``python -m safeh5.testing MODE``.

Exit codes: 0, nothing was found; 1, something was; 2, the command was not
understood; 3, this machine lacks what the mode needs; 130, stopped by Ctrl-C
or SIGTERM (what was done until then is printed).
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import NoReturn

from safeh5.testing.harness import registry
from safeh5.testing.harness.corpus import kept
from safeh5.testing.harness.report import Report
from safeh5.testing.harness.settings import USUAL_SECONDS, Settings, UnavailableError, UsageError


class Exit(IntEnum):
    """What a shell script learns."""

    CLEAN = 0
    FOUND = 1
    USAGE = 2
    UNAVAILABLE = 3
    STOPPED = 130


def main(
    arguments: list[str] | None = None,
    program: str = "python -m safeh5.testing",
    corpus: Path = Path("safeh5-corpus"),
    besides: str = "",
) -> int:
    """Run one mode, or replay what was kept; returns the exit code.

    Parameters
    ----------
    arguments : list of str, optional
        The command line, else that of the process.
    program : str
        How the command is called.
    corpus : Path
        Where failures are kept if nothing else is said.
    besides : str
        What the program can do besides, for its help.
    """
    given = _parser(program, corpus, besides).parse_args(arguments)
    try:
        if given.mode == "replay":
            return _replay(given.files or kept(given.corpus))
        return _run(given, program)
    except UsageError as error:
        return _say(error, program, Exit.USAGE)
    except UnavailableError as error:
        return _say(error, program, Exit.UNAVAILABLE)


def _say(error: Exception, program: str, code: Exit) -> int:
    sys.stderr.write(f"{program}: {error}\n")
    return code


def _run(given: argparse.Namespace, program: str) -> int:
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    limited = given.seconds is not None or given.cases is not None or given.exhaustive
    seconds = given.seconds if limited else USUAL_SECONDS
    if given.workload is not None and not given.workload.is_file():
        there = "that is a directory" if given.workload.is_dir() else "there is no file"
        raise UsageError(f"--workload: {there}: {given.workload}")
    logging.getLogger("safeh5").setLevel(logging.CRITICAL + 1)
    settings = Settings(
        seed,
        seconds,
        given.cases,
        given.workload,
        given.corpus,
        given.exhaustive,
        given.first,
        not given.no_shrink,
        program,
        given.jobs,
        tuple(getattr(given, "only", ())),
        tuple(getattr(given, "file_systems", ())),
    )
    with _end_by_signal():
        report = registry.run(given.mode, settings)
    sys.stdout.write((report.to_json() if given.json else report.to_text()) + "\n")
    return _code(report)


def _code(report: Report) -> int:
    if report.failures:
        return Exit.FOUND
    return Exit.STOPPED if report.interrupted else Exit.CLEAN


def _replay(files: list[Path]) -> int:
    failed = 0
    for path in files:
        try:
            registry.replay(path)
        except (UsageError, UnavailableError, KeyboardInterrupt):
            raise
        except BaseException:
            traceback.print_exc()
            failed += 1
            sys.stdout.write(f"{path}: FAILED\n")
        else:
            sys.stdout.write(f"{path}: ok\n")
    return Exit.FOUND if failed else Exit.CLEAN


@contextmanager
def _end_by_signal() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: nothing is left mounted, and what was done is printed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # The second one must not disturb the tidying up.
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_ONLY = "of power-cuts, kills, full-disks and modes (default: all)"
_KINDS = "of ext4, xfs and btrfs (default: all that can be mounted)"


def _parser(program: str, corpus: Path, besides: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Try to break safeh5, or a program that writes with it.",
        epilog=besides
        + "Exit codes: 0 nothing found, 1 failures, 2 not understood, 3 not possible here, 130 Ctrl-C.",
    )
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")
    for name, summary in registry.MODES.items():
        mode = modes.add_parser(name, help=summary, description=summary + ".")
        mode.add_argument("--seconds", type=_positive, metavar="S", help="stop after so long (default: 60)")
        mode.add_argument("--cases", type=_count, metavar="N", help="stop after so many cases")
        mode.add_argument("--seed", type=int, metavar="X", help="what is tried depends on it alone")
        mode.add_argument("--json", action="store_true", help="the result as one JSON object")
        mode.add_argument("--exhaustive", action="store_true", help="everything that can be counted up, once")
        mode.add_argument("--first", action="store_true", help="stop at the first failure")
        mode.add_argument("--no-shrink", action="store_true", help="keep failures as large as they are")
        why_not = registry.WITHOUT_SCRIPTS.get(name)
        words = (
            f"not for this mode: {why_not}" if why_not else "a script of yours instead of what is built in"
        )
        mode.add_argument("--workload", type=Path, metavar="FILE.py", help=words)
        mode.add_argument("--jobs", type=_count, metavar="N", help="processes at a time (default: the cores)")
        _add_corpus(mode, corpus)
        if name == "soak":
            mode.add_argument("--only", type=_words, default=(), metavar="PART,...", help=_ONLY)
            mode.add_argument("--file-systems", type=_words, default=(), metavar="KIND,...", help=_KINDS)
        else:
            mode.add_argument("--only", nargs="+", default=[], metavar="NAME", help="built-in workloads")
    again = modes.add_parser("replay", help="Do kept failures again: the given ones, or all")
    again.add_argument("files", type=Path, nargs="*")
    _add_corpus(again, corpus)
    return parser


def _add_corpus(parser: argparse.ArgumentParser, corpus: Path) -> None:
    words = f"where failures are kept (default: {corpus.name})"
    parser.add_argument("--corpus", type=Path, default=corpus, metavar="DIR", help=words)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length of time in seconds")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of cases: at least 1")
    return int(text)
