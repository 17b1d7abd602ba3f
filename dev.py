#!/usr/bin/env python3
"""One command for each thing a developer (or a newcomer) does here.

    python3 dev.py demo         set up, then run the demonstration
    python3 dev.py test         set up, then run the tests (arguments go to pytest)
    python3 dev.py test-slow    set up, then run the slow tests only
    python3 dev.py coverage     the tests again, counting which branches of the core they take
    python3 dev.py fuzz MODE    set up, then run the fuzz harness, in one of its modes
    python3 dev.py bench NAME   set up, then run a benchmark: acquire, h5layer, long_run
    python3 dev.py peers        set up, then run h5py's own test suite on safeh5.File
    python3 dev.py packages     set up, then try real packages that write through h5py (--few: some)
    python3 dev.py lint         ruff: style, docstrings, order of imports
    python3 dev.py types        mypy, strict
    python3 dev.py contracts    import-linter and the architecture tests
    python3 dev.py docs         Sphinx, warnings are errors -> docs/_build/html
    python3 dev.py changelog    what the next release's notes would say
    python3 dev.py lowest       the tests with the oldest supported dependencies
    python3 dev.py ci           everything that CI runs
    python3 dev.py setup        only make or refresh the environment

Needs Python >= 3.11 and nothing else. The environment is `.venv` beside this
file; it is made when it is missing and refreshed when pyproject.toml or the
Python changed. Only what a command needs is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036 - said in words, not as a traceback
    raise SystemExit(f"dev.py: safeh5 needs Python 3.11 or newer, this is {sys.version.split()[0]}")

ROOT = Path(__file__).resolve().parent
PROJECT = ROOT / "pyproject.toml"
Arguments = list[str]


# --- the environment ----------------------------------------------------------


class Environment:
    """A virtual environment with this package installed, editable.

    Parameters
    ----------
    folder : str
        Name of its directory beside this file.
    pins : iterable of str
        Requirements that are installed together with the package.
    """

    def __init__(self, folder: str = ".venv", pins: Iterable[str] = ()) -> None:
        self.path = ROOT / folder
        self.pins = list(pins)
        self.stamp = self.path / "safeh5-stamp.json"
        self.bin = self.path / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return str(self.bin / ("python.exe" if os.name == "nt" else "python"))

    def ensure(self, *extras: str) -> Environment:
        """Make or refresh the environment so that it has `extras`; cheap when it has."""
        state = self._read_stamp()
        if state.get("python") != sys.version or state.get("root") != str(ROOT):
            self._create()
            state = {}
        fresh = state.get("project") == self._fingerprint()
        have = set(state.get("extras", []))
        if not fresh or not have.issuperset(extras):
            self._install(sorted(have.union(extras)))
        return self

    def run(self, *arguments: str) -> int:
        """Run ``python -m arguments`` in the environment; its exit code."""
        return self.script(self.python, "-m", *arguments)

    def script(self, name: str, *arguments: str) -> int:
        """Run a program of the environment, by name; its exit code."""
        environ = dict(os.environ, PATH=f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}")
        environ.pop("PYTHONHOME", None)
        command = [str(self.bin / name), *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode

    def _fingerprint(self) -> str:
        return hashlib.sha256(PROJECT.read_bytes() + "\n".join(self.pins).encode()).hexdigest()

    def _read_stamp(self) -> dict[str, Any]:
        try:
            state = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and Path(self.python).exists() else {}

    def _create(self) -> None:
        say(f"making {self.path.relative_to(ROOT)} with Python {sys.version.split()[0]}")
        shutil.rmtree(self.path, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(self.path)], cwd=ROOT, check=False)
        if made.returncode:
            shutil.rmtree(self.path, ignore_errors=True)
            raise SystemExit(
                "dev.py: this Python cannot make virtual environments; "
                "on Debian and Ubuntu: apt-get install python3-venv"
            )

    def _install(self, extras: list[str]) -> None:
        say(f"installing safeh5[{','.join(extras)}] into {self.path.relative_to(ROOT)}")
        # No stamp while pip works: an interrupted installation is done again.
        self.stamp.unlink(missing_ok=True)
        what = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
        pip = ["pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
        if self.run(*pip, "--editable", what, *self.pins):
            raise SystemExit("dev.py: pip could not install safeh5; see its message above")
        state = {
            "python": sys.version,
            "root": str(ROOT),
            "project": self._fingerprint(),
            "extras": extras,
        }
        self.stamp.write_text(json.dumps(state), encoding="utf-8")


def say(text: str) -> None:
    """One line for people, apart from the output of what is run."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


# --- the commands -------------------------------------------------------------


def setup(arguments: Arguments) -> int:
    """Make or refresh the environment with everything in it."""
    Environment().ensure("test", "dev", "docs")
    return 0


def demo(arguments: Arguments) -> int:
    """Run the demonstration."""
    return Environment().ensure().run("safeh5", "demo", *arguments)


def pytest(environment: Environment, marks: str, arguments: Arguments) -> int:
    """Run pytest on all cores; 0 when `marks` select nothing at all."""
    workers = [] if any(a.startswith("-n") for a in arguments) else ["-n", "auto", "--dist", "worksteal"]
    chosen = [] if "-m" in arguments else ["-m", marks]
    code = environment.run("pytest", *workers, *chosen, *arguments)
    return 0 if code == 5 and not arguments else code


def test(arguments: Arguments) -> int:
    """Run the tests but for the slow ones."""
    return pytest(Environment().ensure("test"), "not slow", arguments)


def test_slow(arguments: Arguments) -> int:
    """Run the slow tests."""
    return pytest(Environment().ensure("test"), "slow", arguments)


MEASURED = (
    "recovery",
    "journal",
    "storage",
    "session",
    "cli",
    "crash",
    "disk",
    "live",
    "verify",
    "h5",
    "fuzz/test_fuzz.py",
)
"""The tests that `coverage` runs: those of the code that commits, checkpoints and recovers."""


def coverage(arguments: Arguments) -> int:
    """Run the tests of the core; every branch is taken, or excused in tests/coverage-exceptions.toml."""
    environment = Environment().ensure("test", "coverage")
    data = ROOT / "build" / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    chosen = arguments or [f"tests/{name}" for name in MEASURED]
    # Measuring makes the long loops of some tests three times as long.
    options = ("-q", "-m", "not slow and not timed", "--timeout", "600")
    code = environment.run("coverage", "run", "-m", "pytest", *options, *chosen)
    code = environment.run("coverage", "combine", "--quiet") or code
    code = environment.run("coverage", "json", "--quiet", "-o", str(data / "report.json")) or code
    gate = [str(ROOT / "tests" / "coverage_gate.py"), str(data / "report.json")]
    return environment.script(environment.python, *gate) or code


def fuzz(arguments: Arguments) -> int:
    """Run the fuzz harness."""
    return Environment().ensure("test").run("fuzz", *arguments)


def bench(arguments: Arguments) -> int:
    """Run a benchmark of the directory bench."""
    if not arguments or not (ROOT / "bench" / f"{arguments[0]}.py").exists():
        say("which? acquire, h5layer or long_run; -h behind it says more")
        return 2
    return Environment().ensure().run(f"bench.{arguments[0]}", *arguments[1:])


def peers(arguments: Arguments) -> int:
    """Run h5py's own test suite on `safeh5.File`."""
    return Environment().ensure("test").run("peers", *arguments)


def packages(arguments: Arguments) -> int:
    """Let real packages write through `safeh5.File`, and kill them."""
    if arguments[:1] == ["--few"]:
        # Scenarios of packages that are not there are skipped.
        environment, arguments = Environment().ensure("test", "peers-few"), arguments[1:]
    else:
        environment = Environment().ensure("test", "peers")
        own_environments()
    return pytest(environment, "not slow", arguments or ["tests/peers/test_packages.py"])


def own_environments() -> None:
    """Make the environments of packages that do not go together with the newest NumPy or h5py."""
    import tomllib

    wanted = tomllib.loads((ROOT / "peers" / "environments.toml").read_text(encoding="utf-8"))
    for name, what in wanted.items():
        try:
            Environment(f"build/venv-{name}", what["requirements"]).ensure()
        except SystemExit as error:
            say(f"{error}; the scenarios that need build/venv-{name} are skipped")


def lint(arguments: Arguments) -> int:
    """Run ruff."""
    return Environment().ensure("dev").run("ruff", "check", *(arguments or ["."]))


def types(arguments: Arguments) -> int:
    """Run mypy."""
    return Environment().ensure("dev", "test").run("mypy", *arguments)


def contracts(arguments: Arguments) -> int:
    """Run import-linter and the architecture tests."""
    environment = Environment().ensure("dev", "test")
    layers = environment.script("lint-imports", "--no-logo", *arguments)
    return environment.run("pytest", "-q", "tests/architecture") or layers


def docs(arguments: Arguments) -> int:
    """Build the documentation; a warning is an error."""
    options = ["--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", *arguments]
    code = Environment().ensure("docs").run("sphinx", "-b", "html", *options, "docs", "docs/_build/html")
    say("the documentation does not build" if code else "docs/_build/html/index.html")
    return code


def changelog(arguments: Arguments) -> int:
    """Show the notes of the next release."""
    return Environment().ensure("dev").run("towncrier", "build", "--draft", *arguments)


def lowest(arguments: Arguments) -> int:
    """Run the tests with the lower bound of every dependency."""
    import tomllib

    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    bounds = [*project["dependencies"], *extras["filters"], *extras["testing"]]
    environment = Environment("build/venv-lowest", [bound.replace(">=", "==") for bound in bounds])
    return pytest(environment.ensure("test"), "not slow", arguments)


def ci(arguments: Arguments) -> int:
    """Run what CI runs."""
    bash = shutil.which("bash")
    if bash is None:
        raise SystemExit("dev.py: ci needs bash")
    return subprocess.run([bash, str(ROOT / ".ci" / "run"), *arguments], cwd=ROOT, check=False).returncode


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "demo": demo,
    "test": test,
    "test-slow": test_slow,
    "coverage": coverage,
    "fuzz": fuzz,
    "bench": bench,
    "peers": peers,
    "packages": packages,
    "lint": lint,
    "types": types,
    "contracts": contracts,
    "docs": docs,
    "changelog": changelog,
    "lowest": lowest,
    "ci": ci,
    "setup": setup,
}


def main(arguments: Arguments) -> int:
    """Run one command; its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print((__doc__ or "").strip())
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        say(f"there is no command {arguments[0]!r}; these are: {', '.join(COMMANDS)}")
        return 2
    return COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
