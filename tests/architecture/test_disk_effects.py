"""Every disk effect of the core goes through storage (rule ``disk_effects``).

A fault can only be injected, and an ordering of writes and fsyncs only be
checked, where effects pass through one place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Source, allowed, argument, modules, within

HOME = ("safeh5.storage",)
NOT_CORE = ("safeh5.testing", "safeh5.demo", "safeh5.cli")

OS_EFFECT = re.compile(
    r"os\.(open|fdopen|p?writev?|fsync|fdatasync|sync|f?truncate|posix_fallocate|copy_file_range|sendfile"
    r"|renames?|replace|unlink|remove|rmdir|removedirs|mkdir|makedirs|link|symlink|mkfifo|mknod"
    r"|[fl]?chmod|[fl]?chown|utime|setxattr|removexattr)"
)
MODULES_OF_EFFECTS = ("shutil.", "tempfile.", "mmap.", "fcntl.", "filelock.")
HARMLESS = {"shutil.get_terminal_size", "shutil.which", "shutil.disk_usage", "tempfile.gettempdir"}
PATH_EFFECTS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "rmdir"}


def effects(source: Source) -> Iterator[str]:
    """Every call in `source` that changes what is on a disk."""
    for name, call in source.calls():
        if OS_EFFECT.fullmatch(name) or (name.startswith(MODULES_OF_EFFECTS) and name not in HARMLESS):
            yield f"line {call.lineno}: {name}"
        if name in ("open", "io.open", "builtins.open") and _writes(call):
            yield f"line {call.lineno}: open for writing"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _method(node) in PATH_EFFECTS:
            yield f"line {node.lineno}: .{_method(node)}()"


def _method(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else None


def _writes(call: ast.Call) -> bool:
    mode = argument(call, 1, "mode") or ast.Constant("r")
    return not (isinstance(mode, ast.Constant) and mode.value in ("r", "rb", "rt"))


@pytest.mark.parametrize("source", modules(), ids=lambda source: source.name)
def test_disk_effects_go_through_storage(source: Source) -> None:
    if within(source.name, HOME + NOT_CORE):
        return
    found = list(effects(source))
    reason = allowed("disk_effects").get(source.name)
    if reason is None:
        assert not found, f"{source.name} reaches the disk beside safeh5.storage: {found}"
    else:
        assert found, f"{source.name} needs no exception any more ({reason}); take it off the list"


def test_every_exception_names_a_module_that_exists() -> None:
    assert set(allowed("disk_effects")) <= {source.name for source in modules()}


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.rename(a, b)",
        "from os import replace as swap\nswap(a, b)",
        "import shutil\nshutil.rmtree(p)",
        "import tempfile\ntempfile.mkdtemp()",
        "open(p, 'w')",
        "open(p, mode)",
        "from pathlib import Path\nPath(p).write_text('x')",
        "import os\nos.fsync(3)",
    ],
)
def test_an_effect_beside_storage_is_found(text: str) -> None:
    assert list(effects(Source.of(text)))


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.path.realpath(p)",
        "open(p)",
        "open(p, 'rb')",
        "text.replace('a', 'b')",
        "storage.rename(a, b)",
    ],
)
def test_what_does_not_reach_the_disk_is_no_effect(text: str) -> None:
    assert not list(effects(Source.of(text)))
