"""The story of a run: one sentence that is true, and what went wrong by its first causes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from run_helpers import SMALL, experiment, only_run, read_steps, start_worker, wait_for

from aeqlab.protocols.client import find_sessions
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.run_story import Story, story_of_run
from aeqlab.protocols.session_record import SessionRecord
from aeqlab.protocols.session_story import story_of_session
from aeqlab.protocols.status import SessionEvent
from aeqlab.protocols.story_causes import causes_of
from aeqlab.protocols.story_marks import alarm_mark

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from nights import NIGHTS, bad_night

LONG = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 500")


def clock(at: float) -> str:
    """Say a time as the sentence does."""
    return datetime.fromtimestamp(at).strftime("%H:%M")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run."""
    folder = tmp_path_factory.mktemp("run")
    return run_experiment(experiment(folder), runs=folder / "runs").folder


def test_a_night_without_trouble_is_said_in_one_sentence(finished: Path) -> None:
    story = story_of_run(finished)
    assert story.began is not None
    assert story.ended is not None
    assert re.fullmatch(
        rf"since {clock(story.began)}: 60 samples, cost [\d.e-]+ to [\d.e-]+, no fault recorded; finished {clock(story.ended)}",
        story.sentence,
    ), story.sentence
    assert story.causes == ()
    assert story.missing == ()
    assert story.safety[0].startswith("Device frozen")
    assert dict(story.provenance)["seed"] == "5"
    another_day = story_of_run(finished, now=story.began + 3 * 86400.0)
    assert another_day.sentence.startswith(f"since {datetime.fromtimestamp(story.began).day} ")


def test_a_cost_under_a_nudge_is_never_called_the_cost(tmp_path: Path) -> None:
    text = SMALL.replace("beta: 0.2", "beta: 0.2, free_phase: false").replace("  - evaluate: {}\n", "")
    story = story_of_run(run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs").folder)
    assert ", cost under beta_1 " in story.sentence
    assert "(no cost without a nudge was read)" in story.sentence
    assert story.course is not None
    assert story.course.cost == "cost_1"


def test_what_a_person_asked_for_is_no_trouble(tmp_path: Path) -> None:
    requests = Requests()
    asked: list[int] = []

    def ask(now: Progress) -> None:
        if now.done > 20 and not asked:
            asked.append(1)
            requests.ask_pause("pause by ada: tea")
        elif now.state is RunState.PAUSED:
            requests.ask_continue("continue by ada")
        elif now.state is RunState.RUNNING and len(asked) == 1 and now.done > 40:
            asked.append(2)
            requests.ask_abort("abort by ada: enough")

    result = run_experiment(experiment(tmp_path, LONG), runs=tmp_path / "runs", requests=requests, on_progress=ask)
    story = story_of_run(result.folder)
    assert story.state == "aborted"
    assert [(cause.what, cause.is_trouble) for cause in story.causes] == [("aborted by ada", False), ("paused by ada", False)]
    assert "aborted by ada at " in story.sentence
    assert "no fault recorded" in story.sentence
    assert "; aborted " in story.sentence
    paused = story.causes[1].moments[0]
    assert not paused.lasting
    assert paused.step is not None


def test_a_killed_run_says_so_and_a_resumed_one_for_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_EVERY_S", "0")
    loaded = experiment(tmp_path, LONG)
    assert loaded.path is not None
    worker = start_worker("run", loaded.path, tmp_path / "runs")
    read_steps(worker, 30)
    worker.kill()
    worker.communicate()
    folder = only_run(tmp_path / "runs").path
    story = story_of_run(folder)
    assert story.state == "interrupted"
    assert story.causes[0].what == "the process of the run ended without a word"
    assert story.causes[0].step is not None
    assert story.causes[0].step >= 30
    assert "the process of the run ended without a word" in story.sentence
    assert "; interrupted, its last word was " in story.sentence

    requests = Requests()
    resume_run(folder, requests=requests, on_progress=lambda now: requests.ask_stop("stop by ada") if now.done > 60 else None)
    story = story_of_run(folder)
    death = story.causes[0]
    assert death.what == "the process of the run ended without a word"
    assert death.moments[0].seconds is not None
    assert any(word.startswith("resumed from step ") for word in death.moments[0].done)
    assert ", resumed once; stopped " in story.sentence
    assert story.course is not None
    steps = only_run(tmp_path / "runs").steps
    assert story.course.steps == steps["step"][-1]
    assert story.course.readings == len(steps)  # what was superseded is not counted twice


def test_a_run_that_ran_away_says_so_first(tmp_path: Path) -> None:
    text = SMALL.replace("method: centered, beta: 0.2", "method: sgd, learning_rate: 2")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert result.state is RunState.DIVERGED
    story = story_of_run(result.folder)
    (cause,) = story.causes
    assert cause.what.startswith("diverged: ")
    assert cause.text == result.reason
    assert cause.what in story.sentence


def test_a_failure_at_the_end_has_its_reason(tmp_path: Path) -> None:
    text = SMALL.replace("then: freeze", "then: hold").replace(
        "accept: {ticks: 12}}\nsett", "tolerance: 1.0e-300, max_ticks: 30}\nsett"
    )
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    assert result.state is RunState.FAILED
    story = story_of_run(result.folder)
    assert story.causes[0].weight == 100
    assert "the run failed" in story.causes[0].moments[0].done or story.causes[0].what.startswith("failed")
    assert "; failed " in story.sentence


QUICK = ("gone", "jump", "rail")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NIGHTS],
)
def test_the_cause_of_a_bad_night_is_the_first_one_and_in_the_sentence(tmp_path: Path, name: str) -> None:
    from struck import STRUCK

    run, what = bad_night(tmp_path, name)
    story = story_of_run(run.path)
    cause = story.causes[0]
    assert cause.is_trouble
    assert cause.what.startswith(what), [one.what for one in story.causes]
    assert cause.what in story.sentence
    assert cause.step is not None
    assert abs(cause.step - STRUCK) <= (20 if name == "drift" else 1)
    assert sum(one.is_trouble for one in story.causes) == 1  # all else hangs under it
    left = int((run.steps["used"] == 0).sum())
    assert cause.lost == left
    assert f"{left} steps left out" in story.sentence or left < 2


def test_a_knob_that_moves_nothing_is_why_its_parameter_jumped_and_what_drifts_is_not() -> None:
    jump = alarm_mark(100.0, "jump", "Step 6: parameter 2 went much further under the nudge than in any step before.", 5)
    idle = alarm_mark(101.0, "idle knob", "u2: moved, and the parameter does not follow.", 5)
    drift = alarm_mark(101.0, "drift", "u2: what holds theta wanders.", 5)
    assert [cause.what for cause in causes_of([jump, idle])] == ["u2 moved nothing"]
    assert [cause.what for cause in causes_of([jump, drift])] == ["parameter 2 jumped"]


def test_who_made_it_safe_at_the_session_is_named_once(tmp_path: Path) -> None:
    from struck import make_safe_beside, trained

    run, _, _ = trained(tmp_path, lambda rig: make_safe_beside(rig, "enough", "Ada"), "nudged phase")
    story = story_of_run(run.path)
    assert [(cause.what, cause.is_trouble) for cause in story.causes] == [("made safe by Ada", False)]
    assert "made safe by Ada at " in story.sentence


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("whom", ["worker", "session"])
def test_the_death_of_a_process_is_told_with_what_was_done(tmp_path: Path, whom: str) -> None:
    text = SMALL.replace(
        "kind: simulated, energy: linear, epsilon: 0.1,", "kind: slow, energy: linear, clock: wall, tick_s: 0.01,"
    )
    loaded = experiment(tmp_path, text)
    assert loaded.path is not None
    worker = start_worker("run", loaded.path, tmp_path / "runs")
    read_steps(worker, 3)
    (session,) = (one for one in find_sessions() if str(tmp_path) in str(one.folder))
    if whom == "session":
        os.kill(session.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.communicate(timeout=60)
    folder = only_run(tmp_path / "runs").path
    what, done = {
        "worker": ("the process of the run ended without a word", "frozen by its session"),
        "session": ("the session's process died", "made safe by its guardian"),
    }[whom]
    wait_for(lambda: done in story_of_run(folder).sentence, done)
    story = story_of_run(folder)
    assert [cause.what for cause in story.causes if cause.is_trouble] == [what]
    assert what in story_of_run(folder).sentence
    assert ("made safe" if whom == "session" else "frozen") in story_of_session(folder / "session").sentence
    wait_for(lambda: not [one for one in find_sessions() if str(tmp_path) in str(one.folder)], "the session is over")


def test_a_damaged_record_tells_what_it_can_and_says_what_it_lacks(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "damaged"))
    raw = bytearray((folder / "record.sqlite").read_bytes())
    raw[len(raw) // 2 :] = os.urandom(len(raw) - len(raw) // 2)
    (folder / "record.sqlite").write_bytes(raw)
    story = story_of_run(folder)
    assert story.missing
    assert story.sentence.endswith("; not all of the record can be read")
    (folder / "record.sqlite").unlink()
    story = story_of_run(folder)
    assert any("no record.sqlite" in said for said in story.missing)
    assert "how it ended is not known" in story.sentence


def test_a_newer_record_opens_as_far_as_it_is_known(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "newer"))
    connection = sqlite3.connect(folder / "record.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    story = story_of_run(folder)
    assert "60 samples" in story.sentence
    assert any("newer than this program's" in said for said in story.missing)


def test_notes_stand_beside_it(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "noted"))
    add_note(folder, "ada", "the lamp flickered")
    (note,) = story_of_run(folder).notes
    assert (note.author, note.text, note.step) == ("ada", "the lamp flickered", 60)


def test_the_story_of_a_session_is_told_by_its_own_events(tmp_path: Path) -> None:
    record = SessionRecord(tmp_path)
    began = time.time() - 8 * 3600.0

    def say(after_s: float, kind: str, text: str, who: str = "session") -> None:
        record.event(SessionEvent(began + after_s, kind, text, who))

    say(0, "client", "run night connected and controls", "run night")
    say(3600, "rig", "adc at TCPIP::10.0.0.7::5025::SOCKET: no reply to 'READ?' within 1 s.")
    say(3601, "alarm", "1: comms: 3 readings in a row were lost or stale")
    say(3602, "alarm", "2: hold lost: theta is not held, stale (follows alarm 1)")
    say(3614, "rig", "adc at TCPIP::10.0.0.7::5025::SOCKET: it answers again after 14 s; its settings are as they were.")
    say(3614, "alarm over", "1: comms")
    say(3615, "alarm over", "2: hold lost")
    say(9000, "alarm", "3: interlock temperature: temperature is 41.2 degC, above 40 degC")
    say(9000, "frozen", "temperature is 41.2 degC, above 40 degC", "interlock")
    say(9900, "continue", "ada goes on after frozen: temperature", "ada")
    say(9901, "alarm over", "3: interlock temperature")
    story = story_of_session(tmp_path)
    assert [cause.what for cause in story.causes] == ["interlock temperature tripped", "adc did not answer"]
    assert story.causes[0].moments[0].seconds == pytest.approx(900, abs=2)
    assert story.causes[1].moments[0].seconds == 14.0
    assert f"adc did not answer 14 s at {clock(began + 3600)}" in story.sentence
    assert f"interlock temperature tripped 15 min 01 s at {clock(began + 9000)} (frozen" in story.sentence

    with (tmp_path / "guardian.jsonl").open("w", encoding="utf-8") as file:
        for after_s, kind, text in (
            (20000, "lost", "the session is gone: it is dead"),
            (20001, "opened", "bench16 is open again; the ramp to rest begins"),
            (20002, "safe", "the device is SAFE"),
        ):
            file.write(json.dumps({"t": began + after_s, "kind": kind, "text": text, "who": "guardian 1"}) + "\n")
        file.write("{half a line")
    story = story_of_session(tmp_path)
    assert story.causes[0].what == "the session's process died"
    assert "made safe by its guardian" in story.sentence
    assert story.missing == ("guardian.jsonl: 1 of 4 lines cannot be read.",)
    assert isinstance(story, Story)
