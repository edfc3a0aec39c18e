"""Start the processes of a session: the emulated hardware if there is any, the guardian (this process), the session.

    python -m aeqlab.app.launch session --file FILE [--folder FOLDER]

FILE is a session file (JSON, see `protocols/session_file.py`) or an experiment (YAML), whose device is served. The other two
words, `serve` and `guard`, are what these processes start each other with.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from aeqlab.app.guardian import Guardian, guard_other, switch_off
from aeqlab.backends.errors import BackendError, DeviceLostError
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import device_address, find_sessions, refusal
from aeqlab.protocols.errors import ProtocolError, SessionError
from aeqlab.protocols.lease import holder_of, no_room, slug, state_folder
from aeqlab.protocols.lost import forget
from aeqlab.protocols.session_file import SessionFile


def main(argv: list[str] | None = None) -> int:
    """Start a session, or one of its processes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aeqlab.app.launch", description="Start the processes of a session.")
    words = parser.add_subparsers(dest="word", required=True)
    session = words.add_parser("session", help="start a session and guard it")
    session.add_argument("--file", type=Path, required=True, help="session file (JSON) or experiment (YAML)")
    session.add_argument("--folder", type=Path, help="session folder; left out: a new one in the user's state folder")
    for word, help_ in (("serve", "be the session"), ("guard", "guard a session that lost its guardian")):
        part = words.add_parser(word, help=help_)
        part.add_argument("--folder", type=Path, required=True)
        part.add_argument("--pid", type=int, required=True)
    options = parser.parse_args(argv)
    if options.word == "serve":
        from aeqlab.app.serving import serve

        return serve(options.folder, options.pid)
    if options.word == "guard":
        return guard_other(options.folder, options.pid)
    return run_session(options.file, options.folder)


def run_session(source: str | Path, folder: Path | None = None, overrides: Sequence[str] = (), *, announce: bool = False) -> int:
    """Start a session and guard it until it ends.

    Args:
        source: session file, experiment file, or the name of a preset.
        folder: session folder; None for a new one in the user's state folder.
        overrides: changes of the experiment, `key=value` each.
        announce: print what is served and how to end it, once it is ready.
    Returns:
        0 after a clean end, 1 after a death that was made safe, 2 if it could not start, 3 if the state is unknown.
    """
    if folder is None:
        folder = state_folder() / "sessions" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prepare(read(source, overrides), source, folder, overrides)
    except (ProtocolError, BackendError, OSError) as exc:
        said = no_room(exc, folder) if isinstance(exc, OSError) else str(exc)
        print(said, file=sys.stderr)
        with contextlib.suppress(OSError):
            (folder / "failed.txt").write_text(f"{said}\n", encoding="utf-8")
        return 2
    command = [sys.executable, "-P", "-m", "aeqlab.app.launch", "serve", "--folder", str(folder), "--pid", str(os.getpid())]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert child.stdin is not None
    assert child.stdout is not None

    def kill() -> None:
        child.kill()
        child.wait()

    if announce:
        threading.Thread(target=_announce, args=(child, folder), name="announce", daemon=True).start()
    guardian = Guardian(folder, child.stdout, child.stdin, kill)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(guardian, "ending", True))
    if guardian.watch():
        code = child.wait()
        switch_off(folder)
        return code
    return 1 if guardian.make_safe() else 3


def _announce(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Print what is served once the session is there; nothing if it never is."""
    while child.poll() is None:
        for session in find_sessions():
            if Path(session.folder) == folder:
                print(
                    f"Session {session.name or folder.name} serves {session.device}.\n  address  {session.address}\n"
                    f"  folder   {folder}\nRuns of the same device attach to it; others say why not. Ctrl-C ends it.",
                    flush=True,
                )
                return
        time.sleep(0.05)


def read(source: str | Path, overrides: Sequence[str] = ()) -> SessionFile:
    """Read a session file, a rig file, or the device and loops of an experiment or a preset.

    Raises:
        FileErrors, SessionError: it has mistakes, all of them listed.
    """
    path = Path(source)
    if path.suffix == ".json" or path.is_dir():
        return SessionFile.read(path)
    from aeqlab.protocols.experiment import load_experiment, load_values

    if is_rig_file(path):
        name = path.name.split(".")[0]
        values = {"name": name, "device": {"kind": "rig", "file": path.name}, "sequence": ["identify"]}
        loaded = load_values(values, path.absolute().parent, overrides)
    else:
        loaded = load_experiment(source, overrides)
    asked = loaded.experiment
    return SessionFile(
        device=asked.device,
        seed=asked.seed,
        base=loaded.base.resolve(),
        name=asked.name,
        homeostasis=asked.homeostasis,
        settling=asked.settling,
        limits=asked.limits,
        notify=asked.notify,
        then=asked.then,
    )


def is_rig_file(path: Path) -> bool:
    """Tell a rig file from an experiment: it has `instruments:` at its top. One with mistakes is told apart by its lines."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("instruments:") for line in lines) and not any(line.startswith("sequence:") for line in lines)


def prepare(file: SessionFile, source: str | Path, folder: Path, overrides: Sequence[str] = ()) -> None:
    """Find or start the hardware, and write the session file into the folder.

    Raises:
        SessionError: another session owns the address; the message names its holder.
    """
    ours, plant = False, file.plant
    if isinstance(file.device, SlowSettings):
        if file.device.address is not None:
            plant = (file.base / file.device.address).resolve()
        elif plant is None:
            plant = folder / "device" if file.with_client else state_folder() / "devices" / slug(_source(source, overrides))
    address = file.address or device_address(file.device, file.base) or (str(plant) if plant is not None else f"session:{folder}")
    if holder_of(address) is not None:
        raise SessionError(refusal(address))
    if isinstance(file.device, SlowSettings) and file.device.address is None and plant is not None:
        _switch_on(file, file.device, plant, address)
        ours = True
    file.changed(plant=plant, address=address, switch_off=ours).write(folder)


def _source(source: str | Path, overrides: Sequence[str]) -> str:
    """Name what emulated hardware was described by: the same words get the same hardware again."""
    named = str(Path(source).resolve()) if Path(source).exists() else f"preset {source}"
    return " ".join([named, *sorted(text for text in overrides if text.startswith(("device.", "seed=")))])


def _switch_on(file: SessionFile, settings: SlowSettings, plant: Path, address: str) -> None:
    """Start the emulated hardware, if it does not run already. What was last commanded to hardware that is gone means nothing."""
    from aeqlab.backends.plant_link import plant_status, start_plant

    try:
        if plant_status(plant)["answers"]:
            return
    except DeviceLostError:
        pass
    forget(address)
    start_plant(settings, seed=file.seed, base=file.base, folder=plant)


if __name__ == "__main__":
    sys.exit(main())
