"""Helpers for tests of programs that use safeh5, and of safeh5 itself.

==============  ==========================================================
`compare`       two HDF5 files, object by object
`faults`        a disk that fails on command
`camera`        a disk of which a picture is taken at a chosen effect
`damage`        bits that flip, blocks that are lost, files that are gone
`damaged`       what must be true of a damaged session
`crash`         child processes that are killed at their Nth effect
`plain`         trees and operations, written with plain h5py
`oracle`        the states that a session went through
`strategies`    Hypothesis strategies for all that
`machine`       `SessionMachine`: sessions against plain h5py
`world`         numbered batches whose content can be told from their names
`harness`       the command ``python -m safeh5.testing MODE``
`modes`         what it does in each mode
==============  ==========================================================

`strategies` and `machine` need Hypothesis: ``pip install 'safeh5[testing]'``.
"""
