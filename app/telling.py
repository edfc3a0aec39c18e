"""The commands `note` and `answer`: words of a person for a run; a note also for one that ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aeqlab.app.exits import ExitCode
from aeqlab.protocols.control import person, send
from aeqlab.protocols.errors import NotAllowedError, RecordError, UnknownRunError
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.run_folder import DEFAULT_RUNS, find_run, is_alive


def tell_run(command: str, words: Sequence[str], runs: Path | None) -> int:
    """Send a note or an answer to the run that the first word names, or else to the one run that is going on."""
    folder, text = _addressed(words, runs or DEFAULT_RUNS)
    if command == "note" and not is_alive(folder):
        add_note(folder, person(), text)
        print(f"{folder.name}: Noted in its record.")
        return ExitCode.OK
    try:
        print(f"{folder.name}: {send(folder, command, text)['text']}")
    except RecordError:
        if command != "note" or is_alive(folder):
            raise
        add_note(folder, person(), text)  # it ended in this very moment
        print(f"{folder.name}: Noted in its record.")
    return ExitCode.OK


def _addressed(words: Sequence[str], where: Path) -> tuple[Path, str]:
    """Tell the run from the text: the first of several words may name one."""
    if len(words) > 1:
        try:
            return find_run(words[0], where), " ".join(words[1:])
        except UnknownRunError as exc:
            unknown: UnknownRunError | None = exc
    else:
        unknown = None
    alive = [path.parent for path in sorted(where.glob("*/record.sqlite")) if is_alive(path.parent)]
    if len(alive) == 1:
        return alive[0], " ".join(words)
    if alive:
        names = ", ".join(path.name for path in alive)
        raise NotAllowedError(f"{len(alive)} runs are going on in {where}: {names}. Name one of them before the text.")
    hint = "Name a run before the text, or its folder with --runs." if unknown is None else str(unknown)
    raise RecordError(f"No run is going on in {where}. {hint}")
