"""Loading the file of an emulated bench, as strictly as an experiment: every mistake at its line, all of them at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from aeqlab.backends.bench_file import BenchSettings
from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.explain import explain
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.overrides import apply_overrides
from aeqlab.protocols.yaml import parse, read_text

SUFFIX = ".bench.yaml"


@dataclass(frozen=True, slots=True)
class LoadedBench:
    """The file of a bench: its settings, and the folder from which its paths count."""

    settings: BenchSettings
    base: Path


def bench_names() -> tuple[str, ...]:
    """Get the names of the benches that ship with aeqlab."""
    folder = resources.files("aeqlab.protocols.presets")
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX)))


def load_bench(source: str | Path, overrides: tuple[str, ...] = ()) -> LoadedBench:
    """Load the file of a bench, or one that ships with aeqlab by its name.

    Args:
        source: a path, or a name such as `bench-16`.
        overrides: `key=value` each, as `--set` takes them.
    Raises:
        FileErrors: everything that is wrong, each with its place.
    """
    path = Path(source)
    if str(source) in bench_names() and not path.exists():
        text = (resources.files("aeqlab.protocols.presets") / f"{source}{SUFFIX}").read_text(encoding="utf-8")
        label, base = str(source), Path.cwd()
    else:
        if not path.suffix and not path.exists():
            hint = did_you_mean(str(source), bench_names()).strip() or f"Benches are {', '.join(bench_names())}."
            raise FileErrors([Problem(str(source), None, None, "", "neither a file nor a bench that ships with aeqlab.", hint)])
        text, label, base = read_text(path), str(source), path.resolve().parent
    tree, problems = parse(text, label)
    tree = tree.copy()
    problems += apply_overrides(tree, overrides, stages=[], keys=list(BenchSettings.model_fields))
    try:
        settings = BenchSettings.model_validate_json(json.dumps(tree.plain()), strict=True)
    except ValidationError as exc:
        raise FileErrors([*problems, *explain(exc, tree, BenchSettings)]) from exc
    if problems:
        raise FileErrors(problems)
    return LoadedBench(settings, base)
