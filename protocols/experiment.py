"""The experiment: what one YAML file says, checked as a whole, with every mistake at its line and all of them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from aeqlab.backends.kinds import DeviceSettings, RigSettings
from aeqlab.backends.rig_plan import plan_of
from aeqlab.backends.silence import unattended_refusal
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.crosscheck import Parts, all_stages, cross_check
from aeqlab.protocols.data import DataSettings
from aeqlab.protocols.errors import FileErrors, Problem, RecordError
from aeqlab.protocols.explain import explain, place_of
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.notify import NotifyEntry
from aeqlab.protocols.overrides import apply_overrides
from aeqlab.protocols.plain import tree_of
from aeqlab.protocols.rig_loading import take_in_rig
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.yaml import MAX_BYTES, Node, parse, read_text
from aeqlab.protocols.yaml_write import write_yaml

__all__ = [
    "Experiment",
    "LoadedExperiment",
    "load_experiment",
    "load_text",
    "load_values",
    "preset_names",
    "preset_text",
    "to_yaml",
]


MOST_PROBLEMS = 100  #: shown at once


class Experiment(BaseModel):
    """An experiment: a device, data, how theta is held, and a sequence of stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
        description="Letters, digits, dots, dashes, underscores; part of the run folder's name.",
    )
    seed: int = Field(default=1, ge=0, le=2**63 - 1, description="Seed of every random stream; one seed, the same samples.")
    device: DeviceSettings = Field(description="The physical system, by kind.")
    data: DataSettings | None = Field(default=None, description="The data set, by kind; left out where no stage needs samples.")
    homeostasis: HomeostasisSettings = Field(default=HomeostasisSettings(), description="How theta is held.")
    settling: SettlingSettings = Field(default=SettlingSettings(), description="When a clamped phase has come to rest.")
    limits: SessionLimits | None = Field(default=None, description="Narrower limits of knobs and nudge than the device's own.")
    sequence: list[StageEntry] = Field(min_length=1, max_length=1000, description="The stages, in order.")
    then: Literal["freeze", "safe", "hold"] = Field(default="freeze", description="What the device does after the last stage.")
    runs: str | None = Field(default=None, min_length=1, description="Folder for the runs (default: runs, where it is started).")
    operator: str = Field(default="", max_length=200, description="Who stands at the device, for the record.")
    unattended: bool = Field(
        default=False, description="Nobody stays with the rig: refused where something could do damage when this computer dies."
    )
    notify: list[NotifyEntry] = Field(default=[], max_length=20, description="Whom to tell of alarms, changes of state, the end.")
    tags: list[str] = Field(default=[], max_length=100, description="Words to find the run by.")
    notes: str = Field(default="", description="Anything to remember, for the record.")

    def __init__(self, /, **values: Any) -> None:
        """Hold what is made in Python to the rules of a file, and say what is wrong with it in the same sentences.

        Raises:
            FileErrors: everything that is wrong, each with its key.
        """
        _, tree, problems = tree_of(values)
        read = _read(tree, problems)
        if problems or read is None:
            raise FileErrors(_in_order(problems))
        super().__init__(**{name: getattr(read, name) for name in read.model_fields_set})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # reading a file goes past it, as past pydantic's own

    def to_yaml(self) -> str:
        """Write it as YAML with all defaults filled in; loading that gives an equal experiment."""
        return to_yaml(self)

    def save(self, path: str | Path) -> Path:
        """Write it into a file, whole or not at all, and return its path. Paths stay as they are written.

        Raises:
            RecordError: the file cannot be written.
        """
        path = Path(path)
        try:
            write_whole(path, self.to_yaml().encode("utf-8"))
        except OSError as exc:
            raise RecordError(f"{path} cannot be written: {exc.strerror or exc}.") from exc
        return path


@dataclass(frozen=True, slots=True)
class LoadedExperiment:
    """An experiment and where it comes from.

    Attributes:
        experiment: the experiment.
        text: the file as it was written.
        path: the file; None for a preset.
        base: folder from which its paths resolve: that of the file, the present one for a preset.
        tree: the tree of the text with the overrides in it, which knows the lines.
        warnings: what is allowed but probably not meant.
    """

    experiment: Experiment
    text: str
    path: Path | None
    base: Path
    tree: Node = field(repr=False)
    warnings: tuple[Problem, ...] = ()

    def problem(self, key: str, message: str, hint: str = "") -> Problem:
        """Say that something is wrong at a key such as `data.path`, with its file and line."""
        return place_of(self.tree, tuple(key.split("."))).problem(message, hint, key=key)


def load_experiment(source: str | Path | Experiment, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Load an experiment file, or a preset by its name, and check everything that can be known without opening the device.

    Code that a file names is not run and not imported. Data files are read no further than their headers. Paths resolve from the
    folder of the file, those of a preset or of an experiment made in Python from the present folder; so do paths in overrides.

    Args:
        source: a path, the name of a preset such as `linear-regression`, or an experiment.
        overrides: `key=value` each, as `--set` takes them; the value by the rules of YAML.
    Raises:
        FileErrors: everything that is wrong, each with its place.
    """
    if isinstance(source, Experiment):
        return load_values(source.model_dump(mode="json"), Path.cwd(), overrides)
    text, path, label = _find(source)
    tree, problems = parse(text, label)
    base = Path.cwd() if path is None else path.resolve().parent
    return _checked(text, tree.copy(), problems, path, base, overrides)


def load_text(text: str, label: str, base: Path, path: Path | None = None) -> LoadedExperiment:
    """Load an experiment from a text that need not stand in a file, as an editor holds it; checked as a file is.

    Args:
        text: the YAML.
        label: what to call it in problems.
        base: folder from which its paths resolve.
        path: the file it belongs to, if there is one; it is not read.
    Raises:
        FileErrors: everything that is wrong, each with its place.
    """
    if len(text) > MAX_BYTES:
        hint = "Is it another file? Long lists belong into a table of their own."
        raise FileErrors([Problem(label, None, None, "", f"larger than {MAX_BYTES // 1024} KiB.", hint)])
    tree, problems = parse(text, label)
    return _checked(text, tree.copy(), problems, path, base, ())


def load_values(values: Mapping[str, Any], base: Path, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Load an experiment from Python values, checked as a file is; what is wrong is told by key, not by line.

    Args:
        values: by key, as a file has them; models of settings and stages, paths and numpy's numbers will do too.
        base: folder from which its paths resolve.
        overrides: as for `load_experiment`.
    Raises:
        FileErrors: everything that is wrong.
    """
    text, tree, problems = tree_of(dict(values))
    return _checked(text, tree, problems, None, base, overrides)


def _checked(
    text: str, tree: Node, problems: list[Problem], path: Path | None, base: Path, overrides: Sequence[str]
) -> LoadedExperiment:
    """Put the overrides into a tree and check it as a whole."""
    of_rig = [text for text in overrides if text.startswith("device.rig.")]
    words = {"stages": list(StageEntry.words()), "keys": list(Experiment.model_fields)}
    problems += apply_overrides(tree, [text for text in overrides if text not in of_rig], **words)
    problems += take_in_rig(tree, base)
    problems += apply_overrides(tree, of_rig, **words)
    experiment = _read(tree, problems)
    found, warnings = cross_check(_parts(tree, experiment), tree, base)
    problems += found
    if experiment is not None and experiment.unattended and isinstance(experiment.device, RigSettings) and not problems:
        node = place_of(tree, ("unattended",))
        problems += [node.problem(why, key="unattended") for why in refusal_to_leave(experiment.device, base)]
    if problems or experiment is None:
        raise FileErrors(_in_order(problems))
    return LoadedExperiment(experiment, text, path, base, tree, tuple(warnings))


def _read(tree: Node, problems: list[Problem]) -> Experiment | None:
    """Make an experiment of a tree; None if it is none, and why is added to the problems."""
    try:
        return Experiment.model_validate_json(json.dumps(tree.plain()), strict=True)
    except ValidationError as exc:
        known = set(map(_place, problems))  # a value that cannot be read is not also out of range
        problems += [problem for problem in explain(exc, tree, Experiment) if _place(problem) not in known]
    return None


def _place(problem: Problem) -> tuple[object, ...]:
    return (problem.file, problem.line, problem.column) if problem.file else (problem.key,)


def preset_names() -> tuple[str, ...]:
    """Get the names of the experiments that ship with aeqlab."""
    folder = resources.files("aeqlab.protocols.presets")
    names = (file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    return tuple(sorted(name for name in names if "." not in name))  # demo.bench.yaml is a bench, demo.rig.yaml a rig


def preset_text(name: str) -> str:
    """Get the file of a preset."""
    return (resources.files("aeqlab.protocols.presets") / f"{name}.yaml").read_text(encoding="utf-8")


def to_yaml(experiment: Experiment) -> str:
    """Write an experiment as YAML with all defaults filled in; loading it gives an equal experiment.

    Paths stay as they were written, so they resolve from the folder of the first file only.
    """
    return write_yaml(experiment.model_dump(mode="json"))


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Sort problems by line, those of `--set` last, each once; of a flood, only the first."""
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.line is None, p.line or 0, p.column or 0))
    if len(ordered) > MOST_PROBLEMS:
        more = Problem(
            ordered[0].file, None, None, "", f"and {len(ordered) - MOST_PROBLEMS} more problems.", "Is it another file?"
        )
        ordered = [*ordered[:MOST_PROBLEMS], more]
    return ordered


def _find(source: str | Path) -> tuple[str, Path | None, str]:
    """Find the text of an experiment, its file if it has one, and what to call it in problems."""
    name = str(source)
    path = Path(source)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name no file can have
        there = False
    if isinstance(source, str) and name in preset_names() and not there:
        return preset_text(name), None, name
    if isinstance(source, str) and not path.suffix and len(path.parts) == 1 and not there:
        hint = did_you_mean(name, preset_names()).strip() or f"Presets are {', '.join(preset_names())}."
        raise FileErrors([Problem(name, None, None, "", "neither a file nor a preset.", hint)])
    return read_text(path), path, name


def refusal_to_leave(device: RigSettings, base: Path) -> list[str]:
    """List what keeps a rig from being left alone."""
    return unattended_refusal(plan_of(device.described, base))


@cache
def _field(key: str) -> TypeAdapter[Any]:
    """Get what checks one field of an experiment by itself."""
    about = Experiment.model_fields[key]
    return TypeAdapter(cast(Any, Annotated[cast(Any, about.annotation), about]))


def _parts(tree: Node, experiment: Experiment | None) -> Parts:
    """Get what is valid of an experiment, so that its parts are checked against one another though others are wrong."""
    if experiment is not None:
        stages = tuple(all_stages(experiment.sequence))
        parts = experiment.device, experiment.data, experiment.homeostasis, stages
        return Parts(*parts, limits=experiment.limits, seed=experiment.seed)
    top = tree.value if isinstance(tree.value, dict) else {}

    def valid(key: str) -> Any:
        if key not in top:
            return None
        try:
            return _field(key).validate_json(json.dumps(top[key].plain()), strict=True)
        except ValidationError:
            return None

    data = valid("data")
    wrong = data is None and "data" in top and top["data"].value is not None
    stages = tuple(all_stages(valid("sequence") or []))
    return Parts(valid("device"), data, valid("homeostasis"), stages, wrong, valid("limits"), valid("seed") or 0)
