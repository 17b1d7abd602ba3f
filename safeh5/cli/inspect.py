"""``safeh5 inspect``: what stands in a journal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text
from rich.tree import Tree

from safeh5.cli.exits import Exit
from safeh5.cli.journal_rows import Journal, Row, find_journal, iso, operation_name, rows
from safeh5.cli.journal_tree import JournalTree, Node
from safeh5.cli.outcome import outcome
from safeh5.cli.text import console, facts, number, say, size, table, torn_end


@dataclass(frozen=True, slots=True)
class Contents:
    """A journal, its last rows, and the tree if it was asked for."""

    journal: Journal
    rows: list[Row]
    omitted: int
    tree: JournalTree | None


def inspect(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="An HDF5 file, a sidecar, or a journal segment.")
    ],
    tree: Annotated[
        bool, typer.Option("--tree", help="Show the objects that the records make and change.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Show the last so many records; 0 shows all.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Show a journal: segments, records, sizes, times. Changes nothing."""
    with outcome(json) as result:
        contents = _read(find_journal(path), limit, tree)
        damaged = bool(contents.journal.scan.damage)
        result.add(_to_dict(contents), Exit.DAMAGED if damaged else Exit.DONE)
        if not json:
            _show(contents)


def _read(journal: Journal, limit: int, with_tree: bool) -> Contents:
    kept: deque[Row] = deque(maxlen=limit or None)
    tree, seen = JournalTree() if with_tree else None, 0
    for row in rows(journal):
        seen += 1
        kept.append(row)
        if tree is not None and not row.state:
            operation = row.operation
            if operation is not None:
                tree.take(operation, row.payload_bytes)
    return Contents(journal, list(kept), seen - len(kept), tree)


def _to_dict(contents: Contents) -> dict[str, Any]:
    scan = contents.journal.scan
    return {
        "directory": contents.journal.directory,
        "session_id": scan.session_id.hex(),
        "began": iso(scan.created),
        "last_activity": iso(scan.modified),
        "frames": scan.frames,
        "records": scan.records,
        "bytes": scan.record_bytes,
        "last_lsn": scan.last_lsn,
        "durable_lsn": scan.durable_lsn,
        "segments": [
            {
                "number": s.number,
                "path": s.path,
                "size": s.size,
                "valid_length": s.valid_length,
                "last_lsn": s.last_lsn,
            }
            for s in scan.segments
        ],
        "torn": msgspec.to_builtins(scan.torn),
        "damage": msgspec.to_builtins(scan.damage),
        "listed": [row.to_dict() for row in contents.rows],
        "omitted": contents.omitted,
        "tree": None if contents.tree is None else contents.tree.to_list(),
    }


# --- text -------------------------------------------------------------------------


def _show(contents: Contents) -> None:
    scan = contents.journal.scan
    say(Text(contents.journal.directory, "bold"))
    torn = scan.torn
    facts(
        [
            ("session", scan.session_id.hex()),
            ("began", iso(scan.created)),
            ("last record", iso(scan.modified)),
            (
                "frames",
                f"{number(scan.frames, 'frame')} up to LSN {scan.last_lsn}, on disk up to {scan.durable_lsn}",
            ),
            ("records", f"{number(scan.records, 'acknowledged record')}, {size(scan.record_bytes)}"),
            ("torn end", torn_end(torn.size, torn.segment, torn.offset) if torn else None),
            *(("damage", f"{d.path}, offset {d.offset}, LSN {d.lsn}: {d.cause}") for d in scan.damage),
        ]
    )
    say()
    _show_segments(contents)
    say()
    _show_rows(contents)
    if contents.tree is not None:
        say()
        console().print(_drawn(contents.tree.nodes))


def _show_segments(contents: Contents) -> None:
    lines = (
        (str(s.number), Path(s.path).name, size(s.size), size(s.valid_length), str(s.last_lsn))
        for s in contents.journal.scan.segments
    )
    table(("segment", "file", "size", "valid", "last LSN"), lines, right=frozenset({0, 2, 3, 4}))


def _show_rows(contents: Contents) -> None:
    head = ("LSN", "time", "segment", "offset", "batch", "kind", "object", "detail", "payload", "")
    table(head, map(_cells, contents.rows), right=frozenset({0, 2, 3, 4, 8}))
    if contents.omitted:
        say(Text(f"{number(contents.omitted, 'earlier frame')} not shown; --limit 0 shows all", "dim"))


def _cells(row: Row) -> tuple[str, ...]:
    operation = row.operation
    return (
        str(row.lsn),
        row.time or "",
        str(row.segment),
        str(row.offset),
        str(row.batch or ""),
        row.kind if operation is None else operation_name(operation),
        "" if operation is None else operation.path,
        row.detail(operation),
        size(row.payload_bytes) if row.payload_bytes else "",
        row.state,
    )


def _drawn(nodes: dict[str, Node]) -> Tree:
    """The nodes as a tree; groups that no record is about are there for their names only."""
    root = Tree(_label("/", nodes.get("/")))
    branches = {"": root}
    for path in sorted(nodes):
        steps = [step for step in path.split("/") if step]
        for depth in range(1, len(steps) + 1):
            place = "/".join(steps[:depth])
            if place not in branches:
                parent = branches["/".join(steps[: depth - 1])]
                branches[place] = parent.add(_label(steps[depth - 1], nodes.get("/" + place)))
    return root


def _label(name: str, node: Node | None) -> Text:
    if node is None:
        return Text(name)
    words = [node.kind, node.about, "" if node.shape is None else " x ".join(map(str, node.shape))]
    words.append(f"({number(node.records, 'record')}, {size(node.bytes)})")
    if node.attributes:
        words.append(number(len(node.attributes), "attribute"))
    return Text.assemble((name, "bold"), "  ", (" ".join(word for word in words if word), "dim"))
