"""Real packages write through `safeh5.File`; the file is plain h5py's, also when the writer was killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from pathlib import Path

import pytest

import safeh5
from peers.environments import python_of
from peers.scenarios import SCENARIOS, Scenario
from safeh5.testing.compare import differences

ROOT = Path(__file__).resolve().parents[2]


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(params=SCENARIOS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    scenario = SCENARIOS[found]
    if python_of(scenario.environment) is None:
        pytest.skip(f"needs the environment {scenario.environment}: python3 dev.py packages")
    missing = [module for module in scenario.needs if not _there(module.partition(".")[0])]
    if missing and not scenario.environment:
        pytest.skip(f"needs {', '.join(missing)}: python3 dev.py packages")
    return found


def live(name: str, path: Path, how: str, commit: int | None = None) -> tuple[int, int]:
    """Run a scenario in a process of its own; its exit status, and how many files it closed."""
    path.parent.mkdir()
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environ["PYTHONHASHSEED"] = "0"  # some write what they have in a set
    command = [
        str(python_of(SCENARIOS[name].environment)),
        "-m",
        "peers.live",
        name,
        str(path),
        how,
        "all" if commit is None else str(commit),
    ]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    last = done.stdout.strip().rpartition("\n")[2]
    return done.returncode, int(last) if last.isdigit() else 0


def same(scenario: Scenario, left: Path, right: Path) -> None:
    ignored = {"ignore_attrs": scenario.ignore_attrs, "ignore_paths": scenario.ignore_paths}
    found = "\n".join(map(str, differences(left, right, **ignored)))
    assert not found, f"plain h5py made something else:\n{found}"


def test_the_file_is_what_plain_h5py_makes_and_so_it_is_after_a_kill(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    plain, journaled = tmp_path / "plain" / "run.h5", tmp_path / "journaled" / "run.h5"
    live(name, plain, "plain")
    _, commits = live(name, journaled, "journaled")
    same(scenario, plain, journaled)
    assert [path.name for path in journaled.parent.iterdir()] == ["run.h5"]
    assert commits > 0, "nothing was journaled"
    for commit in {0, commits - 1}:
        killed, expected = tmp_path / f"killed-{commit}" / "run.h5", tmp_path / f"plain-{commit}" / "run.h5"
        status, _ = live(name, killed, "killed", commit)
        assert status == -signal.SIGKILL
        safeh5.recover(killed)
        if commit == commits - 1:
            same(scenario, plain, killed)
        else:
            live(name, expected, "plain", commit)
            same(scenario, expected, killed)
