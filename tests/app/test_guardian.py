"""The guardian's patience: what passes while it stands still itself is no silence of its session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aeqlab.app import guardian as guardian_module
from aeqlab.app.guardian import BEAT_S, DEADLINE_S, LATE_S, Guardian


class Bench:
    """A guardian between two pipes, whose time passes only where it waits."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        from_session, self.session = os.pipe()
        self.sink, to_session = os.pipe()
        self.guardian = Guardian(
            folder, os.fdopen(from_session, "rb", buffering=0), os.fdopen(to_session, "wb", buffering=0), lambda: None
        )
        self.guardian._heard = self.now
        self.looks = 0
        self.waits: Callable[[int], float] = lambda look: BEAT_S
        self.guardian._changed.wait = self._wait  # type: ignore[method-assign, assignment]

    def _wait(self, seconds: float) -> bool:
        self.looks += 1
        self.now += self.waits(self.looks)
        return False


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setattr(guardian_module.time, "monotonic", lambda: made.now)
    yield made
    os.close(made.session)
    os.close(made.sink)


def test_a_guardian_that_was_stopped_itself_looks_again_before_it_ends_a_session(bench: Bench) -> None:
    def waits(look: int) -> float:
        if look == 2:
            return 5.0  # it was stopped, with the session's dots in the pipe
        if look == 3:
            bench.guardian._bye = True  # what it finds there as soon as it looks
        return BEAT_S

    bench.waits = waits
    assert bench.guardian.watch()


@pytest.mark.parametrize("pause_s", [BEAT_S, BEAT_S + LATE_S + 0.2, 5.0])
def test_a_session_that_says_nothing_is_dead_however_slowly_it_is_looked_at(bench: Bench, pause_s: float) -> None:
    bench.waits = lambda look: pause_s
    assert not bench.guardian.watch()
    assert bench.looks <= DEADLINE_S / BEAT_S + 1
    assert bench.now - 1000.0 > DEADLINE_S
