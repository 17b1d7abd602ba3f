"""``safeh5 recover``: finish or undo an interrupted session."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from safeh5.cli.exits import of_recovery
from safeh5.cli.outcome import Outcome, outcome
from safeh5.cli.progress import shown_progress
from safeh5.cli.status import is_sidecar
from safeh5.cli.text import facts, number, say, size, torn_end
from safeh5.errors import InvalidOptionError
from safeh5.options import VerifyLevel
from safeh5.recovery import Action, Loss, RecoveryReport
from safeh5.recovery import recover as carry_out

QUESTIONS = {
    Action.ROLLBACK: "Give up what the session of {path} wrote? The journal is kept aside.",
    Action.SALVAGE: "Commit what is whole of the damaged session of {path}, without what is lost?",
}
PURGE_QUESTION = "Delete the journal of {path} for good? What it holds cannot be brought back."


def recover(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="HDF5 files or sidecars.")],
    replay: Annotated[
        bool, typer.Option("--replay", help="Apply what was acknowledged and commit (the default).")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Leave the target as it was; keep the journal aside.")
    ] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Go past damage, commit what is whole, list every loss.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Build the result there; leave target and journal alone."),
    ] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="With --rollback: delete the journal for good.")
    ] = False,
    verify: Annotated[
        VerifyLevel,
        typer.Option(help="How much of the new file to read again before it replaces the target."),
    ] = VerifyLevel.NONE,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait for a live writer to end.")] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Finish an interrupted session, or undo it. May be killed, and run again."""
    with outcome(json) as result:
        action = _action(replay, rollback, salvage)
        _check_options(paths, action, output, purge, yes or dry_run)
        for path in paths:
            with result.attempt():
                if path.is_dir() and not is_sidecar(path):
                    raise InvalidOptionError(
                        "this is a directory",
                        path=path,
                        hint="See what waits in it with: " + shlex.join(["safeh5", "status", str(path)]),
                    )
                if not (yes or dry_run):
                    _ask(path, action, purge)
                with shown_progress() as progress:
                    report = carry_out(
                        path,
                        action,
                        output=output,
                        dry_run=dry_run,
                        purge=purge,
                        verify=verify,
                        lock_timeout=wait,
                        progress=progress,
                    )
                _tell(report, result)


def _action(replay: bool, rollback: bool, salvage: bool) -> Action:
    chosen = [action for action, wanted in zip(Action, (replay, rollback, salvage), strict=True) if wanted]
    if len(chosen) > 1:
        raise InvalidOptionError("choose one of --replay, --rollback and --salvage")
    return chosen[0] if chosen else Action.REPLAY


def _check_options(paths: list[Path], action: Action, output: Path | None, purge: bool, sure: bool) -> None:
    if purge and action is not Action.ROLLBACK:
        raise InvalidOptionError("--purge goes with --rollback only")
    if output is not None and len(paths) > 1:
        raise InvalidOptionError("--output goes with one PATH only")
    if purge and not sure and not _at_terminal():
        raise InvalidOptionError(
            "--purge deletes acknowledged data: without a terminal to ask, it needs --yes"
        )


def _ask(path: Path, action: Action, purge: bool) -> None:
    """Ask before what cannot be undone, where there is somebody to ask."""
    question = PURGE_QUESTION if purge else QUESTIONS.get(action)
    if question is not None and _at_terminal():
        typer.confirm(question.format(path=path), abort=True, err=True)


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _tell(report: RecoveryReport, result: Outcome) -> None:
    result.add(report.to_dict(), of_recovery(report))
    if not result.as_json:
        show(report)


def show(report: RecoveryReport) -> None:
    """Print one report."""
    say(
        Text.assemble(
            (_headline(report), "bold yellow" if report.losses else "bold green"), " ", report.target
        )
    )
    if report.dry_run:
        for step in report.plan:
            say(f"    - {step}")
    applied = f"{number(report.records, 'record')}, {size(report.bytes)}"
    torn, unfinished = report.torn, report.unfinished
    facts(
        [
            ("found", report.before.value),
            (_counted(report), applied if report.records else None),
            ("result", report.result),
            ("torn end", torn_end(torn.bytes, torn.segment, torn.offset) if torn else None),
            ("unfinished", f"batch {unfinished.batch}: never acknowledged, left out" if unfinished else None),
            *(("damage", f"{d.path}, offset {d.offset}, LSN {d.lsn}: {d.cause}") for d in report.damage),
            *(("lost", _loss(loss)) for loss in report.losses),
            *(("kept aside", path) for path in report.kept_aside),
            *(("note", warning) for warning in report.warnings),
            ("took", None if report.dry_run else f"{report.seconds:.1f} s"),
        ]
    )


def _headline(report: RecoveryReport) -> str:
    if not report.plan:
        return "nothing to do:"
    if report.dry_run:
        return f"would {report.action.value}:"
    if report.result not in (None, report.target):
        return "built into another file, the session of:"
    done = {Action.REPLAY: "recovered:", Action.ROLLBACK: "rolled back:", Action.SALVAGE: "salvaged:"}
    return done[report.action]


def _counted(report: RecoveryReport) -> str:
    """What the number of records is."""
    if report.dry_run and report.damage:
        return "whole up to the damage"  # what is whole behind it, only a salvage finds out
    return "would apply" if report.dry_run else "applied"


def _loss(loss: Loss) -> str:
    place = "" if loss.dataset is None else f"{loss.dataset}: "
    if loss.first_lsn is None:
        return place + loss.what
    last = "" if loss.last_lsn in (None, loss.first_lsn) else f" to {loss.last_lsn}"
    return f"{place}{loss.what} (LSN {loss.first_lsn}{last})"
