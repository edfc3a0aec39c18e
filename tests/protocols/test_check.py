"""Checking: what each knob may do, time and disk, the schema; and that nothing is touched, opened or run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aeqlab.backends.settings import Dimensions
from aeqlab.protocols.check import CheckReport, Envelope, check
from aeqlab.protocols.crosscheck import device_facts
from aeqlab.protocols.data import DataWidths
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.estimate import estimate
from aeqlab.protocols.experiment import load_experiment, preset_names, preset_text
from aeqlab.protocols.schema import json_schema
from aeqlab.protocols.stages.options import MARKS
from aeqlab.protocols.stages.registry import stage_kinds
from aeqlab.protocols.yaml import parse


def rows(report: CheckReport) -> dict[str, Envelope]:
    return {row.what: row for row in report.envelope}


def test_the_envelope_of_the_regression() -> None:
    found = rows(check(load_experiment("linear-regression", ["train.method=pessimistic", "train.beta=0.3"])))
    assert (found["input knobs"].count, found["input knobs"].low, found["input knobs"].high) == (1, -1, 1)
    assert found["input knobs"].asked == pytest.approx((-1, 1))
    assert (found["control knobs"].count, found["control knobs"].low) == (21, -math.inf)
    assert found["nudge beta"].asked == pytest.approx((-0.3, 0))
    assert "-0.4762" in found["nudge beta"].note


def test_the_envelope_of_a_slow_device() -> None:
    found = rows(check(load_experiment("linear-slow", ["device.control_limits=[-3, 4]", "device.slew_V_per_s=5"])))
    knobs = found["control knobs"]
    assert (knobs.low, knobs.high, knobs.unit, knobs.slew_per_s) == (-3, 4, "V", 5)
    assert knobs.step == pytest.approx(20 / 2**20)
    assert (found["nudge beta"].low, found["nudge beta"].high) == (-1, 1)


def test_the_envelope_is_narrowed_by_the_limits_of_the_experiment() -> None:
    asked = "limits={controls: [-2, 1], inputs: [-1, 1], beta: [-0.1, 0.2], slew_per_s: 3}"
    found = rows(check(load_experiment("linear-slow", [asked])))
    assert (found["control knobs"].low, found["control knobs"].high, found["control knobs"].slew_per_s) == (-2, 1, 3)
    assert (found["nudge beta"].low, found["nudge beta"].high) == (-0.1, 0.2)
    assert found["parameters"].high == math.inf


def test_the_work_is_counted() -> None:
    experiment = load_experiment("linear-regression", ["train.epochs=3", "data.samples=50"]).experiment
    dimensions, widths = experiment.device.dimensions(Path()), DataWidths(1, 1, 50, 1000)
    found = estimate(experiment, dimensions, widths)
    assert found is not None
    assert found.steps == 150
    assert found.seconds is not None
    assert 0 < found.seconds[0] < found.seconds[1] < 600
    inner = "{times: 4, sequence: [{train: {beta: 0.1, samples: 7}}, evaluate]}"
    repeated = load_experiment("linear-regression", [f"sequence=[{{repeat: {inner}}}]"]).experiment
    again = estimate(repeated, dimensions, widths)
    assert again is not None
    assert again.steps == 28
    assert estimate(experiment, None, widths) is None
    assert estimate(experiment, dimensions, None) is None


def test_time_on_the_wall_is_that_of_the_device() -> None:
    wall = load_experiment("linear-slow", ["device.clock=wall", "sequence=[{hold: {seconds: 100}}]", "device.speed=2"])
    seconds = check(wall).estimate
    assert seconds is not None
    assert seconds.seconds is not None
    assert seconds.seconds[0] <= 50 <= seconds.seconds[1]


def test_the_reaction_follows_the_tick_of_a_device_on_the_wall_clock() -> None:
    quick = check(load_experiment("linear-slow", ["device.clock=wall"])).reaction
    assert quick is not None
    assert quick.exchange_s == pytest.approx(0.07)  # a piece of a long time, and the dead time
    assert quick.nudge_off_s == pytest.approx(0.25)
    assert quick.safe_s == pytest.approx(1.72)
    slow = check(load_experiment("linear-slow", ["device.clock=wall", "device.tick_s=3", "device.speed=0.5"])).reaction
    assert slow is not None
    assert slow.exchange_s == pytest.approx(6.04)
    assert slow.safe_s == pytest.approx(7.69)
    assert check(load_experiment("linear-slow", ["device.clock=virtual"])).reaction is None
    assert check(load_experiment("linear-regression")).reaction is None


def test_what_only_user_code_knows_is_left_open_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("open('canary', 'w').close()\nclass Net: pass\n", encoding="utf-8")
    text = preset_text("linear-regression").replace("energy: linear", "energy: mine.py:Net")
    (tmp_path / "f.yaml").write_text(text, encoding="utf-8")
    report = check(load_experiment(tmp_path / "f.yaml"))
    assert report.ok
    assert report.estimate is None
    assert report.user_code == ("mine.py:Net",)
    assert rows(report)["input knobs"].count is None
    assert not list(tmp_path.rglob("canary"))


def test_a_device_that_is_too_large_for_long_sums_is_checked_all_the_same() -> None:
    overrides = ["device.energy=hopfield", "device.options={layers: [1, 10000, 10000, 1]}", "data=null"]
    overrides.append("sequence=[restore: {theta: random}]")
    device = load_experiment("linear-regression", overrides).experiment.device
    assert device_facts(device, Path()) == (Dimensions(1, 1, 10_000 + 10_000**2 + 10_000 + 20_001, 1), None)


def test_checking_mnist_loads_neither_torch_nor_the_images(data_folder: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from aeqlab.protocols import idx\n"
        "def refuse(*args): raise AssertionError('the images were read')\n"
        "idx.read_idx = refuse\n"
        "from aeqlab.protocols.check import check\n"
        "from aeqlab.protocols.experiment import load_experiment\n"
        "report = check(load_experiment('mnist-dense'))\n"
        "assert report.estimate.steps == 375000\n"
        "assert 'torch' not in sys.modules and 'PySide6' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "assert not os.listdir('.'), os.listdir('.')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "AEQLAB_DATA": str(data_folder)},
    )
    assert done.returncode == 0, done.stderr


# the schema


def test_the_schema_has_the_stages_of_the_registry_and_says_what_every_key_is() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert list(schema["$defs"]["StageEntry"]["properties"]) == [*stage_kinds(), *MARKS]
    for name, model in {"Experiment": schema, **schema["$defs"]}.items():
        for key, about in model.get("properties", {}).items():
            assert about.get("description") or key == "kind", f"{name}.{key} has no description"


def test_presets_fit_the_keys_of_the_schema() -> None:
    schema = json_schema()
    for name in preset_names():
        tree = parse(preset_text(name), name)[0].plain()
        assert set(tree) <= set(schema["properties"])
        assert set(schema["required"]) <= set(tree)


def test_bare_words_are_offered_for_stages_that_need_no_options() -> None:
    entry = json_schema()["properties"]["sequence"]["items"]
    (words,) = (option["enum"] for option in entry["anyOf"] if "enum" in option)
    assert "evaluate" in words
    assert not {"train", "hold", "repeat"} & set(words)


@pytest.mark.parametrize(
    ("rows", "said"), [("abc,1\n", "line 2, column x"), ("nan,1\n", "not a finite"), ("1\n", "1 values for 2"), ("", "no rows")]
)
def test_a_table_that_cannot_be_read_is_found_by_the_check(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    text = "name: t\ndevice: {kind: simulated, energy: linear}\ndata: {kind: table, path: t.csv, inputs: [x], targets: [y]}\n"
    path = tmp_path / "e.yaml"
    path.write_text(text + "sequence:\n  - train: {method: centered, beta: 0.1}\n", encoding="utf-8")
    with pytest.raises(FileErrors, match=said):
        load_experiment(path)
    (tmp_path / "t.csv").write_text("x,y\n0.1,0.2\n0.3,0.4\n", encoding="utf-8")
    assert load_experiment(path).experiment.name == "t"
