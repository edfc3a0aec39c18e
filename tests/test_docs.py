"""The documents tell the truth: their experiments load, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.cli import cli, main
from aeqlab.app.keys import in_markdown
from aeqlab.backends.bench_file import BenchSettings
from aeqlab.backends.rig_file import RigFile
from aeqlab.backends.rig_plan import rig_problems
from aeqlab.protocols.experiment import load_experiment, preset_names, preset_text
from aeqlab.protocols.record_schema import TABLES
from aeqlab.protocols.schema import json_schema
from aeqlab.protocols.yaml import parse

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
DAC = '  dac: {driver: qdac2, address: "TCPIP::10.0.0.1::5025::SOCKET"}\n'
REST_OF_RIG = """
parameters: {names: theta, channels: "stage[encoder]", unit: mm}
inputs:     [{name: z, channel: dac1, limits_V: [-1, 1]}]
outputs:    [{name: s, channel: "dac[i3]", unit: A}]
nudge:      {realisation: one-shot, channels: dac2, beta_max: 0.2, limits_V: [-1, 1]}
"""
STAGES_OF = preset_text("linear-regression")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(document: Path, language: str) -> list[str]:
    """Get the fenced blocks of one language."""
    return [body for found, body in FENCE.findall(document.read_text(encoding="utf-8")) if found == language]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_experiments_in_the_documents_load(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "walls.csv").write_text("wall,mass\n" + "".join(f"{i},{2 * i}\n" for i in range(10)), encoding="utf-8")
    for text in blocks(document, "python"):
        if text.startswith("# ") and text.splitlines()[0].endswith(".py"):  # the file that an experiment beside it names
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")
        if 'open("data.csv", "w"' in text:  # the data of an experiment on the bench beside it
            monkeypatch.chdir(tmp_path)
            exec(text, {})
            addresses = {name: f"TCPIP::127.0.0.1::{5000 + k}::SOCKET" for k, name in enumerate(("dac", "adc", "smu"))}
            rig = filled(rig_text("bench-16") or "", addresses, "127.0.0.1:5099")
            (tmp_path / "bench.yaml").write_text(rig, encoding="utf-8")
    for number, text in enumerate(blocks(document, "yaml")):
        if text.startswith("maker:"):  # an instrument: tests/drivers/test_scpi.py opens it
            continue
        if text.startswith("# a bench"):
            assert BenchSettings.model_validate(parse(text, document.name)[0].plain()).faults
            continue
        if text.startswith("# of an experiment"):
            text = f"{STAGES_OF}{text}"
        if text.startswith("# bench.yaml, continued"):
            text = f"{blocks(document, 'yaml')[0]}{text}"
        if text.startswith("# of a rig file"):
            text = f"# bench.yaml\n{text.partition(chr(10))[2]}{REST_OF_RIG}".replace("instruments:\n", f"instruments:\n{DAC}")
        if text.startswith("# bench.yaml\ninstruments:"):  # a rig
            assert rig_problems(RigFile.model_validate(parse(text, document.name)[0].plain()), tmp_path) == []
            continue
        file = tmp_path / f"{number}.yaml"
        if text.startswith("- "):  # stages, for the sequence of an experiment
            text = f"{STAGES_OF[: STAGES_OF.index('sequence:')]}sequence:\n{text}"
        file.write_text(text, encoding="utf-8")
        assert load_experiment(file).experiment.sequence


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_in_the_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for word in re.findall(r"(?:`|^)aeqlab ([a-z]+)", text, re.MULTILINE):
        assert word in cli.commands, f"{document.name}: aeqlab {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_command_lines_in_the_documents_are_understood(document: Path) -> None:
    """Every line of a block that begins with aeqlab is taken apart as the command line does it; nothing is done."""
    lines = [line for language in ("", "console") for block in blocks(document, language)
             for line in block.replace("\\\n", " ").splitlines()]  # fmt: skip
    for line in lines:
        for part in re.split(r"&&|\|", line.removeprefix("$ ").partition("  #")[0]):
            words = [word for word in shlex.split(part) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
            if words[:1] != ["aeqlab"]:
                continue
            command: click.Command = cli
            words = words[1:]
            while isinstance(command, click.Group) and words and not words[0].startswith("-"):
                assert words[0] in command.commands, line
                command, words = command.commands[words[0]], words[1:]
            command.make_context("aeqlab", [word for word in words if word != "..."])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_in_the_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_in_the_guide_and_in_the_help(name: str) -> None:
    assert name in (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert name in (cli.commands["run"].help or "")


def test_the_reference_of_keys_is_what_the_models_say() -> None:
    made = in_markdown(json_schema()).splitlines()
    written = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8").splitlines()
    old = [line for line in written if line not in made] + [line for line in made if line not in written]
    assert not old, "docs/keys.md is out of date; write it anew: aeqlab schema --markdown > docs/keys.md"
    assert made == written


def test_the_reference_of_keys_says_what_each_key_takes() -> None:
    lines = in_markdown(json_schema()).splitlines()
    assert "| `outputs` | `1`, `2` | `1` | 1: one output, high where the inputs differ. 2: one-hot, for equal" in "\n".join(lines)
    assert [line for line in lines if line.startswith("| `delimiter` | `,`, `;`, `\\t` | ")]
    for line in lines:
        if line.startswith("| `"):
            cells = line.replace("\\|", "").strip("| ").split(" | ")
            assert len(cells) == 4, line
            assert all(cells), line
            assert "``" not in line, line


def test_the_record_is_documented_as_the_schema_makes_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "--record"])
    made = capsys.readouterr().out
    for table in TABLES:
        assert f"\n### {table.name}\n" in made
        for column in table.columns:
            assert f"\n| `{column.name}` | {column.sql.split()[0]}" in made
    written = (ROOT / "docs" / "record.md").read_text(encoding="utf-8")
    assert written[written.index("## Tables") :] == made, "docs/record.md is out of date; its end: aeqlab schema --record"


def test_every_exit_code_is_explained() -> None:
    from aeqlab.app.exits import ExitCode

    table = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [int(code) for code in ExitCode]
