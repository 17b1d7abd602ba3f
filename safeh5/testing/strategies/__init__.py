"""Hypothesis strategies: trees, values, operations, selections, damage.

For tests of programs that use safeh5, and of safeh5. What `trees` and
`operations` make, `safeh5.testing.plain` can make with plain h5py: two files
to compare. Needs Hypothesis: ``pip install 'safeh5[testing]'``.
"""

from __future__ import annotations

try:
    import hypothesis as hypothesis
except ImportError as missing:
    raise ImportError(
        "safeh5.testing.strategies needs Hypothesis: pip install 'safeh5[testing]'"
    ) from missing

from safeh5.testing.strategies.damages import damages
from safeh5.testing.strategies.operations import Array, Step, operations
from safeh5.testing.strategies.selections import boxes, points, selections, slabs, unions
from safeh5.testing.strategies.trees import datasets, trees
from safeh5.testing.strategies.values import (
    STAMPS,
    arrays,
    attributes,
    names,
    numeric,
    shapes,
    text,
    types,
)

__all__ = [
    "STAMPS",
    "Array",
    "Step",
    "arrays",
    "attributes",
    "boxes",
    "damages",
    "datasets",
    "names",
    "numeric",
    "operations",
    "points",
    "selections",
    "shapes",
    "slabs",
    "text",
    "trees",
    "types",
    "unions",
]
