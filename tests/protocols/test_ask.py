"""The stage `ask`: who may answer and how, what is refused, the time-out, and that a waiting run hears everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inside import SLOW, Watched, in_this_process
from run_helpers import SMALL, experiment, run_sequence, wait_for
from test_control import running as running_run

from aeqlab.protocols import load_run
from aeqlab.protocols.check import check
from aeqlab.protocols.control import obey, send
from aeqlab.protocols.errors import FileErrors, NotAllowedError
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress, RunResult
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState

ASKS = SMALL.replace("samples: 60", "samples: 5").replace(
    "  - evaluate: {}\n", "  - ask: {OPTIONS}\n  - evaluate: {samples: 2}\n"
)


def asks(options: str) -> str:
    return ASKS.replace("{OPTIONS}", f"{{{options}}}")


def answered(folder: Path, text: str, answers: list[str], requests: Requests | None = None) -> tuple[RunResult, Run, list[str]]:
    """Run, and give these answers as soon as it asks, through what a command does; returns what was said to each."""
    requests = requests or Requests()
    said: list[str] = []

    def watch(now: Progress) -> None:
        if now.question and len(said) < len(answers):
            status = {"state": str(now.state), "stage": now.stage, "question": now.question}
            said.append(obey(requests, lambda: status, "answer", "ada", answers[len(said)])["text"])

    result = run_experiment(experiment(folder, text), runs=folder / "runs", requests=requests, on_progress=watch)
    return result, load_run(result.folder), said


def result_of(run: Run) -> dict[str, object]:
    (found,) = (json.loads(text) for kind, text in zip(run.stages["kind"], run.stages["result"], strict=True) if kind == "ask")
    return dict(found)


def test_a_choice_is_taken_and_written_down(tmp_path: Path) -> None:
    result, run, said = answered(tmp_path, asks("text: 'Is the lamp on?'"), ["maybe", "continue"])
    assert result.state is RunState.FINISHED, result.reason
    assert said == ["'maybe' is none of the choices: continue, stop.", "Answered: continue."]
    found = result_of(run)
    assert (found["answer"], found["by"], found["how"]) == ("continue", "ada", "command")
    events = [
        (w, t) for k, w, t in zip(run.events["kind"], run.events["word"], run.events["text"], strict=True) if k == "question"
    ]
    assert events == [
        ("ask", "Is the lamp on? (continue, stop)"),
        ("answer", "Is the lamp on?: ada (command) answered 'continue'."),
    ]
    assert run.evaluations["samples"].tolist() == [2]


def test_the_answer_stop_ends_the_run_and_a_resume_goes_on_after_it(tmp_path: Path) -> None:
    result, run, _ = answered(tmp_path, asks("text: 'Go on?'"), ["stop"])
    assert (result.state, result.exit_code) == (RunState.STOPPED, 3)
    assert "ada (command) answered stop: Go on?" in result.reason
    assert result_of(run)["answer"] == "stop"
    assert "nudge off" in result.device
    again = resume_run(result.folder)
    assert again.state is RunState.FINISHED
    assert load_run(result.folder).stages["kind"].tolist() == ["train", "ask", "evaluate"]


@pytest.mark.parametrize(
    ("options", "answers", "value", "refused"),
    [
        (
            "answer: number, limits: [0, 5]",
            ["seven", "7", "nan", "2.5"],
            2.5,
            "'7' is not what is asked for: a number from 0 to 5.",
        ),
        ("answer: number", ["1_0", "1e-3"], 1e-3, "a number"),
        ("answer: text", ["  ", " the blue one "], "the blue one", "A text is asked for"),
        ("choices: [red, dark blue]", ["blue", "dark blue"], "dark blue", "red, dark blue"),
    ],
)
def test_kinds_of_answers(tmp_path: Path, options: str, answers: list[str], value: object, refused: str) -> None:
    result, run, said = answered(tmp_path, asks(f"text: 'Which?', {options}"), answers)
    assert result.state is RunState.FINISHED, result.reason
    assert result_of(run)["answer"] == value
    assert any(refused in text for text in said)


def test_the_time_out_answers(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, "ask: {text: 'Who is there?', timeout_s: 0.05, then: stop}\nevaluate")
    assert result.state is RunState.STOPPED
    assert "nobody, so the time-out, answered stop: Who is there?" in result.reason
    found = result_of(run)
    assert (found["by"], found["how"]) == ("time-out", "time-out")
    assert float(str(found["waited_s"])) >= 0.05


def test_a_number_decides_when_a_repetition_ends(tmp_path: Path) -> None:
    stage = "ask: {text: 'How much?', answer: number}"
    result, _, _ = answered(
        tmp_path, asks("").replace("ask: {}", f"repeat: {{until: answer > 2, sequence: [{stage}]}}"), ["1", "2", "3"]
    )
    assert result.summary["stages"]["1"]["times"] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("text: x, choices: [a], answer: text", "either choices or answer"),
        ("text: x, choices: [a, a]", "stands there twice"),
        ("text: x, choices: [1, 2]", "a text is expected"),
        ("text: x, limits: [0, 1]", "say answer: number"),
        ("text: x, answer: number, limits: [1, 0]", "the lower one comes first"),
        ("text: x, timeout_s: 5", "go together"),
        ("text: x, then: stop", "go together"),
        ("text: x, timeout_s: 5, then: perhaps", "none of the choices: continue, stop"),
        ("text: x, answer: number, limits: [0, 1], timeout_s: 5, then: 2", "a number from 0 to 1"),
        ("text: x, choices: [' a']", "right form"),
        ("choices: [a]", "'text' is missing"),
    ],
)
def test_mistakes_are_found_in_the_file(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(FileErrors) as caught:
        experiment(tmp_path, asks(options))
    assert said in str(caught.value)


def test_a_check_warns_of_a_question_that_may_wait_for_ever(tmp_path: Path) -> None:
    (warning,) = check(experiment(tmp_path, asks("text: x"))).warnings
    assert "sequence.1.ask: waits for an answer for as long as it takes" in str(warning)
    assert check(experiment(tmp_path, asks("text: x, timeout_s: 5, then: stop"))).ok
    assert not check(experiment(tmp_path, asks("text: x, timeout_s: 5, then: stop"))).warnings


def test_pause_skip_notes_and_answers_by_the_socket(tmp_path: Path) -> None:
    with running_run(tmp_path, asks("text: 'Well?'")) as (run, results):
        wait_for(lambda: send(run.path, "status")["question"] == "Well? (continue, stop)", "the question")
        send(run.path, "note", "the lamp flickered", who="ada")
        send(run.path, "pause", who="ada")
        wait_for(lambda: run.state == "paused", "the pause")
        send(run.path, "continue", who="ada")
        wait_for(lambda: run.state == "running", "going on")
        with pytest.raises(NotAllowedError, match="none of the choices: continue, stop"):
            send(run.path, "answer", "no")
        assert send(run.path, "answer", "continue", who="ada")["text"] == "Answered: continue."
        wait_for(lambda: bool(results), "the end")
    assert results[0].state is RunState.FINISHED
    assert run.notes["text"].tolist() == ["the lamp flickered"]


def test_nothing_is_asked(tmp_path: Path) -> None:
    with running_run(tmp_path) as (run, _), pytest.raises(NotAllowedError, match="Nothing is asked now"):
        send(run.path, "answer", "yes")


@pytest.mark.parametrize(
    ("what", "state", "why"),
    [("skip", "finished", "skipped: x"), ("stop", "stopped", "x"), ("abort", "aborted", "x"), ("freeze", "stopped", "enough")],
)
def test_everything_else_works_meanwhile(tmp_path: Path, what: str, state: str, why: str) -> None:
    requests = Requests()

    def watch(now: Progress) -> None:
        if now.question and now.state == "running":
            getattr(requests, f"ask_{what}")("x")
        if now.state == "paused":
            requests.ask_stop("enough")

    loaded = experiment(tmp_path, asks("text: 'Well?', timeout_s: 20, then: continue"))
    result = run_experiment(loaded, runs=tmp_path / "runs", requests=requests, on_progress=watch)
    assert result.state == state
    assert load_run(result.folder).stages["outcome"][1] == why
    assert requests.question is None


def test_a_device_on_the_wall_clock_goes_on_being_held(tmp_path: Path) -> None:
    text = SLOW.replace("options: {frequencies: 2}", "options: {frequencies: 2}, clock: wall, speed: 20")
    text = text.replace(
        "  - train: {method: centered, beta: 0.2}\n",
        "  - hold: {seconds: 0.1}\n  - ask: {text: 'Well?', timeout_s: 20, then: stop}\n",
    )
    requests = Requests()
    with in_this_process(Watched) as opened:
        begun: list[int] = []

        def watch(now: Progress) -> None:
            if now.question:
                begun.append(opened[0].moments)
                if begun[-1] > begun[0] + 60:  # five holds of twelve ticks
                    requests.answer("continue", "ada", "window")

        result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests, on_progress=watch)
    assert result.state is RunState.FINISHED, result.reason
    assert result_of(load_run(result.folder))["how"] == "window"
