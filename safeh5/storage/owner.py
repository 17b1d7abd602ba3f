"""Who writes: a page in the sidecar for people, never for decisions.

Whether a session lives is told by its lock alone. This page only lets a
message say "process 4711 on microscope-2, since ...", so a page that is
missing or damaged costs a few words and nothing else.
"""

from __future__ import annotations

import os
import platform as host_platform
import shlex
import socket
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from safeh5._version import __version__
from safeh5.storage.files import Storage, StrPath
from safeh5.storage.platform import boot_id

_LONGEST_COMMAND: Final = 500
_LONGEST_PAGE: Final = 64 * 1024


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that opened a session.

    Attributes
    ----------
    pid : int
        Process id, on `host`.
    host : str
        Name of the machine.
    boot_id : str
        Names the time since that machine last booted; empty where unknown.
    started : str
        When the session began, ISO 8601, UTC.
    command : str
        Command line of the process, quoted for a shell, shortened.
    python : str
        Version of Python.
    safeh5 : str
        Version of this package.
    """

    pid: int
    host: str = ""
    boot_id: str = ""
    started: str = ""
    command: str = ""
    python: str = ""
    safeh5: str = ""

    @classmethod
    def current(cls) -> Owner:
        """The owner that is this process, now."""
        return cls(
            pid=os.getpid(),
            host=_printable(socket.gethostname()),
            boot_id=boot_id(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            command=_printable(shlex.join(sys.orig_argv))[:_LONGEST_COMMAND],
            python=host_platform.python_version(),
            safeh5=__version__,
        )

    @classmethod
    def from_json(cls, data: bytes) -> Owner | None:
        """The owner that a page tells of; None when the page is damaged."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @classmethod
    def read(cls, storage: Storage, path: StrPath) -> Owner | None:
        """The owner that the page at `path` tells of; None when it is missing or damaged."""
        try:
            return cls.from_json(storage.read_bytes(path, _LONGEST_PAGE))
        except OSError:
            return None

    def to_json(self) -> bytes:
        """The page, for `Storage.write_new`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def describe(self) -> str:
        """The owner in words: ``process 4711 on lab-2 (python acquire.py) since 2031-05-06 07:08:09 UTC``."""
        words = [f"process {self.pid}"]
        if self.host:
            words.append(f"on {self.host}")
        if self.command:
            words.append(f"({self.command})")
        if self.started:
            words.append(f"since {_readable(self.started)}")
        return " ".join(words)

    @property
    def is_gone(self) -> bool:
        """Whether the process is known to have ended; another may have its number by now."""
        if self.host != _printable(socket.gethostname()):
            return False
        if self.boot_id != boot_id():
            return True
        if os.name == "nt":  # there os.kill ends the process it asks about
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            return False
        return False


def _readable(stamp: str) -> str:
    """An ISO time as people write it; as it is when it is none."""
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return stamp


def _printable(text: str) -> str:
    """`text` as valid Unicode on one line: arguments may hold any bytes."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else "?" for c in text)
