"""What real packages write through h5py: each scenario as a user of the package would do it."""

from __future__ import annotations

from peers.scenarios import arrays, biology, measures, netcdf, nexus, objects, usid
from peers.scenarios.registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "arrays", "biology", "measures", "netcdf", "nexus", "objects", "usid"]
