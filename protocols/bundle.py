"""A bundle of runs for an archive: what was asked and recorded, how to read it, whom to cite, and a checksum of everything.

The same runs give the same bytes: files are in order of their names and bear the time at which the last of the runs ended.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from aeqlab.protocols.errors import ExportError
from aeqlab.protocols.export import open_record, refuse_to_overwrite, written_beside
from aeqlab.protocols.load import Run
from aeqlab.protocols.record_reader import opened
from aeqlab.protocols.run_inputs import COPY_BYTES

READER = Path(__file__).with_name("read_record.py")  #: the small reader, documented in docs/record.md
_FILES = ("experiment.yaml", "log.txt", "provenance.json")
#: What serves a run only while it goes on, and the record, of which a clean copy is taken.
_PASSING = frozenset({"control.json", "session", "record.sqlite", "record.sqlite-wal", "record.sqlite-shm"})
_EARLIEST = 315_532_800.0  # 1980, where the times of zip files begin
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bundled:
    """What a bundle holds: its file, the names in it, and what could not be put in, in sentences."""

    file: Path
    names: tuple[str, ...]
    missing: tuple[str, ...]


def bundle_runs(
    paths: Sequence[str | Path], to: str | Path | None = None, *, checkpoints: bool = False, force: bool = False
) -> Bundled:
    """Put runs into one zip file.

    Args:
        paths: run folders, live or ended.
        to: the file; None: where you stand, named after the run, or `runs.zip` for several.
        checkpoints: with the checkpoints, from which a run can be resumed.
        force: replace a file that is there.
    Raises:
        RecordError: a folder is not that of a run.
        ExportError: two runs have one name, a record is damaged, the file is there already, or the disk is full; nothing was left
            behind.
    """
    runs = sorted((open_record(path) for path in paths), key=_name)
    if not runs:
        raise ExportError("There is no run to bundle.")
    for one, other in itertools.pairwise(runs):
        if _name(one) == _name(other):
            raise ExportError(f"{one.path} and {other.path} have one name, and a bundle keeps runs by their names. Rename one.")
    target = Path(to) if to is not None else Path(f"{_name(runs[0])}.zip" if len(runs) == 1 else "runs.zip")
    refuse_to_overwrite(target, force=force)
    missing: list[str] = []
    with written_beside(target) as beside, tempfile.TemporaryDirectory(prefix=".aeqlab-", dir=target.parent) as room:
        records = {_name(run): _copied(run, Path(room) / f"{number}.sqlite") for number, run in enumerate(runs)}
        found = _files_of(runs, records, checkpoints, missing)
        files = {name: path for name, path in sorted(found) if path.resolve() != target.resolve()}  # not the bundle it replaces
        names = _write(beside, files, _time_of(runs), _texts(runs))
    return Bundled(target, tuple(names), tuple(missing))


def _name(run: Run) -> str:
    return run.path.absolute().name


def _copied(run: Run, path: Path) -> Path:
    """Copy a record, live or not, into a single file that any program opens; the log of a run that was killed is folded in."""
    source = run.path / "record.sqlite"
    try:
        with opened(source) as connection:
            copy = sqlite3.connect(path)
            try:
                connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                copy.execute("VACUUM")  # the same rows give the same bytes, whatever lay in unused places
            finally:
                copy.close()
    except sqlite3.Error as exc:
        if "full" in str(exc):
            raise ExportError(
                f"{path.parent.parent}: the disk is full; nothing was left there. Make room, or choose --to."
            ) from exc
        raise ExportError(f"{source} cannot be copied: {exc}. `aeqlab export` gets out of it what can be read.") from exc
    return path


def _files_of(runs: Sequence[Run], records: dict[str, Path], checkpoints: bool, missing: list[str]) -> Iterator[tuple[str, Path]]:
    for run in runs:
        name = _name(run)
        yield f"{name}/record.sqlite", records[name]
        missing += [f"{name}: there is no {file}." for file in _FILES if not (run.path / file).is_file()]
        missing += [f"{name}: {file} is not in it; it was too large to be copied." for file in _left_outside(run)]
        others = {record.parent for record in run.path.rglob("record.sqlite")} - {run.path}  # runs that were made inside of it
        for path in sorted(run.path.rglob("*")):
            parts = path.relative_to(run.path).parts
            passing = parts[0] in _PASSING or (parts[0] == "checkpoints" and not checkpoints)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if not passing and not hidden and others.isdisjoint(path.parents) and path.is_file() and not path.is_symlink():
                yield f"{name}/{'/'.join(parts)}", path


def _left_outside(run: Run) -> list[str]:
    """Get the files of the experiment that its run did not copy."""
    return [file["path"] for file in run.provenance.get("files", []) if not file["copy"]]


def _time_of(runs: Sequence[Run]) -> float:
    """Get when the last run ended, or, while one goes on, when it last began: seconds since 1970."""
    times = [_EARLIEST]
    for run in runs:
        attempts = run.attempts
        for name in ("started_at", "ended_at"):
            times += [float(value) for value in attempts[name] if value == value]
    return max(times)


def _write(path: Path, files: dict[str, Path], at: float, texts: dict[str, str]) -> list[str]:
    stamp = time.gmtime(at)[:6]
    contents: dict[str, Path | bytes] = {**files, **{name: text.encode("utf-8") for name, text in texts.items()}}
    sums = []
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(contents):
            sums.append(f"{_add(archive, name, contents[name], stamp)}  {name}\n")
        _add(archive, "SHA256SUMS", "".join(sums).encode("utf-8"), stamp)
        return archive.namelist()


def _add(archive: zipfile.ZipFile, name: str, content: Path | bytes, stamp: tuple[int, ...]) -> str:
    """Add a file and get its checksum; that of what was written, so that a log which grows meanwhile is right too."""
    info = zipfile.ZipInfo(name, stamp)  # type: ignore[arg-type]
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o644 << 16  # one and the same on every system
    digest = hashlib.sha256()
    with archive.open(info, "w", force_zip64=True) as out:
        if isinstance(content, bytes):
            digest.update(content)
            out.write(content)
        else:
            with content.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
    return digest.hexdigest()


# what stands beside the runs
def _texts(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "CITATION.cff": CITATION.format(version=version("aeqlab")),
        "README.txt": README.format(
            runs="\n".join(f"  {_name(run)}  {_in_a_line(run)}" for run in runs), copied=COPY_BYTES // 2**20
        ),
        "read_record.py": READER.read_text(encoding="utf-8"),
    }


def _in_a_line(run: Run) -> str:
    attempts = run.provenance.get("attempts") or [{}]
    software = attempts[-1].get("versions", {}).get("aeqlab")
    seed = run.meta.get("seed")
    said = [f"{len(run.steps):,} training steps", "" if seed is None else f"seed {json.dumps(seed)}", run.state]
    return ", ".join(word for word in said if word) + (f", recorded by aeqlab {software}" if software else "")


README = """Runs of Agnostic Equilibrium Propagation, recorded by aeqlab
=============================================================

{runs}

Each run is a folder:

  experiment.yaml   what was asked, defaults filled in; `aeqlab run experiment.yaml` does it again
  inputs/           the user's code and tables that the experiment names, up to {copied} MB each; theta of other runs it
                    starts from. Images, and what is larger, are not here: provenance.json has their SHA-256
  provenance.json   versions, commit, computer, person, seed, SHA-256 of the data, begin and end
  record.sqlite     every step, evaluation, trace and event: an SQLite file; its table `columns` says what stands
                    in each column, in which unit
  log.txt           what went wrong, with tracebacks
  checkpoints/      states from which the run goes on, where they were asked for
  all else          what stages wrote, such as the table and the figure of a comparison

And beside them:

  read_record.py    reads a record; needs Python and numpy, nothing else:
                      python read_record.py RUN/record.sqlite
  SHA256SUMS        checksums of all files; check them with: sha256sum -c SHA256SUMS
  CITATION.cff      the software and the paper to cite
"""

CITATION = """cff-version: 1.2.0
message: If you use these data, please cite the software and the paper of the method.
title: aeqlab
type: software
version: {version}
abstract: Instrument control for people who train physical systems with Agnostic Equilibrium Propagation
license: MIT
authors:
  - name: The aeqlab developers
preferred-citation:
  type: article
  title: "Agnostic Physics-Driven Deep Learning"
  authors:
    - family-names: Scellier
      given-names: Benjamin
    - family-names: Mishra
      given-names: Siddhartha
    - family-names: Bengio
      given-names: Yoshua
    - family-names: Ollivier
      given-names: Yann
  year: 2022
  journal: "arXiv:2205.15021"
  url: "https://arxiv.org/abs/2205.15021"
"""
