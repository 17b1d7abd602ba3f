"""What pycroscopy printed while it wrote a tree, line by line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from safeh5.microdata import MicroData, MicroDataGroup, MicroDataset

FINISHED = (
    "Finished writing to h5 file.",
    "Right now you got yourself a fancy folder structure. ",
    "Make sure you do some reference linking to take advantage of the full power of HDF5.",
)


def lines(root: MicroData, paths: Mapping[MicroData, str], existed: Collection[MicroData]) -> Iterator[str]:
    """The lines for a tree that was written.

    Parameters
    ----------
    root : MicroData
        The tree.
    paths : mapping of MicroData to str
        Where each node went.
    existed : collection of MicroData
        The groups that stood in the file before.

    Yields
    ------
    str
        A line, without its end.
    """
    if isinstance(root, MicroDataGroup):
        yield from _top(root, paths[root], root in existed)
        for child in root.children:
            yield from _node(child, paths, existed)
    else:
        yield from _node(root, paths, existed)
    yield from FINISHED


def _top(root: MicroDataGroup, path: str, existed: bool) -> Iterator[str]:
    if root.name == "":
        yield "Wrote attributes of file / "
    else:
        yield f"Group already exists: {path}" if existed else f"Created group {path}"
        yield from _attributes(root)
        yield f"Wrote attributes to group: {path.rsplit('/', 1)[-1] or '/'} "
    yield ""


def _node(node: MicroData, paths: Mapping[MicroData, str], existed: Collection[MicroData]) -> Iterator[str]:
    path = paths[node]
    if isinstance(node, MicroDataGroup):
        yield f"Found Group already exists {path}" if node in existed else f"Created Group {path}"
        yield from _attributes(node)
        yield f"Wrote attributes to group {path}"
        yield ""
        for child in node.children:
            yield from _node(child, paths, existed)
    elif isinstance(node, MicroDataset):
        yield f"Created Dataset {path}"
        yield from _dataset_attributes(node, path)
    else:
        yield f"Created Link {path}"


def _attributes(node: MicroData) -> Iterator[str]:
    for name, value in node.attrs.items():
        if value is not None:
            yield f"Writing attribute: {name} with value: {value}"


def _dataset_attributes(node: MicroDataset, path: str) -> Iterator[str]:
    short = path.rsplit("/", 1)[-1]
    for name, value in node.attrs.items():
        if value is None:
            continue
        if name == "labels":
            for label in value:
                yield f"Wrote Region Reference:{label} to Dataset {path}"
            yield "Writing header attributes: labels"
            yield f"Wrote Region References of Dataset {short}"
        else:
            yield f"Writing attribute: {name} with value: {value}"
            yield f"Wrote Attributes of Dataset {short} "
            yield ""
