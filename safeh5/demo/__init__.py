"""The demonstration: an acquisition is killed in mid-write, and nothing is lost."""

from safeh5.demo.source import FileSource, FrameSource, SimulatedMicroscope, open_source
from safeh5.demo.steps import (
    Acquisition,
    Comparison,
    Scene,
    TargetCheck,
    acquire,
    check_target,
    compare,
    count_frames,
    prepare,
)

__all__ = [
    "Acquisition",
    "Comparison",
    "FileSource",
    "FrameSource",
    "Scene",
    "SimulatedMicroscope",
    "TargetCheck",
    "acquire",
    "check_target",
    "compare",
    "count_frames",
    "open_source",
    "prepare",
]
