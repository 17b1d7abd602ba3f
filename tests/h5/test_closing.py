"""What flush and close of a journaled file promise, over a real session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import InterruptedSessionError, InvalidOptionError, TargetChangedError
from safeh5.h5 import journaled_file


def content(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, obj: found.update({name: getattr(obj, "shape", None)}))
    return found


def test_close_commits_and_leaves_nothing_but_the_target(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    file = journaled_file(session)
    d = file.create_dataset("g/d", data=np.arange(5))
    d[2] = 20
    assert not target.exists()
    file.close()
    assert not file and not d
    assert session.state is safeh5.State.COMMITTED
    assert os.listdir(tmp_path) == ["run.h5"]
    with h5py.File(target) as made:
        assert made["g/d"][:].tolist() == [0, 1, 20, 3, 4]


def test_a_second_close_does_nothing(tmp_path: Path) -> None:
    file = journaled_file(safeh5.open(tmp_path / "run.h5"))
    file["x"] = 1
    again = file["x"].file
    file.close()
    file.close()
    again.close()
    assert content(tmp_path / "run.h5") == {"x": ()}


def test_closing_any_file_object_of_the_session_commits(tmp_path: Path) -> None:
    file = journaled_file(safeh5.open(tmp_path / "run.h5"))
    file["x"] = 1
    file["x"].file.close()
    assert not file
    assert content(tmp_path / "run.h5") == {"x": ()}


def test_a_second_object_of_the_file_drops_only_its_own_identifier(tmp_path: Path) -> None:
    file = journaled_file(safeh5.open(tmp_path / "run.h5"))
    file["x"] = 1
    second, third = file["x"].file, file["x"].file
    second.id.close()
    assert (bool(second), bool(third), bool(file)) == (False, True, True)
    third.id.close()
    assert not second.id.valid and not third.id.valid
    assert not (tmp_path / "run.h5").exists()  # open, and not committed
    file["y"] = 2
    file.close()
    assert content(tmp_path / "run.h5") == {"x": (), "y": ()}


def test_leaving_with_commits(tmp_path: Path) -> None:
    with journaled_file(safeh5.open(tmp_path / "run.h5")) as file:
        file["x"] = 1
    assert content(tmp_path / "run.h5") == {"x": ()}


def test_an_exception_in_with_suspends_and_nothing_is_lost(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    session = safeh5.open(target)
    with pytest.raises(ZeroDivisionError), journaled_file(session) as file:
        file["x"] = 1
        raise ZeroDivisionError
    assert session.state is safeh5.State.SUSPENDED and not target.exists() and not file
    safeh5.recover(target)
    assert content(target) == {"x": ()}


def test_a_session_with_an_applier_process_is_refused(tmp_path: Path) -> None:
    session = safeh5.open(tmp_path / "run.h5", applier="process")
    with pytest.raises(InvalidOptionError, match="inline"):
        journaled_file(session)
    session.rollback()


def test_flush_makes_everything_durable(tmp_path: Path) -> None:
    session = safeh5.open(tmp_path / "run.h5", durability="flush")
    file = journaled_file(session)
    file["x"] = np.arange(3)
    assert session.durable_lsn < session.last_lsn
    file.flush()
    assert session.durable_lsn >= session.last_lsn - 1
    file["x"][0] = 1
    file["x"].flush()
    assert session.durable_lsn >= session.last_lsn - 1
    file.close()


def test_the_old_file_stays_until_close(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with h5py.File(target, "w") as old:
        old["old"] = 1
    file = journaled_file(safeh5.open(target))
    file["new"] = 2
    del file["old"]
    assert content(target) == {"old": ()}
    file.close()
    assert content(target) == {"new": ()}


def test_a_target_changed_by_others_is_not_overwritten_by_close(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    with h5py.File(target, "w") as old:
        old["old"] = 1
    session = safeh5.open(target)
    file = journaled_file(session)
    file["new"] = 2
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as changed:
        changed["changed"] = 3
    other.replace(target)
    with pytest.raises(TargetChangedError):
        file.close()
    with pytest.raises(TargetChangedError):
        file.close()
    assert content(target) == {"changed": ()}
    session.rollback()
    file.close()


def test_a_file_that_is_never_closed_is_interrupted_and_not_half_there(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    run_script(
        """
        file = journaled_file(safeh5.open(target))
        file["x"] = np.arange(3)
        file.flush()
        """,
        target,
    )
    assert not target.exists()
    with pytest.raises(InterruptedSessionError):
        safeh5.open(target)
    safeh5.recover(target)
    assert content(target) == {"x": (3,)}


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    status = run_script(
        """
        file = journaled_file(safeh5.open(target, durability="flush"))
        d = file.create_dataset("d", (100, 100), "i4", chunks=(10, 100), compression="gzip")
        for i in range(100):
            d[i] = i
            d.attrs["done"] = i
        file.flush()
        d[0] = 99
        os.kill(os.getpid(), 9)
        """,
        target,
    )
    assert status == -signal.SIGKILL
    safeh5.recover(target)
    with h5py.File(target) as file:
        assert file["d"].attrs["done"] == 99
        assert (file["d"][1:] == np.arange(1, 100)[:, None]).all()


def run_script(body: str, target: Path) -> int:
    """Run Python lines in a child, with `target` defined."""
    lines = "import os, sys\nimport numpy as np\nimport safeh5\nfrom safeh5.h5 import journaled_file\n"
    script = f"{lines}target = {str(target)!r}\n" + textwrap.dedent(body)
    root = Path(safeh5.__file__).parents[1]
    return subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60, check=False).returncode


def test_threads_on_h5py_and_on_the_session_do_not_block_each_other(tmp_path: Path) -> None:
    target = tmp_path / "run.h5"
    # In a child: threads that wait for each other never end, nor does their process.
    status = run_script(
        """
        import threading

        session = safeh5.open(target, durability="flush")
        file = journaled_file(session)
        d = file.create_dataset("d", (200,), "i4")

        def by_session():
            for i in range(50):
                children = [safeh5.MicroDataset("x", np.arange(3))]
                session.write(safeh5.MicroDataGroup(f"g{i}", children=children))

        def by_h5py():
            for i in range(200):
                d[i] = i

        threads = [threading.Thread(target=work, daemon=True) for work in (by_session, by_h5py)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
            if thread.is_alive():
                os._exit(3)
        file.close()
        """,
        target,
    )
    assert status == 0, "deadlock between h5py's lock and the session's"
    with h5py.File(target) as made:
        assert made["d"][:].tolist() == list(range(200)) and len(made) == 51
