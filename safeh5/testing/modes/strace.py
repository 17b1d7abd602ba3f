"""A process that is killed right before its Nth system call that may touch a disk, by strace's injection.

To be killed after one call is to be killed before the next, as far as the disk
is concerned; so all calls before which, and the end, are all places there are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from safeh5.storage.children import environment

_CALLS: Final = (
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "sync_file_range",
    "ftruncate", "truncate", "fallocate", "copy_file_range", "sendfile", "rename", "renameat",
    "renameat2", "unlink", "unlinkat", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat",
    "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "utimensat", "setxattr",
    "fsetxattr", "removexattr", "fremovexattr", "flock", "ioctl", "openat",
)  # fmt: skip
SET: Final = ",".join(f"?{name}" for name in _CALLS)
_LINE: Final = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)$")
_WORKING: Final = re.compile(r"AT_FDCWD<[^>]*>")
_RELATIVE: Final = re.compile(r'"[^/"]')
SECONDS: Final = 120.0


@cache
def is_usable() -> bool:
    """Whether strace is here, may trace (a container may forbid it) and really kills."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "-e", "inject=openat:signal=KILL", "sh", "-c", ":"],
        capture_output=True,
    )
    return tried.returncode == -signal.SIGKILL


def calls(command: Sequence[str], directory: Path, log: Path) -> tuple[list[str], int]:
    """Let a command live; returns by which of its calls it touched the directory, and its exit code.

    A call is ``"fsync:3"``, the third of its name: so strace counts when it injects.

    Parameters
    ----------
    command : sequence of str
        What to run, in `directory`.
    directory : Path
        What is watched, by its real path.
    log : Path
        Where strace may write.
    """
    code = _run(["--seccomp-bpf", "-y", "-s", "0", "-o", str(log), "-e", f"trace={SET}"], command, directory)
    first, counts, found = "", Counter[str](), list[str]()
    for line in log.read_text(errors="replace").splitlines():
        parsed = _LINE.match(line)
        if parsed is None:
            continue
        first = first or parsed["pid"]
        if parsed["pid"] != first:
            continue
        counts[parsed["call"]] += 1
        if _touches(parsed["call"], parsed["rest"], str(directory)):
            found.append(f"{parsed['call']}:{counts[parsed['call']]}")
    return found, code


def _touches(call: str, arguments: str, directory: str) -> bool:
    """Whether a call may change the directory: by a descriptor, an absolute path or a relative one."""
    if call == "openat" and "O_CREAT" not in arguments and "O_TRUNC" not in arguments:
        return False
    arguments = _WORKING.sub("", arguments)
    return directory in arguments or bool(_RELATIVE.match(arguments))


def kill_before(command: Sequence[str], directory: Path, call: str) -> bool:
    """Run a command and kill it right before one of the calls of `calls`; returns whether it was killed."""
    name, nth = call.split(":")
    # Not with --seccomp-bpf: strace 6.1 does not inject anything then.
    inject = f"inject={name}:signal=KILL:when={nth}"
    return _run(["-o", os.devnull, "-e", f"trace={name}", "-e", inject], command, directory) < 0


def _run(options: list[str], command: Sequence[str], directory: Path) -> int:
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        ["strace", "-f", "-qq", *options, *command],
        cwd=directory,
        env={**environment(), **fixed},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
    )
    return done.returncode
