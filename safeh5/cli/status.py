"""``safeh5 status``: what is clean, live, interrupted, in doubt, damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from safeh5.cli.exits import of_status
from safeh5.cli.outcome import Outcome, outcome
from safeh5.cli.text import facts, number, say, size, torn_end
from safeh5.errors import TargetNotFoundError
from safeh5.recovery import Condition, StatusReport, TargetState, TornReport, UnfinishedBatch, status_tree
from safeh5.recovery import status as ask
from safeh5.storage import Names

STYLES = {
    Condition.CLEAN: "green",
    Condition.LIVE: "cyan",
    Condition.ROLLED_BACK: "blue",
    Condition.CORRUPT: "bold red",
    Condition.UNSUPPORTED: "red",
    Condition.FOREIGN: "red",
}


def status(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="HDF5 files, sidecars, or directories to search; default: here."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Say what is clean, live, interrupted, in doubt or damaged. Changes nothing."""
    with outcome(json) as result:
        for path in paths or [Path()]:
            with result.attempt():
                _status_of(path, result)


def _status_of(path: Path, result: Outcome) -> None:
    reports = list(_reports(path))
    for report in reports:
        code = of_status(report, os.path.lexists(report.target))
        result.add(report.to_dict(), code)
        if not result.as_json:
            show(report)
    if not reports and not result.as_json:
        say(f"No session of safeh5 in {path.resolve()}; nothing waits.")


def _reports(path: Path) -> Iterator[StatusReport]:
    """One report for a file or sidecar; for a directory, one for each target that has anything."""
    if path.is_dir() and not is_sidecar(path):
        yield from status_tree(path)
        return
    report = ask(path)
    if report.condition is Condition.CLEAN and not os.path.lexists(path) and not report.leftovers:
        raise TargetNotFoundError("there is neither a file nor a session of safeh5", path=path)
    yield report


def is_sidecar(path: Path) -> bool:
    """Whether a directory is the sidecar of a session, by its name."""
    return Names.of(path).sidecar == os.path.realpath(path)


def show(report: StatusReport) -> None:
    """Print one report."""
    where = report.sidecar if Names(report.target, report.sidecar).is_aside else report.target
    style = STYLES.get(report.condition, "yellow")
    say(Text.assemble((f"{report.condition.value:<15}", style), " ", (where, "bold")))
    say(f"    {report.detail}")
    facts(
        [
            ("waiting", _waiting(report)),
            ("target", _target(report)),
            ("writer", report.owner if report.condition is not Condition.LIVE else None),
            ("began", report.began),
            ("last record", report.last_activity),
            ("unfinished", _unfinished(report.unfinished)),
            ("torn end", _torn(report.torn)),
            *(("damage", f"{d.path}, offset {d.offset}, LSN {d.lsn}: {d.cause}") for d in report.damage[:10]),
            ("leftovers", ", ".join(report.leftovers) or None),
            ("next", report.command),
        ]
    )


def _waiting(report: StatusReport) -> str | None:
    if report.session_id is None:
        return None
    records = number(report.records, "acknowledged record")
    where = " before the damage" if report.damage else ""
    return f"{records}, {size(report.bytes)}{where} (on disk up to LSN {report.durable_lsn})"


def _target(report: StatusReport) -> str | None:
    return None if report.target_state is TargetState.UNKNOWN else report.target_state.value


def _unfinished(batch: UnfinishedBatch | None) -> str | None:
    if batch is None:
        return None
    records = number(batch.records, "record")
    return f"batch {batch.batch}, {records} from LSN {batch.first_lsn}: never acknowledged"


def _torn(torn: TornReport | None) -> str | None:
    return None if torn is None else torn_end(torn.bytes, torn.segment, torn.offset)
