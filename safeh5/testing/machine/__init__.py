"""A state machine that drives sessions against plain h5py: `SessionMachine`.

Every change is made twice, by a session and by `safeh5.testing.plain` in a
file of its own, of which a copy is kept at the end of each batch. After every
step, and whatever was killed, torn off or recovered in between:

1. What a call acknowledged is there.
2. The target is the old file, byte for byte, or the new one, whole.
3. What was recovered is a state that there was at the end of a batch.
4. Nobody speaks of damage where there is none.

To test a workload of your own, subclass it and add rules::

    class Mine(SessionMachine):
        @precondition(SessionMachine.is_open)
        @rule(n=st.integers(1, 9))
        def my_step(self, n):
            my_write(self.session, n)            # one batch
            self.done(lambda file: file.create_dataset(...))

    TestMine = Mine.TestCase

Needs Hypothesis: ``pip install 'safeh5[testing]'``.
"""

from __future__ import annotations

try:
    import hypothesis as hypothesis
except ImportError as missing:
    raise ImportError("safeh5.testing.machine needs Hypothesis: pip install 'safeh5[testing]'") from missing

from safeh5.testing.machine.base import Change, options, shots
from safeh5.testing.machine.changes import Cancelled, Changes
from safeh5.testing.machine.damages import Damages
from safeh5.testing.machine.life import Life
from safeh5.testing.machine.objects import Objects
from safeh5.testing.machine.streams import Streams

__all__ = ["Cancelled", "Change", "SessionMachine", "options", "shots"]


class SessionMachine(Changes, Objects, Streams, Life, Damages):
    """Sessions on one target, in a directory of their own.

    Attributes
    ----------
    session : Session or None
        The session that is open.
    target : Path
        Its target.
    history : History or None
        What the session that is open, or was interrupted, has done; None when there is none.
    """
