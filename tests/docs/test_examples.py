"""What the README, the tutorial and the how-to guides show is what happens."""

from __future__ import annotations

import contextlib
import fnmatch
import io
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from safeh5.cli.app import app
from tests.architecture.sources import ROOT
from tests.docs.pages import DOCS, EXAMPLES, blocks

ALL_PAGES = [ROOT / "README.md", *sorted(DOCS.glob("[!_]*/*.md"))]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Processes that a page starts find the same safeh5, installed or not.
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    names: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for block in blocks(page):
        if block.mark.startswith("not run"):
            assert block.mark.removeprefix("not run: ").strip(), "say why"
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                # Empty lines in front, so that a traceback names the line of the page.
                source = "\n" * (block.line - 1) + block.text
                exec(compile(source, page.name, "exec"), names)
            printed = stream.getvalue()
        elif block.mark == "output":
            assert matches(printed, block.text), f"{page.name}:{block.line}: it printed\n{printed}"


def matches(printed: str, shown: str) -> bool:
    """Whether a page shows what was printed; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.rstrip().split("..."))
    return re.fullmatch(pattern, printed.rstrip(), re.S) is not None


def commands() -> Iterator[Any]:
    """Every call of safeh5 that a page shows."""
    for page in ALL_PAGES:
        for block in blocks(page):
            if block.language in ("console", "sh", "bash"):
                for line in block.text.splitlines():
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    if words[:1] == ["safeh5"]:
                        yield pytest.param(words[1:], id=f"{page.stem}: {' '.join(words)}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_that_a_page_shows_exists_with_its_options(words: list[str]) -> None:
    main = typer.main.get_command(app)
    command = main.commands[words[0]]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_the_steps_of_the_demo_are_those_that_its_page_shows(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["demo", "--frames", "10", "--dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    shown = next(block.text for block in blocks(DOCS / "tutorial" / "demo.md") if block.language == "text")
    happened, told = map(steps, (done.output, shown))
    assert len(happened) == len(told)
    for line, wanted in zip(happened, told, strict=True):
        assert fnmatch.fnmatchcase(line, wanted.replace("/tmp/safeh5-demo-x1y2z3/run.h5", "*/run.h5"))


def steps(text: str) -> list[str]:
    """The numbered lines."""
    return [line.rstrip() for line in text.splitlines() if re.match(r"\d+\. ", line)]
