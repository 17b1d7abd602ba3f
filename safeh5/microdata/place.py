"""Where each node goes: names resolved, conflicts found, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from safeh5.errors import InvalidTreeError, InvalidTypeError, ObjectExistsError
from safeh5.microdata.indexing import Names, is_indexed
from safeh5.microdata.namespace import Kind, Namespace
from safeh5.microdata.nodes import MicroData, MicroDatatype, join
from safeh5.microdata.tree import MicroDataGroup, MicroDataset


class Action(StrEnum):
    """What is done with a node."""

    CREATE = "create"
    MERGE = "merge"
    """The group exists; attributes and children are added to it."""
    KEEP = "keep"
    """The object exists; data and attributes are written into it."""
    REPLACE = "replace"
    """What exists is deleted, then the node is created."""


@dataclass(eq=False, slots=True)
class Step:
    """A node with its place.

    Attributes
    ----------
    node : MicroData
        The node.
    path : str
        Absolute path in the file, index of the name included.
    action : Action
        What is done with it.
    above : Step or None
        The group that holds it, None at the top.
    """

    node: MicroData
    path: str
    action: Action
    above: Step | None = None

    @property
    def exists(self) -> bool:
        """Whether what stood there before is still there after."""
        return self.action is not _CREATE and self.action is not _REPLACE


_CREATE, _REPLACE = Action.CREATE, Action.REPLACE


class Placement:
    """Walks a tree and gives each node its path.

    Parameters
    ----------
    namespace : Namespace
        The file written to.
    exist_ok, overwrite : bool
        See `plan_write`.
    """

    def __init__(self, namespace: Namespace, *, exist_ok: bool, overwrite: bool) -> None:
        self._namespace = namespace
        self._exist_ok = exist_ok
        self._overwrite = overwrite
        self._seen: dict[int, str] = {}
        self._placed: dict[str, Step] = {}
        self._names: dict[str, Names] = {}
        self._parents: dict[str, str] = {}

    def steps(self, root: MicroData | Sequence[MicroData]) -> Iterator[Step]:
        """The steps of all nodes, each group before its children.

        Several trees are placed one after the other, so that the second may
        stand in a group that is in the first.

        Raises
        ------
        InvalidTreeError, InvalidTypeError, ObjectExistsError
            Naming the node that is wrong.
        """
        for top in [root] if isinstance(root, MicroData) else _listed(root):
            _refuse_cycles(top)
            pending = [self._top(top)]
            while pending:
                step = pending.pop()
                self._placed[step.path] = step
                if step.above is not None and (names := self._names.get(step.above.path)) is not None:
                    names.add(step.path.rpartition("/")[2])
                yield step
                if isinstance(step.node, MicroDataGroup):
                    pending += reversed(self._children(step, step.node))

    def _top(self, root: MicroData) -> Step:
        if _is_root(root):
            self._refuse_second_sight(root, "/")
            return Step(root, "/", Action.MERGE)
        check_name(root, str(root.parent))
        parent = self._parent(root)
        above = self._placed.get(parent)
        fresh = above is not None and not above.exists
        taken = self._taken(parent, fresh)
        name = taken.name_of(root)
        step = self._step(root, parent, name, above, fresh=fresh or name not in taken)
        taken.add(name)
        return step

    def _taken(self, parent: str, fresh: bool) -> Names:
        """The names in a group, with those that were placed; kept up by `steps`, for trees of many roots."""
        names = self._names.get(parent)
        if names is None:
            taken = set() if fresh else set(self._namespace.children(parent))
            prefix = join(parent, "")
            taken |= {path[len(prefix) :] for path in self._placed if path.startswith(prefix)}
            names = self._names[parent] = Names(taken)
        return names

    def _parent(self, root: MicroData) -> str:
        """The group that holds the top of a tree; what was found to be one stays one."""
        known = self._parents.get(root.parent) if type(root.parent) is str else None
        if known is None:
            known = self._parents[root.parent] = self._found_parent(root)
        return known

    def _found_parent(self, root: MicroData) -> str:
        if not isinstance(root.parent, str):
            raise InvalidTypeError(f"the parent of {root.name} is a {type(root.parent).__name__}, not a path")
        parent = "/" + "/".join(part for part in root.parent.split("/") if part not in ("", "."))
        placed = self._placed.get(parent)
        if not (
            isinstance(placed.node, MicroDataGroup) if placed else self._namespace.kind(parent) == "group"
        ):
            raise InvalidTreeError(
                f"{join(parent, root.name)} has no group to be in: there is no group {parent} in the file",
                dataset=join(parent, root.name),
                hint="Write that group too, or correct `parent`",
            )
        return parent

    def _children(self, step: Step, group: MicroDataGroup) -> list[Step]:
        here = set(self._namespace.children(step.path)) if step.exists else set()
        for child in group.children:
            if not isinstance(child, MicroData):
                raise InvalidTypeError(
                    f"a child of {step.path} is a {type(child).__name__}, not a MicroData", dataset=step.path
                )
            check_name(child, step.path)
        taken = self._numbered(here, group)
        steps, used = [], set()
        for child in group.children:
            name = child.name
            if taken is not None and is_indexed(child):
                name = taken.name_of(child)
                taken.add(name)
            if name in used:
                path = join(step.path, name)
                raise InvalidTreeError(f"two nodes are named {path}", dataset=path)
            used.add(name)
            steps.append(self._step(child, step.path, name, step, fresh=name not in here))
        return steps

    @staticmethod
    def _numbered(here: set[str], group: MicroDataGroup) -> Names | None:
        """The names that an index is counted past, those given too; None where none is needed."""
        if not any(map(is_indexed, group.children)):
            return None
        return Names(here.union(child.name for child in group.children if not is_indexed(child)))

    def _step(self, node: MicroData, parent: str, name: str, above: Step | None, *, fresh: bool) -> Step:
        path = f"/{name}" if parent == "/" else f"{parent}/{name}"
        self._refuse_second_sight(node, path)
        if fresh:
            return Step(node, path, _CREATE, above)
        return Step(node, path, self._action(node, path, self._namespace.kind(path)), above)

    def _refuse_second_sight(self, node: MicroData, path: str) -> None:
        if path in self._placed:
            raise InvalidTreeError(f"two nodes are named {path}", dataset=path)
        first = self._seen.setdefault(id(node), path)
        if first != path:
            raise InvalidTreeError(
                f"{path} is the same node as {first}",
                dataset=path,
                hint="A HardLink gives an object a second name",
            )

    def _action(self, node: MicroData, path: str, kind: Kind | None) -> Action:
        if kind is None:
            return Action.CREATE
        if isinstance(node, MicroDataGroup):
            if kind == "group":
                return Action.MERGE
        elif self._overwrite and kind != "group":
            return Action.REPLACE
        elif self._exist_ok and _kind(node) in (kind, "link"):
            return Action.KEEP
        raise self._exists(node, path, kind)

    def _exists(self, node: MicroData, path: str, kind: Kind) -> ObjectExistsError:
        wanted = _kind(node)
        hint = None
        if kind != "group" and wanted != "group":
            hint = "overwrite=True replaces it"
            if kind == wanted:
                hint += ", exist_ok=True keeps it and writes data and attributes into it"
        return ObjectExistsError(
            f"a {kind} stands at {path} where a {wanted} is to be written", dataset=path, hint=hint
        )


def _listed(trees: Sequence[MicroData]) -> Sequence[MicroData]:
    """`trees`, if it is a sequence of nodes."""
    for tree in trees if isinstance(trees, Sequence) and not isinstance(trees, str) else [trees]:
        if not isinstance(tree, MicroData):
            raise InvalidTypeError(
                f"what was given is no tree but a {type(tree).__name__}: give a MicroData or a list of them"
            )
    return trees


def _refuse_cycles(top: MicroData) -> None:
    """Raise `InvalidTreeError` if a group is below itself.

    Looked for before anything else: in a cycle no path means anything.
    """
    if not isinstance(top, MicroDataGroup) or not _groups(top):
        return
    inside: dict[int, str] = {}
    done: set[int] = set()
    pending: list[tuple[MicroData, str | None]] = [(top, "/" if _is_root(top) else join("/", str(top.name)))]
    while pending:
        node, path = pending.pop()
        if path is None:
            del inside[id(node)]
            done.add(id(node))
            continue
        if id(node) in inside:
            raise InvalidTreeError(
                f"{path} is the group {inside[id(node)]} itself: the tree has a cycle", dataset=path
            )
        if isinstance(node, MicroDataGroup) and id(node) not in done:
            inside[id(node)] = path
            pending.append((node, None))
            pending += [(child, f"{path.rstrip('/')}/{child.name}") for child in _groups(node)]


def _groups(group: MicroDataGroup) -> list[MicroDataGroup]:
    return [child for child in group.children if isinstance(child, MicroDataGroup)]


def _is_root(node: MicroData) -> bool:
    return isinstance(node, MicroDataGroup) and node.is_root


def _kind(node: MicroData) -> Kind:
    if isinstance(node, MicroDataGroup):
        return "group"
    if isinstance(node, MicroDataset):
        return "dataset"
    return "datatype" if isinstance(node, MicroDatatype) else "link"


# --- names ------------------------------------------------------------------------


def check_name(node: MicroData, parent: str) -> None:
    """Raise `InvalidTreeError` unless HDF5 can hold the name of `node`."""
    name = node.name
    if type(name) is str and name.isidentifier():
        return  # most names; nothing below is in one
    if not isinstance(name, str):
        raise InvalidTypeError(
            f"a node in {parent} has a {type(name).__name__} for a name: {name!r}", dataset=parent
        )
    if name == "":
        raise InvalidTreeError(f"a node in {parent} has an empty name", dataset=parent)
    if "/" in name:
        raise InvalidTreeError(
            f"the name {name!r} of a node in {parent} contains '/'",
            dataset=join(parent, name.lstrip("/")),
            hint="Nest groups for a path; only the top of a tree may be '/'",
        )
    if name == "." or "\0" in name:
        raise InvalidTreeError(
            f"HDF5 allows no object named {name!r}, in {parent}", dataset=join(parent, name)
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidTreeError(
            f"the name {name!r} in {parent} is not valid Unicode: {error}", dataset=repr(join(parent, name))
        ) from error
