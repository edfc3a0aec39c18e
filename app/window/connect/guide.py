"""The guide from nothing to a saved rig file: five numbered steps, always in view, each saying what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from aeqlab.app.window.connect.guide_arming import ArmingStep
from aeqlab.app.window.connect.guide_channels import NOT_OPEN, ChannelsStep
from aeqlab.app.window.connect.guide_instruments import InstrumentsStep
from aeqlab.app.window.connect.guide_limits import LimitsStep
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.guide_safety import SafetyStep
from aeqlab.app.window.connect.pieces import Words
from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.models.rig_problems import RigProblem, Step
from aeqlab.app.window.notice import Notice
from aeqlab.app.window.theme import GRID, theme

TITLES = {Step.INSTRUMENTS: "Instruments", Step.CHANNELS: "Channels", Step.LIMITS: "Limits and rest", Step.SAFETY: "Safety",
          Step.SAVE: "Save and arm"}  # fmt: skip


StepPage = InstrumentsStep | ChannelsStep | LimitsStep | SafetyStep | ArmingStep


class ConnectGuide(QWidget):
    """The guide. Any step may be gone to at any time, with Alt and its number."""

    wiggle_wanted = Signal(str)  #: the channel of a knob that is to be moved to and fro
    session_wanted = Signal(str)  #: the path of a saved rig file
    bench_wanted = Signal(str)  #: the name of a bench that ships with aeqlab
    saved = Signal(str)  #: the path of the rig file that was written

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("guide to a rig file")
        self.guide = GuideModel(self)
        self.instruments = InstrumentsStep(self.guide)
        self.channels = ChannelsStep(self.guide)
        self.limits = LimitsStep(self.guide)
        self.safety = SafetyStep(self.guide)
        self.arming = ArmingStep(self.guide)
        self._pages: dict[Step, StepPage] = {
            Step.INSTRUMENTS: self.instruments,
            Step.CHANNELS: self.channels,
            Step.LIMITS: self.limits,
            Step.SAFETY: self.safety,
            Step.SAVE: self.arming,
        }
        self._stack = QStackedWidget()
        self._tabs: dict[Step, QPushButton] = {}
        self._lacks: dict[Step, QLabel] = {}
        self._group = QButtonGroup(self)
        tabs = QHBoxLayout()
        tabs.setSpacing(GRID)
        for step, page in self._pages.items():
            self._stack.addWidget(page)
            tab = QPushButton(f"{step.value}  {TITLES[step]}")
            tab.setCheckable(True)
            tab.setShortcut(f"Alt+{step.value}")
            tab.setToolTip(f"Goes to this step (Alt+{step.value})")
            tab.setMinimumHeight(4 * GRID)
            tab.clicked.connect(lambda _, step=step: self.go_to(step))
            self._group.addButton(tab)
            lacks = QLabel()
            lacks.setAccessibleName(f"what step {step.value} lacks")
            column = QVBoxLayout()
            column.setSpacing(GRID // 2)
            column.addWidget(tab)
            column.addWidget(lacks)
            tabs.addLayout(column, 1)
            self._tabs[step], self._lacks[step] = tab, lacks
        self.told, self.notice = Words(), Notice()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GRID, GRID, GRID, GRID)
        layout.setSpacing(GRID)
        layout.addLayout(tabs)
        layout.addWidget(self.told)
        layout.addWidget(self.notice)
        layout.addWidget(self._stack, 1)
        self.told.hide()
        self.channels.wiggle_wanted.connect(self.wiggle_wanted)
        self.arming.session_wanted.connect(self.session_wanted)
        self.arming.saved.connect(self.saved)
        self.arming.jump.connect(self.jump)
        self.instruments.bench_wanted.connect(self._bench)
        self.guide.told.connect(self.tell)
        self.guide.changed.connect(lambda: self.tell(""))
        self.guide.replaced.connect(lambda: self.tell(""))
        self.guide.checked.connect(self.refresh)
        self.guide.answered.connect(self.refresh)
        self.guide.changed.connect(self.refresh)
        self.guide.replaced.connect(self.refresh)
        theme().changed.connect(self.refresh)
        self.go_to(Step.INSTRUMENTS)
        self.refresh()

    @property
    def step(self) -> Step:
        """Get the step in view."""
        return next(step for step, page in self._pages.items() if page is self._stack.currentWidget())

    def go_to(self, step: Step) -> None:
        """Show a step."""
        self._stack.setCurrentWidget(self._pages[step])
        self._tabs[step].setChecked(True)

    def jump(self, problem: RigProblem) -> None:
        """Go to where a problem is mended."""
        self.go_to(problem.step)
        self._pages[problem.step].show_problem(problem)

    def tell(self, text: str) -> None:
        """Say something above the step; empty takes it away."""
        self.told.say(text, "warning")
        self.told.setVisible(bool(text))

    def refresh(self) -> None:
        """Say of every step what it lacks."""
        verdict = self.guide.verdict
        for step, label in self._lacks.items():
            problems = verdict.problems if step == Step.SAVE else verdict.of_step(step)
            missing = sum(one.missing for one in problems)
            wrong = len(problems) - missing
            text = ", ".join([f"✕ {wrong} wrong"] * bool(wrong) + [f"○ {missing} missing"] * bool(missing))
            now = theme().now
            colour = now.fault if wrong else now.warning
            if self.guide.checking:  # what was said of an earlier state is grey, and nothing is called complete
                text, colour = text or "being checked", now.dim
            elif not text:
                text, colour = self._complete(step)
            label.setText(text)
            label.setStyleSheet(f"color: {colour};")
            label.setToolTip("\n".join(one.text for one in problems[:12]))

    def _complete(self, step: Step) -> tuple[str, str]:
        """Say of a step that lacks nothing what is still not known of it, and in which colour."""
        now, draft = theme().now, self.guide.draft
        if step == Step.INSTRUMENTS:
            answers = list(self.guide.answers.values())
            good = sum(one.good for one in answers)
            owned = sum("belongs to a session" in one.problem for one in answers)
            if good + owned < len(answers):
                return f"✕ {len(answers) - good - owned} do not answer as meant", now.fault
            if not answers:
                return "○ complete, nobody was asked yet", now.text
            told = [f"{good} of {len(draft.instruments)} answered"] * bool(good or not owned)
            told += [f"{owned} belong to a session"] * bool(owned)
            whole = good + owned == len(draft.instruments)
            return f"{'✓' if whole else '○'} complete, {', '.join(told)}", now.good if whole else now.text
        if step == Step.SAVE and (draft.path is None or draft.changed):
            return "○ not saved yet", now.warning
        return "✓ saved" if step == Step.SAVE else "✓ complete", now.good

    # what others say
    def new(self) -> None:
        """Begin with an empty rig file, unless there is unsaved work: then it asks first."""

        def begin() -> None:
            self.guide.replace(RigDraft())
            self.go_to(Step.INSTRUMENTS)

        self._leave(begin, "a new one")

    def open(self, path: str | Path) -> None:
        """Open a rig file, errors and all, unless there is unsaved work: then it asks first."""

        def read() -> None:
            self.tell(f"Reading {path}.")
            self.guide.open(path)

        self._leave(read, Path(path).name)

    def _bench(self, preset: str) -> None:
        self.tell(f"Starting {preset}: waiting for the addresses of its instruments.")
        self.bench_wanted.emit(preset)

    def bench_started(self, path: str | Path) -> None:
        """Fill every step from the rig file of a bench that is served now, unless there is unsaved work: then it asks first."""
        self._leave(lambda: self.guide.open(path, lambda: self.go_to(Step.SAVE)), f"{Path(path).name} of the bench")

    @property
    def unsaved(self) -> str:
        """Get the name of the rig file where it has changes that are not saved; else empty."""
        draft = self.guide.draft
        return "" if not draft.changed else "the new rig file" if draft.path is None else draft.path.name

    def _leave(self, go_on: Callable[[], None], where: str) -> None:
        self.notice.leave(self.unsaved, self._save_first, go_on, where)

    def _save_first(self) -> None:
        self.go_to(Step.SAVE)
        self.arming.save()

    def set_wiggle(self, why_not: str = NOT_OPEN) -> None:
        """Say whether knobs can be wiggled now: empty where they can, else why not."""
        self.channels.set_wiggle(why_not)

    def set_arming(self, told: Sequence[str] | str | None, device: str = "") -> None:
        """Show what the session of a device says that arming will change, or why it does not; None: none is connected."""
        self.arming.set_arming(told, device)
