"""What a file, a folder or a word means to the window: a run, an experiment file, a rig file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aeqlab.app.launch import is_rig_file
from aeqlab.protocols.errors import UnknownRunError
from aeqlab.protocols.run_folder import find_run

YAML = (".yaml", ".yml")
OF_A_RUN = ("record.sqlite", "experiment.yaml", "provenance.json")  #: any of them makes a folder the folder of a run


@dataclass(frozen=True, slots=True)
class Target:
    """What the window is to show first: a run folder, an experiment file, a rig file; at most one of them."""

    run: Path | None = None
    experiment: Path | None = None
    rig: Path | None = None


def target_of(word: str | None, runs: Path) -> Target:
    """Find out what a word on the command line means.

    Raises:
        UnknownRunError: it is neither a file nor a run.
    """
    if word is None:
        return Target()
    path = Path(word)
    if path.suffix.lower() in YAML and not path.exists():
        raise UnknownRunError(f"{path.absolute()}: there is no such file. Name an experiment file, a rig file or a run.")
    if path.is_file() and path.suffix.lower() in YAML:
        return Target(rig=path.absolute()) if is_rig_file(path) else Target(experiment=path.absolute())
    if path.is_dir() and (path / "experiment.yaml").exists():
        return Target(run=path.absolute())
    return Target(run=find_run(word, runs).absolute())


def target_at(path: Path) -> Target:
    """Find out what a file or a folder is that somebody chose, or dropped on the window. It reads the file.

    Raises:
        UnknownRunError: it is none of the three; the sentence says what it should be.
    """
    path = path.absolute()
    if path.name in OF_A_RUN and (path.parent / "record.sqlite").exists() and path.is_file():
        return Target(run=path.parent)
    if path.is_dir():
        if any((path / name).exists() for name in OF_A_RUN):
            return Target(run=path)
        inside = sorted({found.parent for found in path.glob("*/record.sqlite")})
        if len(inside) == 1:
            return Target(run=inside[0])
        many = f"{len(inside)} runs lie in it; choose one of them" if inside else "no run has written into it"
        raise UnknownRunError(f"{path}: this folder is not that of a run ({many}). The folder of a run holds record.sqlite.")
    if not path.exists():
        raise UnknownRunError(f"{path}: there is no such file any more.")
    if path.suffix.lower() in YAML:
        return Target(rig=path) if is_rig_file(path) else Target(experiment=path)
    raise UnknownRunError(
        f"{path}: this is neither an experiment or a rig file (both end with .yaml) nor the folder of a run. Choose one of these."
    )
