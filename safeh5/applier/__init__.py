"""The only code that changes HDF5: records in, HDF5 out."""

from safeh5.applier.applier import Applier
from safeh5.applier.direct import AtHand
from safeh5.applier.fence import Place
from safeh5.applier.staging import Staging

__all__ = ["Applier", "AtHand", "Place", "Staging"]
