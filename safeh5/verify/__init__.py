"""Reading a whole HDF5 file to find out whether it is good."""

from safeh5.verify.check import verify
from safeh5.verify.report import MissingFilter, Problem, ProblemKind, VerifyReport

__all__ = ["MissingFilter", "Problem", "ProblemKind", "VerifyReport", "verify"]
