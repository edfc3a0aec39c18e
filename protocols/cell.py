"""One call on a device from a notebook or a script: interrupted, it leaves the device frozen and says how to go on.

Ctrl-C, or the stop button of a notebook, ends the call at the next tick, so that nothing is left half done. A second one
interrupts Python wherever it is, for a device of the user's own that never comes to a tick.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import ProtocolError

_GO_ON = "rig.continue_() goes on"


class Cell:
    """While entered, Ctrl-C is a wish that `tick` obeys; entered again for every call.

    Args:
        operator: the device's session.
        on_tick: called at every tick besides; raises to leave.
    """

    def __init__(self, operator: Any, on_tick: Callable[[], Callable[[], None] | None]) -> None:
        self.doing = ""  #: the call that is being made, for what is said of it
        self._operator = operator
        self._on_tick = on_tick
        self._pressed = 0
        self._active = False  # not while the device is frozen, nor between calls
        self._before: Any = None
        self._handles = False

    def tick(self) -> None:
        """Leave the call if that was asked for; the operator calls it at every tick.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if not self._active:
            return
        if self._pressed:
            raise KeyboardInterrupt(f"in {self.doing}")
        on_tick = self._on_tick()
        if on_tick is not None:
            on_tick()

    def __enter__(self) -> Cell:
        self._pressed, self._active = 0, True
        self._handles = threading.current_thread() is threading.main_thread()
        if self._handles:
            self._before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._active = False
        try:
            if exc is None and self._pressed:  # it came after the last tick
                late = KeyboardInterrupt(f"in {self.doing}")
                self._freeze(late)
                raise late
            if exc is not None and (self._pressed or not isinstance(exc, Exception)):
                self._freeze(exc)
        finally:
            if self._handles:
                signal.signal(signal.SIGINT, self._before)

    def _freeze(self, exc: BaseException) -> None:
        """Take the nudge off and let the knobs stand; what leaves the call is told so."""
        why = "Ctrl-C" if self._pressed or isinstance(exc, KeyboardInterrupt) else type(exc).__name__
        self._pressed = 0
        try:
            self._operator.freeze(f"a cell was interrupted by {why} during {self.doing}; {_GO_ON}")
            status = self._operator.status()
            exc.add_note(f"{status.device} is {status.state}, nudge {status.beta:g}, the knobs where they were; {_GO_ON}.")
        except (BackendError, ProtocolError) as wrong:
            exc.add_note(f"The device could not be frozen: {wrong}")

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._pressed += 1
        if self._pressed > 1:
            raise KeyboardInterrupt(f"in {self.doing}")
