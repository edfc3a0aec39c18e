"""Interrupting any stage at any moment leaves the knobs within their limits, the nudge off and the record closed with the reason.

A moment is a call to the device's session, a tick of one of its loops, or a wait of the run. Every stage of the registry is
tried, on the simulated device (theta held by a loop, and inside), the slow one and the engine, with every way of interrupting; a
stage without a line in `STAGES` fails.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from inside import Watched, in_this_process, watched
from run_helpers import experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import ENDED, Requests, RunState
from aeqlab.protocols.stages.registry import stage_kinds
from aeqlab.protocols.status import STANDING

#: One line per kind of stage: small, and with everything that moves the device. A new stage needs one.
STAGES = {
    "train": "train: {method: centered, beta: 0.2, samples: 4, sham_every: 2, evaluate_every: {samples: 2}}",
    "evaluate": "evaluate: {samples: 4, batch: 1}",
    "infer": "infer: {samples: 4, batch: 1}",
    "hold": "hold: {seconds: 1.5}",
    "restore": "restore: {theta: random}",
    "scan": "scan: {over: [{quantity: u1, values: [0, 0.1]}, {quantity: x0, values: [0.1, 0.5]}], read: [s, u], sample: 0}",
    "ramp": "ramp: {quantity: u0, to: 0.3, seconds: 0.5, read: [s]}",
    "set": "set: {u0: 0.3, beta: 0.2, sample: 0, read: [s]}",
    "step-response": "step-response: {quantity: u1, size: 0.1, repeats: 1, seconds: 0.4}",
    "identify": "identify: {seconds: 5, faults: tell}",
    "compare": "compare: {methods: {one: {beta: 0.2}, two: {method: spsa, learning_rate: 0.01}}, seeds: 1, samples: 2}",
    "repeat": "repeat: {until: cost < 0, times: 2, sequence: [train: {beta: 0.2, samples: 2}, evaluate: {samples: 2, batch: 1}]}",
    "ask": "ask: {text: 'Well?', timeout_s: 0.2, then: continue}",
    "call": "mine.py:nudges: {}",
}
CODE = """
def nudges(session, options):
    sample = session.data.train.take(slice(0, 1))
    for n in range(4):
        session.point()
        session.sample(lambda: once(session, sample))

def once(session, sample):
    session.present(sample.inputs)
    session.nudge(sample.targets, 0.2)
    session.advance()
    session.hold(session.target)
    session.settle()
    session.release()
"""
DEVICES = {
    "simulated": "{kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 2}}",
    "inside": "{kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 2}}",
    "slow": "{kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}}",
    "engine": "{kind: hopfield, widths: [2, 6, 1], stop: residual, dtype: float64}",
}
TEXT = """
name: interrupted
seed: 7
device: DEVICE
data: DATA
homeostasis: HOLD
settling: {accept: {ticks: 6}}
limits: {controls: [-2, 2], beta: [-0.5, 0.5]}
sequence:
  - STAGE
  - hold: {seconds: 0.1}
then: freeze
"""
WHY = "by a test"


class Waiting(Requests):
    """Requests whose waits are moments too, and pass at once: a clock of their own says how long they were."""

    passed_s = 0.0
    on_wait: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, timeout_s: float) -> None:
        Waiting.passed_s += 0.01
        type(self).on_wait()

    @staticmethod
    def monotonic() -> float:
        return Waiting.passed_s


def interrupted(way: str, requests: Requests) -> None:
    """Interrupt a run in one way."""
    match way:
        case "abort":
            requests.ask_abort(WHY)
        case "freeze, then stop":
            requests.ask_freeze(WHY)
            requests.ask_stop(WHY)
        case "safe":
            requests.ask_abort(WHY, safe=True)
        case "stop":
            requests.ask_stop(WHY)
        case "skip":
            requests.ask_skip(WHY)
        case _:
            raise KeyboardInterrupt


WAYS = ("abort", "freeze, then stop", "safe", "stop", "skip", "Ctrl-C")


def loaded(folder: Path, kind: str, device: str) -> Any:
    (folder / "mine.py").write_text(CODE, encoding="utf-8")
    hold = "{controller: integral, accept: {ticks: 6}}" if device in ("simulated", "slow") else "{controller: ideal}"
    data = "{kind: xor, repeats: 3}" if device == "engine" else "{kind: legendre, degree: 3, samples: 12, test_samples: 6}"
    words = {"DEVICE": DEVICES[device], "DATA": data, "HOLD": hold, "STAGE": STAGES[kind]}
    return experiment(folder, re.sub("DEVICE|DATA|HOLD|STAGE", lambda word: words[word[0]], TEXT))


def run(folder: Path, kind: str, device: str, at: int, way: str) -> tuple[Any, Watched]:
    """Run a stage and interrupt it at a moment, 0: never."""
    requests = Waiting()
    with in_this_process(watched(at, lambda: interrupted(way, requests))) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr("aeqlab.protocols.asking.time", Waiting)
        type(requests).on_wait = staticmethod(lambda: opened[0].moment())
        result = run_experiment(loaded(folder, kind, device), runs=folder / "runs", requests=requests, say=lambda text: None)
    return result, opened[0]


@cache
def moments(kind: str, device: str) -> int:
    """Count the moments of a run that nobody interrupts, of which the last few belong to the stage after."""
    with TemporaryDirectory() as folder:
        result, session = run(Path(folder), kind, device, 0, "")
        assert result.state is RunState.FINISHED, result.reason
        assert session.left["beta"] == 0.0
        return session.moments


def check(folder: Path, kind: str, device: str, at: int, way: str) -> None:
    """Interrupt at a moment and look at everything that must be so afterwards."""
    result, session = run(folder, kind, device, at, way)
    said = f"{kind} on {device}, {way} at moment {at}: {result.state}, {result.reason}"
    if session.moments < at:  # a stage that waits has a moment more or less from run to run: this one was over before
        assert (kind, result.state, at - session.moments <= 2) == ("ask", RunState.FINISHED, True), said
        return
    expected = {
        "abort": RunState.ABORTED,
        "safe": RunState.ABORTED,
        "Ctrl-C": RunState.ABORTED,
        "stop": RunState.STOPPED,
        "freeze, then stop": RunState.STOPPED,
        "skip": RunState.FINISHED,
    }[way]
    late = way in ("stop", "freeze, then stop") and result.state is RunState.FINISHED  # after the last sample boundary
    assert result.state is expected or late, said
    # the device, by itself
    assert session.left["beta"] == 0.0, said
    assert (np.abs(session.left["controls"]) <= 2.0 + 1e-9).all(), said
    assert session.left["state"] in STANDING, said
    assert ("safe" if way == "safe" else "nudge off") in result.device, said
    # the record
    ended = load_run(result.folder)
    assert ended.state in ENDED, said
    assert not ended.alive, said
    assert ended.state == result.state, said
    assert ended.missing == [], said
    assert [path.name for path in result.folder.glob("record.sqlite*")] == ["record.sqlite"], said
    assert np.isfinite(ended.attempts["ended_at"]).all(), said
    assert ended.attempts["reason"][-1] == result.reason, said
    if way not in ("skip", "Ctrl-C") and not late:
        assert WHY in result.reason, said
    if way == "skip":
        assert WHY in " ".join(ended.events["text"]), said
    assert not ended.events["text"][ended.events["kind"] == "warning"].tolist() or kind in ("repeat", "set"), said
    # and on from there
    if result.state is not RunState.FINISHED:
        with in_this_process(Watched) as again:
            resumed = resume_run(result.folder, say=lambda text: None)
        assert resumed.state is RunState.FINISHED, f"{said}; resumed: {resumed.reason}"
        assert again[0].left["beta"] == 0.0, said
        assert load_run(result.folder).missing == [], said


def line_of(kind: str) -> None:
    if kind not in STAGES:
        pytest.fail(
            f"the stage {kind} has no line in STAGES of {Path(__file__).name}: add a small one, so that it is interrupted too"
        )


def one_each() -> list[Any]:
    """Pair every stage with every device; with one of them, another for each stage, in the plain suite."""
    return [
        pytest.param(kind, device, marks=[pytest.mark.slow] if (i + j) % len(DEVICES) else [])
        for i, kind in enumerate(stage_kinds())
        for j, device in enumerate(DEVICES)
    ]


@pytest.mark.parametrize(("kind", "device"), one_each())
def test_a_moment_of_every_stage(tmp_path: Path, kind: str, device: str) -> None:
    line_of(kind)
    rng = random.Random(f"{kind} {device}")
    way = rng.choice(WAYS)
    check(tmp_path, kind, device, rng.randint(1, moments(kind, device)), way)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", stage_kinds())
def test_many_moments_of_every_stage(tmp_path: Path, kind: str, device: str, way: str) -> None:
    line_of(kind)
    total = moments(kind, device)
    chosen = random.Random(f"{kind} {device} {way}").sample(range(1, total + 1), min(total, 6))
    for at in chosen:
        folder = tmp_path / str(at)
        folder.mkdir()
        check(folder, kind, device, at, way)
