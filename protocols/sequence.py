"""The sequence of a run: which stage comes next, where a resumed run goes on, and what a stage keeps for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aeqlab.protocols.errors import SkipRequested
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.registry import stage_kinds
from aeqlab.protocols.stages.repeat import RepeatOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession
    from aeqlab.protocols.sequence_plan import SequencePlan

FOUND = ("cost_free", "error_rate", "rms_error")  #: what an evaluation found that is told with the name of its set, too
Provider = Callable[[], dict[str, Any]]
StageFunction = Callable[["RunSession", StageOptions], dict[str, Any]]


def place_in_words(entries: Sequence[StageEntry], path: Sequence[int]) -> str:
    """Say where in a sequence a path leads, such as `stage 2.1.0 (train)`."""
    within, inner = entries, list(path)
    while within:
        index, *inner = inner
        if index >= len(within):
            break
        options = within[index].options
        if len(inner) == 2 and isinstance(options, CompareOptions) and inner[1] < len(options.methods):
            return f"stage {'.'.join(map(str, path))} ({list(options.methods)[inner[1]]})"
        if len(inner) < 2 or not isinstance(options, RepeatOptions):
            return f"stage {'.'.join(map(str, path))} ({within[index].kind})"
        within, inner = options.sequence, inner[1:]
    return "after the last stage" + (f" of round {path[-2]}" if len(path) > 1 else "")


class Sequencer:
    """Runs stages one after the other and knows the place of each: (2, 1, 0) is entry 2, its round 1, entry 0 within.

    `coherent` says whether the state at this moment is one to resume from: between two stages, and at the sample boundaries
    of a stage that keeps what it needs to go on in its middle. `results` is what each stage found, by its path; of a repetition
    its last round, and within a comparison what it still needs: the record has the others.
    """

    def __init__(self) -> None:
        self.path: tuple[int, ...] = ()
        self.coherent = True
        self.provider: Provider | None = None
        self.results: dict[str, dict[str, Any]] = {}
        self.found: dict[str, dict[str, float]] = {}  #: by the path of a repetition under way: numbers found or reported last
        self._resume: list[int] | None = None
        self._local: dict[str, Any] | None = None

    def run(
        self, session: RunSession, entries: Sequence[StageEntry], turn: int | None = None, run: StageFunction | None = None
    ) -> None:
        """Run stages, from the place a checkpoint says or from the first.

        Args:
            session: the run's.
            entries: the stages.
            turn: the round of a repeated sequence.
            run: does each stage in place of its own function.
        """
        outer, coherent = self.path, self.coherent
        prefix = outer if turn is None else (*outer, turn)
        fresh = self._resume is None
        first = self._resumed(len(prefix))
        self.path, self.coherent = (*prefix, first), True
        if fresh:
            session.checkpoint()
        plan = session.plan if not prefix else None
        if plan is not None:
            self._planned(session, plan, first)
        else:
            for index in range(first, len(entries)):
                entry = entries[index]
                if not entry.off:
                    self._stage(session, entry, run)
                self.path = (*prefix, index + 1)
                if not entry.off:
                    session.checkpoint()
                    if entry.pause_after:
                        self._pause_after(session, entry, (*prefix, index))
        self.path, self.coherent = outer, coherent

    def _planned(self, session: RunSession, plan: SequencePlan, index: int) -> None:
        """Run the stages of the experiment itself, which may change as long as they have not begun."""
        while (entry := plan.take(index)) is not None:
            how = "off"
            if not entry.off:
                how = "skipped" if self._stage(session, entry).startswith("skipped") else "done"
            pauses = plan.ended(index, how)
            index += 1
            self.path = (index,)
            if not entry.off:
                session.checkpoint()
            if pauses:
                self._pause_after(session, entry, (index - 1,))

    def ahead(self, session: RunSession, kind: str, options: StageOptions) -> None:
        """Run a stage ahead of the sequence: it has no place in it, and no checkpoint resumes in its middle."""
        outer = session.stage
        session.stage = stage = session.record.stage_started(kind, kind, options.model_dump(mode="json"))
        session.status.begin_stage(kind, kind)
        try:
            with self.between_checkpoints():
                result = stage_kinds()[kind].run(session, options)
        except BaseException as exc:
            session.record.stage_ended(stage, str(exc) or type(exc).__name__, None)
            raise
        finally:
            session.stage = outer
        session.record.stage_ended(stage, "finished", result)

    def turns(self, times: int) -> Iterator[int]:
        """Count the rounds of a repeated sequence, from the one a checkpoint says or from the first."""
        yield from range(self._resumed(len(self.path), inner=True), times)

    @contextmanager
    def findings(self) -> Iterator[dict[str, float]]:
        """While entered by a repetition, collect the numbers that the stages within find, each by the last of its name."""
        name = ".".join(map(str, self.path))
        if self._resume is None:
            self.found[name] = {}
        found = self.found.setdefault(name, {})  # where a checkpoint says so, what was found before it
        try:
            yield found
        finally:
            self.found.pop(name, None)
        self._find(found)

    def forget(self, before: int | None = None) -> None:
        """Let go of what the stages within the present one found, so that checkpoints do not grow with every round.

        Args:
            before: only of the rounds before this one.
        """
        here, depth = [str(index) for index in self.path], len(self.path)
        for name in list(self.results):
            place = name.split(".")
            if place[:depth] == here and len(place) > depth and (before is None or int(place[depth]) < before):
                del self.results[name]

    def reported(self, values: dict[str, Any]) -> None:
        """Hear what the present stage reported."""
        self._find(_numbers(values))

    def keep(self, provider: Provider) -> None:
        """Add to checkpoints what the present stage needs to go on in its middle."""
        self.provider = provider
        self.coherent = True

    @contextmanager
    def between_checkpoints(self) -> Iterator[None]:
        """While entered, the state is not one to resume from."""
        before, self.coherent = self.coherent, False
        try:
            yield
        finally:
            self.coherent = before

    # checkpoints
    def state(self) -> dict[str, Any]:
        """Get the place, and what the present stage keeps; before a resumed stage took that, it is what the checkpoint held."""
        local = self._local if self.provider is None else self.provider()
        path = self.path if self._resume is None else self._resume
        return {"path": list(path), "stage": local, "results": self.results, "found": self.found}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on at a place that `state` gave."""
        self._resume = [int(index) for index in state["path"]]
        self._local = state["stage"]
        self.results = state["results"]
        self.found = state["found"]

    def take_local(self) -> dict[str, Any] | None:
        """Take what the present stage kept in the checkpoint; None for a stage that begins afresh."""
        local, self._local = self._local, None
        return local

    def _resumed(self, depth: int, *, inner: bool = False) -> int:
        """Get the index to go on from at a depth of the path; the last one of it is used up."""
        if self._resume is None:
            return 0
        index = self._resume[depth]
        if depth == len(self._resume) - 1 and not inner:
            self._resume = None
        return index

    def _stage(self, session: RunSession, entry: StageEntry, run: StageFunction | None = None) -> str:
        """Run one stage; returns how it ended."""
        kind, path = stage_kinds()[entry.kind], self.path
        name = ".".join(map(str, path))
        with suppress(SkipRequested):  # it came for the stage that just ended
            session.point()
        outer = session.stage, self.provider, self.coherent
        session.stage = stage = session.record.stage_started(name, kind.name, entry.options.model_dump(mode="json"))
        self.provider, self.coherent = None, False
        session.status.begin_stage(kind.name, name)
        outcome = "finished"
        try:
            result = (run or kind.run)(session, entry.options)
            session.keep_theta()
        except SkipRequested as exc:
            session.release()
            session.keep_theta()
            outcome, result = f"skipped: {exc}", {"skipped": True}
        except BaseException as exc:
            with suppress(Exception):  # what ended the stage is what is told
                session.keep_theta()
            session.record.stage_ended(stage, str(exc) or type(exc).__name__, None)
            raise
        finally:
            session.stage, self.provider, self.coherent = outer
            self.path = path
        session.record.stage_ended(stage, outcome, result)
        self.results[name] = {"stage": kind.name, **result}
        self._find(_numbers(result))
        return outcome

    def _pause_after(self, session: RunSession, entry: StageEntry, path: tuple[int, ...]) -> None:
        """Pause where the experiment says so; a run that is resumed from there goes on with the next stage."""
        if not session.requests.at_boundary:  # a stop, or a pause that someone asked for, is told as what it is
            place = ".".join(map(str, path))
            session.requests.ask_pause(
                f"pause_after of stage {place} ({entry.kind}). Go on: aeqlab continue {session.folder.name}"
            )
        with suppress(SkipRequested):  # there is no stage to leave
            session.point()

    def _find(self, numbers: dict[str, float]) -> None:
        """Keep what a stage found, for the repetition that it is directly within."""
        around = self.found.get(".".join(map(str, self.path[:-2])))
        if around is not None:
            around.update(numbers)


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """Get what is a number, under the names that conditions may use."""
    numbers = {
        name: float(value) for name, value in values.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    if "running_cost_free" in numbers:
        numbers["cost"] = numbers["running_cost_free"]
    if "dataset" in values:
        numbers.update({f"{values['dataset']}_{key}": numbers[key] for key in FOUND if key in numbers})
    return numbers
