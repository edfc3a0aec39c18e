"""The sequence of a running run: told, changed where it has not begun, recorded, and gone on with by a resume."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from run_helpers import SMALL, experiment, only_run, wait_for

from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.sequence_told import StageWords, ask_sequence, edit_of, read_sequence

TEXT = SMALL.replace(
    "  - train: {method: centered, beta: 0.2}\n  - evaluate: {}\n",
    "  - train: {method: centered, beta: 0.2, samples: 1000000}\n  - evaluate: {}\n  - hold: {seconds: 1}\n",
)


@contextmanager
def running(folder: Path, text: str = TEXT) -> Iterator[tuple[Run, list[RunResult], Requests]]:
    results: list[RunResult] = []
    requests = Requests()
    loaded = experiment(folder, text)
    thread = threading.Thread(
        target=lambda: results.append(run_experiment(loaded, runs=folder / "runs", requests=requests, say=lambda text: None))
    )
    thread.start()
    try:
        wait_for(lambda: any((folder / "runs").glob("*/record.sqlite")) and len(only_run(folder / "runs").steps) > 3, "steps")
        yield only_run(folder / "runs"), results, requests
    finally:
        requests.ask_abort("the end of the test")
        thread.join(60)
    assert not thread.is_alive()


def rows(run: Run) -> list[dict[str, Any]]:
    return list(send(run.path, "sequence")["stages"])


def kinds(run: Run) -> list[tuple[str, str]]:
    return list(zip(run.stages["path"], run.stages["kind"], strict=True))


def test_stages_are_told_with_their_state_and_options(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _, _):
        told = send(run.path, "sequence")
        assert [(row["path"], row["word"], row["state"]) for row in told["stages"]] == [
            ("0", "train", "running"), ("1", "evaluate", "to come"), ("2", "hold", "to come"),
        ]  # fmt: skip
        assert "samples: 1000000" in told["stages"][0]["options"]
        assert "beta: 0.2" in told["stages"][0]["options"]
        assert (told["then"], told["edits"], told["begun"]) == ("freeze", 0, 1)


def test_what_is_to_come_is_replaced_and_written_down(tmp_path: Path) -> None:
    change = "- train: {method: optimistic, beta: 0.1, samples: 6}\n- {evaluate: {}, off: true}\n- evaluate: {on: train}\n"
    with running(tmp_path) as (run, results, _):
        answer = send(run.path, "edit", change, who="ada")
        assert answer["text"] == "To come: train, evaluate."
        assert [(row["word"], row["state"]) for row in rows(run)] == [
            ("train", "running"), ("train", "to come"), ("evaluate", "off"), ("evaluate", "to come"),
        ]  # fmt: skip
        send(run.path, "skip")
        wait_for(lambda: bool(results), "the end")
    assert results[0].state is RunState.FINISHED
    assert kinds(run) == [("0", "train"), ("1", "train"), ("3", "evaluate")]
    assert (run.stages["outcome"][0].startswith("skipped"), run.stages["outcome"][1]) == (True, "finished")
    (event,) = [text for text, word in zip(run.events["text"], run.events["word"], strict=True) if word == "edit"]
    assert "edit by ada" in event
    assert change.strip() in event
    assert "samples: 1000000" in run.experiment
    assert "hold" in run.experiment
    assert "optimistic" in (run.path / "sequence.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("- trian: {}", "train"),
        ("- train: {method: centered, beta: -1, samples: 3, colour: red}", "sequence.1.train.colour"),
        ("- train: {method: centered", "edit"),
        ("3", "must be a list"),
        ("{stages: []}", "stages"),
        ("- {evaluate: {}, off: 3}", "sequence.1.off"),
        ("- set: {u99: 0.1}", "u99"),
        ("x" * 65_000, "60,000"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_changes(tmp_path: Path, change: str, said: str) -> None:
    with running(tmp_path) as (run, _, _):
        before = rows(run)
        with pytest.raises(Exception, match=said):  # one too long for the wire is refused by the sender
            send(run.path, "edit", change)
        assert rows(run) == before
        assert send(run.path, "status")["state"] == "running"
        assert not (run.path / "sequence.yaml").exists()


def test_it_pauses_after_a_marked_stage_also_after_the_last_one(tmp_path: Path) -> None:
    with running(tmp_path) as (run, results, _):
        send(run.path, "edit", '{"pause_after_running": true, "sequence": []}', who="ada")
        assert rows(run)[0]["pause_after"]
        send(run.path, "skip")
        wait_for(lambda: run.state == "paused", "the pause")
        assert "pause_after of stage 0 (train)" in run.reason
        assert [row["state"] for row in rows(run)] == ["skipped"]
        send(run.path, "edit", "- evaluate: {}\n")
        send(run.path, "continue")
        wait_for(lambda: bool(results), "the end")
    assert results[0].state is RunState.FINISHED
    assert kinds(run) == [("0", "train"), ("1", "evaluate")]


def test_a_resume_goes_on_with_the_changed_sequence(tmp_path: Path) -> None:
    with running(tmp_path) as (run, results, requests):
        send(run.path, "edit", "- train: {method: optimistic, beta: 0.1, samples: 5}\n- evaluate: {}\n")
        requests.ask_stop("the power goes")
        wait_for(lambda: bool(results), "the end")
    again = Requests()
    shown: list[str] = []

    def progress(now: Any) -> None:
        shown.append(now.path)
        if now.path == "0":
            again.ask_skip("on with it")

    result = resume_run(run.path, requests=again, on_progress=progress, say=lambda text: None)
    assert result.state is RunState.FINISHED, result.reason
    run = load_run(run.path)
    assert [one for one in kinds(run) if one[0] != "0"] == [("1", "train"), ("2", "evaluate")]


def test_at_its_end_and_before_its_begin_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def late(session, options):\n"
        "    assert session.plan.take(9) is None\n"
        "    change = session.plan.understood('- evaluate: {}')\n"
        "    try:\n"
        "        session.plan.apply(change, 'ada')\n"
        "    except Exception as exc:\n"
        "        session.report(said=len(str(exc)))\n"
        "        return {'refused': str(exc)}\n",
        encoding="utf-8",
    )
    text = SMALL.replace("  - train: {method: centered, beta: 0.2}\n  - evaluate: {}\n", "  - mine.py:late: {}\n")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert result.state is RunState.FINISHED, result.reason
    assert "at its end" in str(result.summary["stages"])
    with pytest.raises(NotAllowedError, match="preparing"):
        _preparing()


def _preparing() -> None:
    from aeqlab.protocols.control import obey

    answer = obey(Requests(), lambda: {"state": "preparing"}, "sequence", "ada")
    if not answer["ok"]:
        raise NotAllowedError(answer["text"])


def test_stages_within_a_repetition_are_told_too(tmp_path: Path) -> None:
    text = SMALL.replace(
        "  - train: {method: centered, beta: 0.2}\n  - evaluate: {}\n",
        "  - repeat:\n      times: 3\n      sequence:\n        - train: {method: centered, beta: 0.2, samples: 100000}\n"
        "        - evaluate: {}\n",
    )
    with running(tmp_path, text) as (run, _, _):
        wait_for(lambda: send(run.path, "status")["path"] == "0.0.0", "the stage within")
        assert [(row["path"], row["depth"], row["word"], row["state"]) for row in rows(run)] == [
            ("0", 0, "repeat", "running"), ("0.*.0", 1, "train", "running"), ("0.*.1", 1, "evaluate", "to come"),
        ]  # fmt: skip


def test_a_change_is_meant_for_the_sequence_as_it_was_seen(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _, _):
        send(run.path, "edit", '{"begun": 1, "edits": 0, "sequence": [{"evaluate": {}}]}')
        for change, said in (
            ('{"begun": 1, "edits": 0, "sequence": []}', "Someone else changed the sequence meanwhile"),
            ('{"begun": 0, "edits": 1, "sequence": []}', "Stage 0 began meanwhile"),
        ):
            before = rows(run)
            with pytest.raises(NotAllowedError, match=said):
                send(run.path, "edit", change)
            assert rows(run) == before
        send(run.path, "edit", '{"begun": 1, "edits": 1, "sequence": []}')
        assert len(rows(run)) == 1


def test_it_is_told_in_words_live_and_when_the_run_has_ended(tmp_path: Path) -> None:
    with running(tmp_path) as (run, _, requests):
        words = StageWords(run.path)
        live = ask_sequence(run.path, words)
        assert [(row.state, row.word, row.editable) for row in live.rows] == [
            ("running", "train", False), ("to come", "evaluate", True), ("to come", "hold", True),
        ]  # fmt: skip
        assert live.rows[0].moves == "theta, by nudges of -0.1 and 0.1 (centered)"
        assert live.where == "train, 1 of 3"
        send(run.path, "edit", edit_of(live, [{"hold": {"seconds": 2}}], pause_after_running=True))
        requests.ask_stop("enough")
        wait_for(lambda: not is_alive(run.path), "the end")
    stages = [(str(path), str(how or "")) for path, how in zip(run.stages["path"], run.stages["outcome"], strict=True)]
    ended = read_sequence(run.path, stages, words)
    assert [(row.state, row.word) for row in ended.rows] == [("broken off", "train"), ("not reached", "hold")]
    assert (ended.edits, ended.live, ended.then) == (1, False, "freeze")
    assert "2 s of the device" in ended.rows[1].lasts
