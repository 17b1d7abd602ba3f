"""Nothing that a workload does to its directory goes past the recorder: the kernel's own list is the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from safeh5.storage.children import environment
from safeh5.testing.states.events import Kind, read_trace
from safeh5.testing.states.workload import wait_for_children

CALLS = {
    "write": Kind.WRITE, "writev": Kind.WRITE, "pwrite64": Kind.WRITE, "pwritev": Kind.WRITE,
    "ftruncate": Kind.TRUNCATE, "truncate": Kind.TRUNCATE, "fallocate": Kind.TRUNCATE,
    "fsync": Kind.SYNC, "fdatasync": Kind.SYNC, "sync_file_range": Kind.SYNC,
    "rename": Kind.RENAME, "renameat": Kind.RENAME, "renameat2": Kind.RENAME,
    "link": Kind.LINK, "linkat": Kind.LINK, "symlink": Kind.LINK, "symlinkat": Kind.LINK,
    "mkdir": Kind.MKDIR, "mkdirat": Kind.MKDIR, "rmdir": Kind.RMDIR,
    "unlink": Kind.UNLINK, "unlinkat": Kind.UNLINK,
    "chmod": Kind.FACTS, "fchmod": Kind.FACTS, "fchmodat": Kind.FACTS, "utimensat": Kind.FACTS,
    "chown": Kind.FACTS, "fchown": Kind.FACTS, "fchownat": Kind.FACTS,
    "setxattr": Kind.FACTS, "fsetxattr": Kind.FACTS, "removexattr": Kind.FACTS,
}  # fmt: skip
OTHERS = ("sendfile", "splice", "pwritev2", "mmap", "io_uring_enter", "creat", "openat", "open")
TIMED_OUT = 170


def traced(name: str, directory: Path) -> tuple[Path, list[str]]:
    """Run a life of a workload recorded, below strace; returns the trace and strace's lines."""
    root, trace, said = directory / "data", directory / "trace", directory / "strace"
    root.mkdir()
    trace.touch()
    life = [sys.executable, "-P", "-m", "safeh5.testing.states.life", str(root), str(trace), "0"]
    names = ",".join(f"?{call}" for call in (*CALLS, *OTHERS))
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-s0",
            "-esignal=none",
            f"-etrace={names}",
            f"-o{said}",
            *life,
            "workload",
            name,
        ],
        cwd=root,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=TIMED_OUT,
    )
    wait_for_children(trace)
    return trace, [
        line for line in whole_lines(said.read_text()) if str(root) in line and "= -1 " not in line
    ]


def whole_lines(text: str) -> list[str]:
    """Lines of strace, with calls put together again that another thread's came in between of."""
    begun: dict[str, str] = {}
    found = []
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.strip().removesuffix("<unfinished ...>")
        elif match := re.match(r"\s*<\.\.\. \w+ resumed>(.*)", rest):
            found.append(begun.pop(pid) + match[1])
        else:
            found.append(rest.strip())
    return found


def effects_of(lines: list[str], root: str) -> Counter[tuple[Kind, str, int]]:
    """Kind, name and bytes of each system call that changes the directory."""
    found: Counter[tuple[Kind, str, int]] = Counter()
    for line in lines:
        call = line.partition("(")[0]
        if call in OTHERS:
            harmless = call == "mmap" and ("PROT_WRITE" not in line or "MAP_PRIVATE" in line)
            opening = call in ("open", "openat") and "O_TRUNC" not in line
            assert harmless or opening, f"not recorded: {line}"
            continue
        path = re.search(re.escape(root) + r'/?([^>"]*)', line)
        assert path is not None
        kind = Kind.RMDIR if "AT_REMOVEDIR" in line else CALLS[call]
        count = int(line.rpartition("= ")[2]) if kind is Kind.WRITE else 0
        found[kind, name_of(line, path[1]), count] += 1
    return found


def name_of(line: str, path: str) -> str:
    """The name that a call is about: some give the directory, and the name in it."""
    below = re.search(r'<[^>]*>, "([^"/]*)"', line)
    if below is not None:
        path = f"{path}/{below[1]}" if path else below[1]
    return path.removesuffix(" (deleted)").removesuffix("(deleted)").strip("/")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there")
@pytest.mark.parametrize("name", ["segments, flush", "roll back", "applier beside, stream"])
def test_every_system_call_that_changes_the_directory_is_recorded(name: str, tmp_path: Path) -> None:
    tmp_path = tmp_path.resolve()
    try:
        trace, lines = traced(name, tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("strace is not allowed to trace here")
    seen = effects_of(lines, str(tmp_path / "data"))
    noted = Counter(
        (event.kind, event.path, len(event.data))
        for event in read_trace(trace)
        if event.kind not in (Kind.MARK, Kind.CREATE)
    )
    assert sum(seen.values()) > 40
    assert {k[0] for k in seen} >= {Kind.WRITE, Kind.SYNC, Kind.RENAME, Kind.UNLINK, Kind.MKDIR, Kind.RMDIR}
    assert seen == noted
