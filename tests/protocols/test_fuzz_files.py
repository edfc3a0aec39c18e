"""Fuzzing of experiment files and data files: nothing but our own errors, no hang, and no code run.

Plain pytest tries 150 examples of each; `pytest -m slow` tries a hundred thousand.
"""

from __future__ import annotations

import gzip
import io
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aeqlab.backends.device import knobs
from aeqlab.protocols.check import check
from aeqlab.protocols.data import data_widths, load_data
from aeqlab.protocols.errors import DataError, FileErrors, Problem
from aeqlab.protocols.experiment import load_experiment, preset_names, preset_text, to_yaml
from aeqlab.protocols.images import MnistSettings
from aeqlab.protocols.scaling import ScaleSettings, scaled
from aeqlab.protocols.table import TableSettings

T = TypeVar("T")
EXAMPLES, MANY = 150, 100_000
CANARY = "canary"
#: What would leave a file behind if a reader ran code.
TRAPS = (
    f'!!python/object/apply:os.system ["echo x > {CANARY}"]',
    f'!!python/object/apply:builtins.open ["{CANARY}", "w"]',
    f"!!python/object/new:builtins.open {{args: [{CANARY}, w]}}",
    "!!python/name:os.system",
    "mine.py:Net",
    "mine.py:make",
    "{kind: function, function: 'mine.py:make'}",
    "{kind: simulated, energy: 'mine.py:Net'}",
)
RICH = """\
name: rich
seed: 3
device: {kind: simulated, energy: hopfield, epsilon: 1e-1, options: {layers: [2, 3, 1]}, batch: 2}
data: &d {kind: table, path: t.csv, inputs: ['x[0-1]'], targets: [y], test_fraction: 0.3, split: last,
  scale: {inputs: [0, 0.1], targets: [0, 1], ranges: {y: [0, 20], x1: [0, 9]}}}
homeostasis:
  controller: pid
  accept: {ticks: 50}   # a comment
  tolerance: .5
sequence:
  - train: {method: spsa, learning_rate: 1e-2, samples: 10, free_phase: {every: 3}}
  - repeat:
      times: 2
      sequence: [evaluate, {hold: {seconds: 1.5}}, {restore: {theta: random}}]
  - scan: {over: [{quantity: homeostasis.reads, from: 4, to: 8, points: 3}, {quantity: x0, values: [0, 0.5]}], read: [held]}
  - ramp: {quantity: settling.window, to: 4, seconds: 1}
  - set: {homeostasis.gain: 1, theta0: 0.1}
  - step-response: {quantity: u0, size: 0.1, seconds: 1}
notes: |
  several
  lines
tags: ['a', "b\\n", c]
then: safe
"""
BASES = (RICH, *map(preset_text, preset_names()))
WORDS = sorted({word for text in BASES for word in re.findall(r"[A-Za-z_]+", text)} | {"column", "split_column", "use", "limits"})
SIGNS = (": ", "- ", "? ", "{", "}", "[", "]", ",", "&a ", "*a", "<<: ", "!!str ", "!x ", "'", '"', "#", "|\n", "---\n", "~")
NUMBERS = ("no", "1e999", "-1", ".nan", ".inf", "1e-3", "0x10", "99999999999999999999", "0", "1", "2")
CHARACTERS = ("\t", "\n", "  ", "\\x00", "\ufeff", "\x85", "\u2028", "\U0001f600", "é", "\x00", "%YAML 1.2\n")
PATHS = ("../../etc/passwd", "/dev/null", "C:\\", "~/x", "~nobody/x", "t.csv")
TOKENS = (*WORDS, *TRAPS, *SIGNS, *NUMBERS, *CHARACTERS, *PATHS)


@pytest.fixture(autouse=True)
def _trapped(tmp_path: Path) -> Iterator[None]:
    """Lay out code that leaves a file behind when it is run; nothing may have run it."""
    (tmp_path / "mine.py").write_text(f"open('{CANARY}', 'w').close()\nclass Net: ...\ndef make(): ...\n", encoding="utf-8")
    (tmp_path / "t.csv").write_text("x0,x1,y,use\n1,2,3,0\n4,5,6,0\n7,8,9,1\n", encoding="utf-8")
    yield
    assert not (tmp_path / CANARY).exists()


def mutated(draw: st.DrawFn, text: str) -> str:
    """Change a text in a few places."""
    for _ in range(draw(st.integers(1, 6))):
        lines = text.splitlines(keepends=True) or [""]
        i = draw(st.integers(0, len(lines) - 1))
        at = draw(st.integers(0, len(text)))
        token = draw(st.sampled_from(TOKENS))
        match draw(st.integers(0, 7)):
            case 0:
                text = text[:at] + text[at + draw(st.integers(1, 20)) :]
            case 1:
                text = text[:at] + token + text[at:]
            case 2:
                text = "".join([*lines[:i], lines[i], *lines[i:]])
            case 3:
                text = "".join([*lines[:i], " " * draw(st.integers(1, 4)) + lines[i], *lines[i + 1 :]])
            case 4:
                text = "".join([*lines[:i], lines[i].lstrip(), *lines[i + 1 :]])
            case 5:
                spots = list(re.finditer(r"[\w.]+", text))
                if spots:
                    spot = draw(st.sampled_from(spots))
                    text = text[: spot.start()] + token + text[spot.end() :]
            case 6:
                text = text[:at] + draw(st.text(max_size=4)) + text[at:]
            case _:
                lines[i] = re.sub(r"(:\s*).*", lambda found: found[1] + token, lines[i], count=1)  # noqa: B023
                text = "".join(lines)
    return text


@st.composite
def mutated_experiments(draw: st.DrawFn) -> bytes:
    """Make experiment files that were right once."""
    return mutated(draw, draw(st.sampled_from(BASES))).encode("utf-8", "replace")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([*WORDS, *TRAPS])
KEYS = st.sampled_from(WORDS)
TREES = st.recursive(LEAVES, lambda part: st.lists(part, max_size=4) | st.dictionaries(KEYS, part, max_size=6), max_leaves=30)


@st.composite
def random_trees(draw: st.DrawFn) -> bytes:
    """Make trees of the words of experiments, some with the right frame around them."""
    tree: Any = draw(TREES)
    if draw(st.booleans()):
        frame = yaml.safe_load(draw(st.sampled_from(BASES)))
        frame[draw(st.sampled_from(sorted(frame)))] = tree
        tree = frame
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace")


BLANKS = st.sampled_from(["", "", " ", "\t", "  "])
QUANTITIES = st.sampled_from(
    [
        "homeostasis.gain",
        "homeostasis.reads",
        "settling.window",
        "beta",
        "coupling",
        "u",
        "u[0-1]",
        "x0",
        "theta0",
        "s",
        "held",
        "",
    ]
)
VALUES = st.sampled_from(["0", "1", "-1", "0.1", "4", "9", "1e-3", "1e308", "-1e308"])


@st.composite
def stages_by_name(draw: st.DrawFn) -> bytes:
    """Make experiments whose stages set and read by name, with blanks around names and numbers at the end of what there is."""

    def name() -> str:
        return yaml.safe_dump(draw(BLANKS) + draw(QUANTITIES) + draw(BLANKS), default_style='"').strip()

    def value() -> str:
        return draw(VALUES)

    stages = (
        f"scan: {{over: [{{quantity: {name()}, from: {value()}, to: {value()}, points: 3}}], read: [{name()}]}}",
        f"scan: {{over: [{{quantity: {name()}, values: [{value()}, {value()}]}}], sample: 0, wait_s: 1}}",
        f"ramp: {{quantity: {name()}, from: {value()}, to: {value()}, seconds: 1}}",
        f"set: {{{name()}: {value()}, {name()}: {value()}, read: [{name()}]}}",
        f"step-response: {{quantity: {name()}, size: {value()}, seconds: 1}}",
    )
    return re.sub(r"sequence:\n.*?\nnotes", f"sequence:\n  - {draw(st.sampled_from(stages))}\nnotes", RICH, flags=re.S).encode()


TEXTS = st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
EXPERIMENTS = mutated_experiments() | mutated_experiments() | random_trees() | st.binary(max_size=300) | TEXTS
PARTS = st.lists(st.sampled_from([*WORDS, "0", "1", "-1", "", "9" * 30]), max_size=4).map(".".join)
OVERRIDES = st.lists(st.tuples(PARTS, st.sampled_from(TOKENS)).map("=".join) | st.text(max_size=20), max_size=3)


def said(look: Callable[[], T]) -> T | None:
    """Do something; None if it raised one of our own errors, which says what is wrong in sentences."""
    try:
        return look()
    except (FileErrors, DataError) as exc:
        problems = exc.problems if isinstance(exc, FileErrors) else (Problem("", None, None, "", str(exc)),)
    for problem in problems:
        if not problem.message or "Traceback" in problem.message or "\n" in problem.message or (problem.line or 1) < 1:
            pytest.fail(f"this is no sentence with a place: {problem!r}")
    if not problems:
        pytest.fail("something is wrong, and nothing is said of it")
    return None


def survives_experiment(raw: bytes, overrides: list[str]) -> None:
    """Load a file: it is an experiment, which can be checked and written back, or all that is wrong is said in sentences."""
    Path("f.yaml").write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a person would see them, and they are no sentences
        loaded = said(lambda: load_experiment("f.yaml", overrides))
    if loaded is None:
        return
    check(loaded)
    Path("again.yaml").write_text(to_yaml(loaded.experiment), encoding="utf-8")
    assert load_experiment("again.yaml").experiment == loaded.experiment


# data files


def idx_bytes(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def npz_bytes(save: Callable[..., None], **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (CANARY, "w")


RNG = np.random.default_rng(0)
IMAGES, LABELS = idx_bytes(RNG.integers(0, 256, (6, 3, 3))), idx_bytes(RNG.integers(0, 10, 6))
NAMES = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES,
    "t10k-labels-idx1-ubyte": LABELS,
}
CSV = b"x0,x1,y\n" + b"".join(b"%d,%.3f,%d\n" % (i, i / 7, -i) for i in range(9)) + b"7,7,=cmd|' /c calc'!A0\n"
GOOD_CSV = b"x0,x1,y\n1,2,3\n4,5e-3,6\n-7,8,9\n"
X, Y = np.arange(12.0).reshape(6, 2), np.arange(6, dtype=np.float32)
NPZ = (
    npz_bytes(np.savez, x=X, y=Y),
    npz_bytes(np.savez_compressed, x=X, y=Y),
    npz_bytes(np.savez, x=np.array([Trap()] * 6, dtype=object), y=Y),
    pickle.dumps(Trap()),
)
SEEDS: dict[str, tuple[bytes, ...]] = {
    "train-images-idx3-ubyte": (IMAGES, gzip.compress(IMAGES)),
    "train-labels-idx1-ubyte": (LABELS, gzip.compress(LABELS)),
    "t.csv": (CSV, GOOD_CSV),
    "t.npz": NPZ,
}


@st.composite
def damaged_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Make data files that were right once."""
    name = draw(st.sampled_from(sorted(SEEDS)))
    raw = bytearray(draw(st.sampled_from(SEEDS[name])))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0 if raw:
                raw[at] = draw(st.integers(0, 255))
            case 1:
                del raw[at : at + draw(st.integers(1, 40))]
            case 2:
                raw[at:at] = draw(st.binary(max_size=8))
            case 3:
                del raw[at:]
            case _:
                raw += raw[at:]
    return name, bytes(raw)


DATA_FILES = damaged_files() | st.tuples(st.sampled_from(sorted(SEEDS)), st.binary(max_size=200))


def survives_data(file: tuple[str, bytes]) -> None:
    """Load a data file: it is a data set of finite numbers, or what is wrong is said in a sentence."""
    name, raw = file
    folder = Path("data")
    if not folder.exists():
        folder.mkdir()
        for each, whole in NAMES.items():
            (folder / each).write_bytes(whole)
    (folder / name).write_bytes(raw)
    inputs, targets = (["x"], ["y"]) if name.endswith(".npz") else (["x[0-1]"], ["y"])
    scale = ScaleSettings(inputs="limits", targets=(-1, 1))
    wish: MnistSettings | TableSettings = MnistSettings(path="data")
    if "idx" not in name:
        wish = TableSettings(path=f"data/{name}", inputs=inputs, targets=targets, scale=scale)
    widths, data = said(lambda: data_widths(wish, Path())), said(lambda: load_data(wish, seed=1, base=Path()))
    if name in NAMES:
        (folder / name).write_bytes(NAMES[name])
    if data is not None:
        assert np.isfinite(data.train.inputs).all()
        assert np.isfinite(data.train.targets).all()
        assert widths is not None
        assert (widths.inputs, widths.outputs) == (data.inputs, data.outputs)
        made = said(lambda: scaled(data, knobs(tuple(f"k{i}" for i in range(data.inputs)), low=-1.0, high=1.0)))
        if made is not None:
            assert np.isfinite(made[0].train.inputs).all()
            assert np.isfinite(made[0].train.targets).all()


def fuzzed(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run so many examples, always the same ones, as long as they take."""
    unhurried = [
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ]
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=unhurried)


@given(EXPERIMENTS, OVERRIDES)
@fuzzed(EXAMPLES)
def test_experiment_files(raw: bytes, overrides: list[str]) -> None:
    survives_experiment(raw, overrides)


@given(stages_by_name())
@fuzzed(EXAMPLES)
def test_stages_by_name(raw: bytes) -> None:
    survives_experiment(raw, [])


@given(DATA_FILES)
@fuzzed(EXAMPLES)
def test_data_files(file: tuple[str, bytes]) -> None:
    survives_data(file)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(EXPERIMENTS, OVERRIDES)
@fuzzed(MANY)
def test_a_hundred_thousand_experiment_files(raw: bytes, overrides: list[str]) -> None:
    survives_experiment(raw, overrides)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(stages_by_name())
@fuzzed(MANY)
def test_a_hundred_thousand_stages_by_name(raw: bytes) -> None:
    survives_experiment(raw, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(DATA_FILES)
@fuzzed(MANY)
def test_a_hundred_thousand_data_files(file: tuple[str, bytes]) -> None:
    survives_data(file)


def test_the_traps_would_snap() -> None:
    """The canary is worth something only if the traps work on a reader that is not careful."""
    snaps: tuple[Callable[[], Any], ...] = (lambda: yaml.unsafe_load(TRAPS[1]), lambda: pickle.loads(NPZ[3]))
    for snap in snaps:
        snap().close()
        assert Path(CANARY).exists()
        Path(CANARY).unlink()


def test_what_is_mutated_was_right_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants of files that were never right would all be refused at the first mistake."""
    monkeypatch.setenv("AEQLAB_DATA", str(Path.cwd() / "data"))
    (Path.cwd() / "data").mkdir()
    for name, raw in NAMES.items():
        (Path.cwd() / "data" / name).write_bytes(raw)
    Path("f.yaml").write_text(RICH, encoding="utf-8")
    load_experiment("f.yaml")
    for name, raws in SEEDS.items():
        survives_data((name, raws[-1] if "csv" in name else raws[0]))
