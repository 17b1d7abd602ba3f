"""A stream whose dataset is another, or was never made, takes nothing; two streams never share a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import safeh5
from safeh5.errors import InvalidTreeError
from safeh5.microdata import MicroDataGroup, MicroDataset
from safeh5.session import Session
from safeh5.session.stream import Stream
from tests.session.reading import committed


def dataset_of(length: int, width: int) -> MicroDataGroup:
    values = np.full((length, width), -1, "i8")
    data = MicroDataset("s", values, resizable=True, maxshape=(None, width))
    return MicroDataGroup("g", children=[data])


def refuses_everything(stream: Stream) -> None:
    calls: list[Any] = [
        lambda: stream.append([1, 1]),
        lambda: stream.extend([[1, 1]]),
        lambda: stream.write(slice(None), 1),
        lambda: stream.rewind(0),
    ]
    for call in calls:
        with pytest.raises(InvalidTreeError, match=r"Open the stream again: session\.stream\('"):
            call()


@pytest.mark.parametrize(("length", "width"), [(2, 2), (9, 2), (2, 3)])
def test_a_stream_whose_dataset_was_replaced_writes_nothing_into_the_new_one(
    session: Session, length: int, width: int
) -> None:
    stream = session.stream("/g/s", (2,), "i8")
    stream.extend(np.zeros((5, 2), "i8"))
    session.write(dataset_of(length, width), overwrite=True)
    refuses_everything(stream)
    again = session.stream("/g/s")
    assert len(again) == length
    again.append(np.full(width, 7))
    np.testing.assert_array_equal(committed(session, "g/s")[:, 0], [-1] * length + [7])


def test_small_items_are_not_gathered_for_a_dataset_that_was_replaced(target: Path) -> None:
    session = safeh5.open(target, durability="flush")
    stream = session.stream("/g/s", (2,), "i8")
    for number in range(5):
        stream.append([number, number])
    session.write(dataset_of(2, 2), overwrite=True)
    refuses_everything(stream)
    assert committed(session, "g/s").tolist() == [[-1, -1]] * 2


def test_a_stream_that_a_cancelled_batch_made_takes_nothing(session: Session) -> None:
    """Not even with the applier beside, which would find out only when it comes to it."""
    other = session.stream("/other", (), "i8")
    with pytest.raises(ZeroDivisionError), session.batch():
        stream = session.stream("/s", (2,), "i8")
        stream.append([1, 1])
        raise ZeroDivisionError
    refuses_everything(stream)
    other.append(1)
    again = session.stream("/s", (2,), "i8")
    again.append([2, 2])
    assert committed(session, "s").tolist() == [[2, 2]]
    with h5py.File(session.target) as file:
        assert file["other"][:].tolist() == [1]


def test_a_stream_on_what_a_cancelled_batch_put_in_its_place_takes_nothing(session: Session) -> None:
    session.stream("/g/s", (2,), "i8").append([1, 1])
    with pytest.raises(ZeroDivisionError), session.batch():
        session.write(dataset_of(3, 2), overwrite=True)
        stream = session.stream("/g/s")
        raise ZeroDivisionError
    refuses_everything(stream)
    session.stream("/g/s").append([2, 2])
    assert committed(session, "g/s").tolist() == [[1, 1], [2, 2]]


def test_a_stream_without_items_is_the_same_one_when_it_is_opened_again(session: Session) -> None:
    assert session.stream("/s", (2,), "i8") is session.stream("/s")


@pytest.mark.parametrize("other", ["/hard", "/soft", "/group_too/s"])
def test_two_names_of_one_dataset_give_one_stream(target: Path, other: str) -> None:
    with h5py.File(target, "w") as file:
        data = file.create_dataset("g/s", (1,), "i8", maxshape=(None,))
        file["hard"], file["soft"] = data, h5py.SoftLink("/g/s")
        file["group_too"] = file["g"]
        file.create_dataset("alone", (0,), "i8", maxshape=(None,))
    session = safeh5.open(target)
    stream, alone, twin = session.stream("/g/s"), session.stream("/alone"), session.stream(other)
    for number in range(3):
        stream.append(number)
        twin.append(-number)
    assert twin.length == stream.length == 7 and alone.length == 0
    assert committed(session, "g/s").tolist() == [0, 0, 0, 1, -1, 2, -2]


def test_a_link_that_leads_nowhere_is_no_stream_and_says_so(target: Path) -> None:
    with h5py.File(target, "w") as file:
        file["soft"] = h5py.SoftLink("/nowhere")
    session = safeh5.open(target)
    session.stream("/s", (), "i8")
    with pytest.raises(InvalidTreeError, match="no dataset"):
        session.stream("/soft", (), "i8")
    session.rollback()
