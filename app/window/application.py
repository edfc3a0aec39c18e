"""Starting the window: `aeqlab gui [FILE | RIG | RUN]`.

What goes wrong in the window itself is caught, shown in its line of messages and logged; everything else goes on.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import types
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from PySide6.QtCore import QSettings, QTimer
from PySide6.QtWidgets import QApplication

from aeqlab.app.window.models.target import Target, target_of
from aeqlab.app.window.models.world import World
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.theme import system_is_dark, theme
from aeqlab.protocols.lease import state_folder
from aeqlab.protocols.run_folder import DEFAULT_RUNS

__all__ = ["Target", "make_window", "run_demo_window", "run_window", "target_of"]

log = logging.getLogger("aeqlab.window")
READY_MS = 400  #: after so long the workspaces begin to be made that nobody has asked for yet


def make_window(application: QApplication, runs: Path, target: Target) -> Shell:
    """Build the window, with everything that it shows first; it is not shown yet."""
    settings = QSettings(str(state_folder() / "window.ini"), QSettings.Format.IniFormat)
    chosen = settings.value("dark")
    theme().apply(application, dark=system_is_dark(application) if chosen is None else chosen in (True, "true"))
    world = World(runs)
    shell = Shell(world, settings)
    _catch(shell)
    world.start()
    shell.open(target)
    return shell


def run_window(word: str | None, runs: Path | None) -> int:
    """Show the window until it is closed; returns the exit code."""
    where = (runs or DEFAULT_RUNS).absolute()
    return _show(where, target_of(word, where))


def run_demo_window(folder: Path | None, *, samples: int, seed: int) -> int:
    """Show the window with the demo on the emulated bench, which is started for it; returns the exit code."""
    where = DEFAULT_RUNS.absolute()
    return _show(where, Target(), lambda shell: shell.try_bench(folder, samples=samples, seed=seed))


def _show(runs: Path, target: Target, first: Callable[[Shell], None] | None = None) -> int:
    application = QApplication.instance() or QApplication(["aeqlab"])
    assert isinstance(application, QApplication)
    application.setApplicationName("aeqlab")
    _log_to_file()
    shell = make_window(application, runs, target)
    signal.signal(signal.SIGINT, lambda *_: shell.close_now())
    breath = QTimer(shell)  # lets Python hear Ctrl-C
    breath.start(200)
    breath.timeout.connect(lambda: None)
    shell.show()
    QTimer.singleShot(READY_MS, shell, shell.tabs.make_ready)
    if first is not None:
        first(shell)
    return int(application.exec())


class _Shown(logging.Handler):
    """Shows in the line of messages what the window logs as an error; from any thread."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(logging.ERROR)
        from aeqlab.app.window.jobs import Post

        self._post = Post(shell, shell.say_wrong)

    def emit(self, record: logging.LogRecord) -> None:
        """Send it to the window."""
        self._post(record.getMessage())


def _catch(shell: Shell) -> None:
    """See to it that an exception in the window ends nothing but what raised it."""
    handler = _Shown(shell)
    log.addHandler(handler)
    shell.destroyed.connect(lambda: log.removeHandler(handler))

    def caught(kind: type[BaseException], exc: BaseException, trace: types.TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            shell.close_now()
            return
        log.error(
            "Something went wrong in the window: %s: %s. All else goes on.", kind.__name__, exc, exc_info=(kind, exc, trace)
        )

    sys.excepthook = caught
    threading.excepthook = lambda hooked: caught(hooked.exc_type, hooked.exc_value or Exception(), hooked.exc_traceback)


def _log_to_file() -> None:
    """Keep what the window logs in the user's state folder."""
    if log.handlers:
        return
    try:
        handler = RotatingFileHandler(state_folder() / "window.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8")
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
