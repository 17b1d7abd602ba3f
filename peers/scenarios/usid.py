"""USID and NSID: pyUSID, and sidpy and pyNSID beside it, in an environment of their own."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from peers.scenarios.registry import scenario

usid_scenario = functools.partial(
    scenario,
    "pyUSID",
    environment="pyusid",
    ignore_attrs=("timestamp", "from_array_", "sidpy-from_array_", "provenance-sidpy-from_array_"),
)


def _dimensions() -> tuple[Any, Any]:
    import pyUSID as usid

    positions = [usid.Dimension("X", "um", np.arange(5)), usid.Dimension("Y", "um", np.arange(3))]
    return positions, usid.Dimension("Bias", "V", np.linspace(-1, 1, 7))


def _main_dataset(file: Any, **options: Any) -> Any:
    import pyUSID as usid

    group = usid.hdf_utils.create_indexed_group(file, "Measurement")
    values = np.random.default_rng(0).random((15, 7))
    return usid.hdf_utils.write_main_dataset(
        group, values, "Raw_Data", "Current", "nA", *_dimensions(), **options
    )


@usid_scenario()
def pyusid_main_dataset(file: Any) -> None:
    """A Main dataset with its ancillary datasets, linked by references; chunked and compressed."""
    main = _main_dataset(file, main_dset_attrs={"gain": 3.5, "mode": "cw"}, compression="gzip", chunks=(5, 7))
    # Its datasets are a subclass of h5py's, which wraps the identifier anew.
    assert type(main).__name__ == "USIDataset"
    assert main.get_n_dim_form().shape == (3, 5, 7)
    assert [name for name in main.pos_dim_labels] == ["Y", "X"]


@usid_scenario()
def pyusid_results(file: Any) -> None:
    """Results beside their source: ancillary datasets shared and reduced, datasets filled afterwards."""
    import pyUSID as usid

    main = _main_dataset(file)
    results = usid.hdf_utils.create_results_group(main, "Fitter")
    guess = usid.hdf_utils.create_empty_dataset(main, np.float32, "Guess", h5_group=results)
    guess[()] = main[()] * 2
    fit = usid.hdf_utils.write_main_dataset(
        results, (15, 1), "Fit", "Fit", "a.u.", None, usid.Dimension("none", "", 1), dtype=np.dtype("f4"),
        h5_pos_inds=main.h5_pos_inds, h5_pos_vals=main.h5_pos_vals,
    )  # fmt: skip
    for row in range(15):
        fit[row] = row
    usid.hdf_utils.write_reduced_anc_dsets(results, main.h5_pos_inds, main.h5_pos_vals, "X")
    usid.hdf_utils.copy_main_attributes(main, guess)
    assert {found.name for found in usid.hdf_utils.get_all_main(file)} >= {main.name, fit.name}
    assert usid.hdf_utils.check_for_old(main, "Fitter")


@usid_scenario()
def pyusid_region_references(file: Any) -> None:
    """Regions of a dataset by name, as attributes, and copied to another dataset."""
    from pyUSID.io import reg_ref

    main = _main_dataset(file)
    regions = {"first": (slice(0, 1), slice(None)), "odd": (slice(1, None, 2), slice(2, 5))}
    reg_ref.write_region_references(main, regions)
    assert reg_ref.get_region(main, "first").shape == (7,)
    other = file.create_dataset("Copy", data=main[()])
    reg_ref.simple_region_ref_copy(main, other, "odd")
    reg_ref.copy_region_refs(main, file.create_dataset("All", data=main[()] * 2))


@usid_scenario(by_path=True)
def pyusid_translator(path: str) -> None:
    """By path. Of a dask array, dask opens the same path once more, while pyUSID has it open."""
    import dask.array as da
    import pyUSID as usid

    usid.ArrayTranslator().translate(
        path,
        "BEPS",
        np.random.default_rng(0).random((15, 7)),
        "Current",
        "nA",
        *_dimensions(),
        parm_dict={"rate": 10, "operator": "Ada", "pair": [1.5, 2.5]},
        extra_dsets={"Plain": np.arange(12), "Lazy": da.arange(100, chunks=10)},
    )


@usid_scenario()
def pyusid_of_sidpy(file: Any) -> None:
    """A dataset of sidpy, with metadata and dimensions of its own, as USID."""
    import pyUSID as usid

    usid.hdf_utils.write_sidpy_dataset(_image_stack(), file.create_group("Measurement_000/Channel_000"))


@usid_scenario()
def pynsid_dataset(file: Any) -> None:
    """The same as NSID: dimension scales, and metadata as groups of attributes."""
    import pyNSID

    pyNSID.hdf_io.write_nsid_dataset(_image_stack(), file.create_group("Channel_000"), main_data_name="stack")
    pyNSID.hdf_io.write_results(
        file.create_group("Results"),
        dataset=_image_stack(),
        attributes={"steps": 3, "deep": {"a": 1.0, "b": "text"}},
    )


def _image_stack() -> Any:
    import sidpy

    stack = sidpy.Dataset.from_array(np.random.default_rng(1).random((3, 4, 5)), name="stack")
    stack.data_type, stack.units, stack.quantity = "IMAGE_STACK", "nA", "Current"
    for axis, (name, kind) in enumerate((("z", "SPECTRAL"), ("x", "SPATIAL"), ("y", "SPATIAL"))):
        values = np.arange(stack.shape[axis]) * 0.5
        stack.set_dimension(
            axis, sidpy.Dimension(values, name, units="nm", quantity="Length", dimension_type=kind)
        )
    stack.metadata = {"instrument": "AFM", "scan": {"rate": 1.5, "lines": 4}}
    return stack


@usid_scenario()
def sidpy_attributes(file: Any) -> None:
    """Nested metadata, plain attributes of many types, datasets copied with what they refer to."""
    import sidpy.hdf.hdf_utils as utils

    utils.write_simple_attrs(file, {"a": 1, "b": "text", "c": [1.5, 2.5], "d": ["x", "y"]})
    utils.write_dict_to_h5_group(file, {"one": 1, "below": {"two": [1, 2], "three": "text"}}, "metadata")
    source = file.create_dataset("from/source", data=np.arange(6.0).reshape(2, 3))
    utils.link_h5_objects_as_attrs(source, [file.create_dataset("from/axis", data=np.arange(3))])
    utils.link_h5_obj_as_alias(source, file["from"], "Home")
    utils.copy_dataset(source, file.create_group("to"), alias="target")
    utils.copy_attributes(file["from/source"], file["to/target"], skip_refs=False)
