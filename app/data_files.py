"""The commands `data fetch`, `data verify` and `data list`: files of data sets, brought here and looked at."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.looking import columns
from aeqlab.app.running import shortest
from aeqlab.app.words import size_in_words
from aeqlab.protocols.data_fetch import OnBytes, fetch, part_of
from aeqlab.protocols.data_sets import KNOWN, Found, KnownSet, folder_of, known_set, verify
from aeqlab.protocols.images import file_of_images
from aeqlab.protocols.places import data_root

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

DONE = {"there": "there already", "fetched": "fetched", "resumed": "fetched, from where it had stopped"}


def fetch_data(names: Sequence[str], source: str | None, known: Mapping[str, KnownSet] = KNOWN) -> int:
    """Fetch data sets by name and say what was done for each file; returns the exit code."""
    sets = [known_set(name, known) for name in names]
    for data in sets:
        folder = folder_of(data)
        try:
            with _progress() as on_bytes:
                for done in fetch(data, folder, source=source, on_bytes=on_bytes):
                    print(f"{data.name}  {done.path.name}  {DONE[done.how]}", flush=True)
        except KeyboardInterrupt:
            say(f"interrupted. What came is kept: `aeqlab data fetch {data.name}` goes on from there.")
            return ExitCode.INTERRUPTED
        print(f"{data.name} is in {shortest(folder)}")
    return ExitCode.OK


def verify_data(names: Sequence[str], known: Mapping[str, KnownSet] = KNOWN) -> int:
    """Say of each file whether it is good, missing or damaged; without names, of the sets that are there.

    Returns:
        The exit code: 0 only if every file that was looked at is good.
    """
    sets = [known_set(name, known) for name in names or known]
    if not names:
        sets = [data for data in sets if _files_there(data)]
        if not sets:
            say(f"No data set in {data_root()}. `aeqlab data fetch mnist` fetches one; AEQLAB_DATA names another folder.")
            return ExitCode.FAILED
    good = True
    for data in sets:
        folder = folder_of(data)
        found = []
        for each in verify(data, folder):
            found.append(each)
            good = good and each.state == "good"
        print(f"{data.name} in {shortest(folder)}")
        for line in columns([_row(each) for each in found]):
            print(line)
        if any(each.state != "good" for each in found):
            say(f"`aeqlab data fetch {data.name}` fetches what is missing or damaged.")
    return ExitCode.OK if good else ExitCode.FAILED


def list_data(known: Mapping[str, KnownSet] = KNOWN) -> int:
    """Say what can be fetched and what of it is there; returns the exit code."""
    rows = [("name", "is here", "size", "what it is")]
    for data in known.values():
        there = _files_there(data)
        state = "yes" if there == len(data.files) else f"{there} of {len(data.files)} files" if there else "no"
        rows.append((data.name, state, size_in_words(data.size), data.title))
    for line in columns(rows):
        print(line)
    print(f"Looked for in {data_root()}{' (AEQLAB_DATA)' if os.environ.get('AEQLAB_DATA') else ''}")
    return ExitCode.OK


def _files_there(data: KnownSet) -> int:
    folder = folder_of(data)
    return sum(file_of_images(folder, file.stem) is not None for file in data.files)


def _row(found: Found) -> tuple[str, str, str]:
    detail = found.detail
    if found.state == "missing" and part_of(found.path).exists():
        detail = f"{size_in_words(part_of(found.path).stat().st_size)} of {size_in_words(found.file.size)} have come"
    return f"  {found.path.name}", found.state, detail


@contextmanager
def _progress() -> Iterator[OnBytes]:
    """Show on a terminal how much has come; nothing is shown where nothing can be redrawn."""
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        yield lambda name, done, total: None
        return
    bar = _make_bar()
    tasks: dict[str, object] = {}

    def show(name: str, done: int, total: int) -> None:
        if name not in tasks:
            for task in bar.task_ids:
                bar.remove_task(task)
            tasks[name] = bar.add_task(name, total=total)
        bar.update(tasks[name], completed=done)  # type: ignore[arg-type]

    with bar:
        yield show


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False), transient=True,
    )  # fmt: skip
