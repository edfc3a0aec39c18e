"""A run continues a device that the run before left standing, and none that a person froze or made safe."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, experiment
from session_helpers import KEY, client_of, eventually, inputs_of, served, slow, targets_of

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import LimitError
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.opening import continue_after_run, open_operator
from aeqlab.protocols.status import SessionState

_DIES = """
import os, sys, numpy as np
from aeqlab.protocols.remote import SessionClient
client = SessionClient(int(sys.argv[1]), bytes.fromhex(sys.argv[2]), name="run before")
client.present(np.full((1, len(client.info.inputs)), 0.3))
client.nudge(np.zeros((1, len(client.info.outputs))), 0.1)
os.kill(os.getpid(), 9)
"""


def test_a_device_inside_the_run_has_the_limits_of_the_experiment(tmp_path: Path) -> None:
    asked = experiment(tmp_path, SMALL, "limits={controls: [-0.1, 0.1], beta: [-0.2, 0.2]}")
    with open_operator(asked.experiment, base=tmp_path, folder=tmp_path) as operator:
        assert operator.info.beta == (-0.2, 0.2)
        with pytest.raises(LimitError, match=r"-0.1 to 0.1"):
            operator.set_controls(np.full(len(operator.info.controls), 0.2))


@pytest.mark.parametrize("left", ["freeze", "make_safe"])
def test_what_a_run_left_is_continued(left: str) -> None:
    with served(slow(Clock.VIRTUAL)) as server:
        with client_of(server, "run before") as before:
            getattr(before, left)("run before finished")
        with client_of(server, "run next") as following:
            assert following.status().state in (SessionState.FROZEN, SessionState.SAFE)
            continue_after_run(following)
            assert following.status().state is SessionState.IDLE


@pytest.mark.parametrize(("left", "said"), [("freeze", "frozen, by ada"), ("make_safe", "safe, by ada")])
def test_what_a_person_did_is_not_undone(left: str, said: str) -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server, "run before") as before:
        before.freeze("run before finished")
        with client_of(server, "ada", control=False) as person:
            getattr(person, left)("smoke")
        with pytest.raises(NotAllowedError, match=said) as refused:
            continue_after_run(before)
        assert "smoke" in str(refused.value)
        assert "`aeqlab continue 'slow linear'`" in str(refused.value)
        before.continue_()  # as that command does
        continue_after_run(before)
        assert before.status().state is SessionState.IDLE


@pytest.mark.parametrize("own", ["freeze", "make_safe"])
def test_what_a_person_asked_for_outlasts_what_a_run_does_after_it(own: str) -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server, "run before") as before:
        before.freeze("freeze by ada", by="ada")
        getattr(before, own)("run before stopped")
        assert before.status().by == "ada"
        assert before.status().reason == "freeze by ada; run before stopped"
        with pytest.raises(NotAllowedError, match="by ada: freeze by ada"):
            continue_after_run(before)
        before.continue_()
        before.make_safe("run before finished")
        with client_of(server, "ada", control=False) as person:
            person.freeze("smoke")  # it is safe, and now it is to stay so
        with pytest.raises(NotAllowedError, match="is safe, by ada"):
            continue_after_run(before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_run_that_was_killed_may_be_gone_on_with() -> None:
    with served(slow(Clock.WALL)) as server:
        died = subprocess.run([sys.executable, "-c", _DIES, str(server.port), KEY.hex()], check=False, timeout=60)
        assert died.returncode == -signal.SIGKILL
        with client_of(server, "run next") as following:
            eventually(lambda: following.status().state is SessionState.FROZEN)
            continue_after_run(following)
            assert following.status().state is SessionState.IDLE


def test_what_the_session_itself_froze_is_looked_at_first() -> None:
    with served(slow(Clock.VIRTUAL)) as server, client_of(server, "run before") as before:
        before.present(inputs_of(before))
        before.nudge(targets_of(before), 0.1)
        with client_of(server, "ada") as person, contextlib.suppress(NotAllowedError):
            person.take_control()
        with client_of(server, "run next", control=False) as following, pytest.raises(NotAllowedError, match="took control"):
            continue_after_run(following)
