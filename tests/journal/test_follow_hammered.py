"""Following a journal that is written as fast as it goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safeh5.errors import JournalGoneError
from safeh5.journal import JournalWriter, Kind
from safeh5.journal.follow import Follower
from safeh5.journal.format import encode_meta
from safeh5.options import JournalOptions
from tests.journal.building import (
    SESSION_ID,
    STORAGE,
    scan_of,
)

ROOT = Path(__file__).parents[2]


def follow(directory: Path, after: int = 0, **options: object) -> Follower:
    return Follower(STORAGE, directory, SESSION_ID, after, **options)  # type: ignore[arg-type]


# --- a writer that hammers ------------------------------------------------------------------------

WRITER = """
import os, random, sys, time
from pathlib import Path
from safeh5.journal import Kind
from safeh5.journal.format import encode_meta
from tests.journal.building import anchor, begin, resume
directory, seed, records = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
open_ = resume if directory.exists() else begin
writer = open_(directory, segment_bytes=60_000)
number = first = since = int(sys.argv[4])
while number < first + records:
    batch, size = writer.last_batch + 1, rng.choice([1, 1, 1, 3, 10])
    kept = rng.random() > 0.1
    for n in range(size):
        payload = number.to_bytes(8, "little") if kept else bytes([255]) * 8
        payload += time.time_ns().to_bytes(8, "little") + rng.randbytes(rng.choice([0, 10, 1000, 20_000]))
        writer.append(Kind.OPERATION, encode_meta(op="write"), payload, batch=batch, whole=size == 1 and kept)
        number += kept
        if rng.random() < 0.1:
            writer.sync()
    if kept and size > 1:
        writer.end_batch(batch)
    elif not kept:
        writer.abort_batch(batch)
    if rng.random() < 0.7:
        durable = writer.sync()
        os.write(1, b"%d %d\\n" % (number, durable))
    if len(sys.argv) > 5 and number - since > 300:
        since = number
        writer.sync()
        sys.stdin.readline()   # the reader has passed
        anchor(writer)
writer.sync()
os.write(1, b"%d %d\\n" % (number, writer.durable_lsn))
"""


def hammer(directory: Path, seed: int, records: int, number: int, *more: str) -> subprocess.Popen[bytes]:
    """A process that writes so many records, numbered from `number` on."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(seed), str(records), str(number), *more],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.timed
def test_what_a_hammering_writer_acknowledges_is_seen_once_in_order_by_a_look_of_milliseconds(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "journal"
    follower, got, acknowledged, looks = follow(directory), [], 0, []
    for life in range(3):
        # The last one comes to its end; the others are killed in the middle.
        process, before = hammer(directory, life, 400 if life == 2 else 10**6, len(got)), len(got)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        pending = b""
        while process.poll() is None and (life == 2 or len(got) < before + 250):
            pending += process.stdout.read() or b""
            *lines, pending = pending.split(b"\n")
            begun = time.thread_time()
            try:
                got += [int.from_bytes(frame.payload[:8], "little") for frame in follower.advance()]
            except JournalGoneError:
                # It does not exist yet.
                continue
            for line in lines:
                acknowledged = int(line.split()[0])
                assert len(got) >= acknowledged, "acknowledged, and not seen by the next look"
            if lines:
                looks.append(time.thread_time() - begun)
        process.kill()
        process.wait()
        pending += process.stdout.read() or b""
        if lines := pending.split(b"\n")[:-1]:
            acknowledged = int(lines[-1].split()[0])
        got += [int.from_bytes(frame.payload[:8], "little") for frame in follower.advance()]
        assert len(got) >= acknowledged
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.close()
        with JournalWriter.resume(STORAGE, directory, scan_of(directory), JournalOptions()) as writer:
            writer.append(Kind.RESUME, encode_meta(purpose="recover"))
        got += [int.from_bytes(frame.payload[:8], "little") for frame in follower.advance()]
    assert got == list(range(len(got)))
    assert len(got) > 700
    # Processor time, which others on the machine do not take.
    assert sorted(looks)[len(looks) // 2] < 0.05


@pytest.mark.timed
def test_a_reader_that_keeps_up_sees_everything_of_a_journal_that_is_pruned(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    process = hammer(directory, 5, 1000, 0, "prune")
    assert process.stdin is not None
    follower, got, turns = follow(directory), [], 0
    while process.poll() is None:
        try:
            got += [int.from_bytes(frame.payload[:8], "little") for frame in follower.advance()]
        except JournalGoneError:
            continue
        if len(got) > 300 * (turns + 1):
            turns += 1
            os.write(process.stdin.fileno(), b"\n")
    got += [int.from_bytes(frame.payload[:8], "little") for frame in follower.advance()]
    assert got == list(range(len(got)))
    assert turns >= 2
    assert not scan_of(directory).is_complete
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
