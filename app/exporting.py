"""The commands `export` and `bundle`: runs as files for other programs and for an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aeqlab.app.exits import ExitCode, say
from aeqlab.app.running import shortest
from aeqlab.app.words import size_in_words
from aeqlab.protocols.bundle import bundle_runs
from aeqlab.protocols.export import export_run
from aeqlab.protocols.load import load_run
from aeqlab.protocols.run_folder import DEFAULT_RUNS, find_run


def export_one(word: str, runs: Path | None, format: str, to: Path | None, tables: Sequence[str], *, force: bool) -> int:
    """Export a run and say what was written; returns the exit code."""
    done = export_run(_folder_of(word, runs), format, to, tables, force=force)
    place = done.files[0].parent if format == "csv" else done.files[0]
    size = size_in_words(sum(file.stat().st_size for file in done.files))
    print(f"{shortest(place)} ({size})")
    width = max(map(len, done.rows))
    for name, count in done.rows.items():
        print(f"  {name:{width}}  {count:,} rows")
    for sentence in done.missing:
        say(f"warning: {sentence}")
    return ExitCode.OK


def bundle(words: Sequence[str], runs: Path | None, to: Path | None, *, checkpoints: bool, force: bool) -> int:
    """Bundle runs and say what was written; returns the exit code."""
    done = bundle_runs([_folder_of(word, runs) for word in words], to, checkpoints=checkpoints, force=force)
    print(f"{shortest(done.file)} ({size_in_words(done.file.stat().st_size)}), {len(done.names)} files")
    for sentence in done.missing:
        say(f"warning: {sentence}")
    return ExitCode.OK


def _folder_of(word: str, runs: Path | None) -> Path:
    """Find a run by a folder or a word; a folder that is there is taken at its word, to say what it lacks."""
    if Path(word).is_dir():
        return load_run(word).path
    return find_run(word, runs or DEFAULT_RUNS)
