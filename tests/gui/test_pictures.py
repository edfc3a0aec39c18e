"""Every workspace on real runs and a live bench, at two sizes, light and dark: nothing cut off, overlapping, empty or pale.

    AEQLAB_PICTURES=docs/pictures pytest tests/gui/test_pictures.py        trains the bench first, and keeps the pictures

Without that variable no picture is kept, light is looked at in the small size and dark in the large one, and Train shows a
simulated device: that takes seconds.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from picture_checks import wrong
from run_helpers import experiment, read_steps, start_worker, wait_for

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.models.rig_problems import Step
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.theme import theme
from aeqlab.backends.bench_link import BenchLink
from aeqlab.protocols.client import attach, find_sessions
from aeqlab.protocols.experiment import preset_text
from aeqlab.protocols.run import run_experiment

KEPT = str(Path(os.environ["AEQLAB_PICTURES"]).absolute()) if os.environ.get("AEQLAB_PICTURES") else ""  #: tests stand elsewhere
SIZES = {"": (1280, 800), "-large": (2560, 1440)}
LARGE = ("rig", "tune", "train", "story")  #: of these the large picture is kept as well
MOST_BYTES = 250_000  #: of one picture
WAIT_S = 1500.0 if KEPT else 120.0

pytestmark = pytest.mark.timeout(3600 if KEPT else 300)


def until(condition: Callable[[], object], what: str, seconds: float = WAIT_S) -> None:
    """Let the window work until something is so; fail with what it was."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for: {what}"
        QTest.qWait(20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def shell(qapp: QApplication, folder: Path) -> Iterator[Shell]:
    """Open the window on two short runs; it is one for all pictures, as it is for the person before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEQLAB_STATE", str(folder / "state"))
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(threading, "excepthook", threading.excepthook)
        for method in ("centered", "optimistic"):
            file = experiment(folder, preset_text("linear-regression"), "data.samples=150", f"train.method={method}")
            run_experiment(file, runs=folder / "runs")
        made = make_window(qapp, folder / "runs", Target())
        made.show()
        yield made
        made.close_now()
        made.deleteLater()
        theme().apply(qapp, dark=False)


@pytest.fixture(scope="module")
def rig(shell: Shell, folder: Path) -> Iterator[Path]:
    """Serve an emulated bench and open a session on it, by the buttons of the guide; gives its rig file."""
    if KEPT:
        until(lambda: shell.world.run is not None and shell.world.run.state == "finished", "the end of the run on the bench")
        until(lambda: not find_sessions(), "the end of its session")
    shell.world.show_run(None)
    shell.show_first()
    shell.first.rig.click()
    guide = shell.connect_page.guide
    guide.instruments.bench_button.click()
    until(lambda: list((folder / "runs").glob("bench-16-*/rig.yaml")), "the emulated bench")
    (file,) = (folder / "runs").glob("bench-16-*/rig.yaml")
    until(lambda: guide.arming.session_button.isEnabled(), "the rig file in the guide")
    guide.arming.session_button.click()
    until(lambda: shell.world.session is not None and not shell.world.session.lost, "the session of the rig")
    until(lambda: shell.connect_page.table.model.rowCount() > 30, "the rows of the rig")
    address = next(line.split('"')[1] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("bench:"))
    yield file
    for session in find_sessions():
        with attach(session, name="test", control=False) as client:
            client.end_session("the pictures are taken")
    BenchLink.connect(address).stop()


@pytest.fixture
def live(folder: Path) -> Iterator[Path]:
    """Let a simulated device be trained in a process of its own."""
    experiment(folder, preset_text("linear-regression"), "name=live", "data.samples=200", "train.epochs=1000")
    (folder / "live").mkdir()
    process = start_worker("run", folder / "experiment-under-test.yaml", folder / "live", "train.epochs=1000", "name=live")
    try:
        wait_for(lambda: bool(list((folder / "live").glob("*/control.json"))), "the run", WAIT_S)
        read_steps(process, 120)
        threading.Thread(target=process.stdout.read if process.stdout else print, daemon=True).start()
        yield next(path.parent for path in (folder / "live").glob("*/record.sqlite"))
    finally:
        process.kill()
        process.wait()


def look(shell: Shell, name: str, *, filled: bool = True, ready: Callable[[], object] = lambda: True) -> None:
    """Look at the window as it is, at both sizes, light and dark, and keep the pictures where they are wanted.

    `filled` is whether every plot has something to show; where not it must say what it awaits. `ready` is what to wait for before
    each picture.
    """
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    for suffix, (width, height) in SIZES.items():
        shell.resize(width, height)
        for dark in (False, True) if KEPT else (bool(suffix),):
            shell.dark.setChecked(dark)
            theme().apply(application, dark=dark)
            found = ["not looked at yet"]
            until(ready, f"what {name} shows")
            for _ in range(6):  # what goes on changes texts, and their room is found anew at the next event
                QTest.qWait(100)
                QApplication.sendPostedEvents()  # also where drawing took all of that time
                picture = shell.grab()
                found = wrong(shell, picture.toImage(), filled=filled)
                if not found:
                    break
            what = f"{name}{suffix}-{'dark' if dark else 'light'}"
            if KEPT:
                kept = Path(KEPT)
                kept.mkdir(parents=True, exist_ok=True)
                buffer = QBuffer()
                buffer.open(QIODevice.OpenModeFlag.WriteOnly)
                picture.save(buffer, "PNG")
                image = Image.open(io.BytesIO(bytes(buffer.data().data()))).convert("RGB").quantize(256, dither=Image.Dither.NONE)
                if not suffix or name in LARGE:
                    image.save(kept / f"{what}.png", optimize=True)
                    assert (kept / f"{what}.png").stat().st_size < MOST_BYTES
            assert not found, f"{what}:\n" + "\n".join(found)
            assert (shell.width(), shell.height()) == (width, height), what


def test_the_first_screen(shell: Shell) -> None:
    shell.show_first()
    until(lambda: shell.first.last.count() == 2, "the two runs")
    look(shell, "first")


def test_train_live(shell: Shell, live: Path) -> None:
    if KEPT:
        shell.first.bench.click()
        until(
            lambda: shell.world.run is not None and len(shell.world.run.column("steps", "step")) > 150, "150 steps on the bench"
        )
    else:
        shell.world.show_run(live)
    shell.show_workspace("Train")
    until(lambda: shell.banner.sign.value() is Standing.TRAINING, "a run that trains")
    until(lambda: shell.world.run is not None and len(shell.world.run.column("evaluated", "step")) > 10, "readings")
    look(shell, "train")


@pytest.mark.parametrize("step", list(Step), ids=lambda step: step.name.lower())
def test_each_step_of_the_guide(shell: Shell, rig: Path, step: Step) -> None:
    shell.show_workspace("Connect")
    guide = shell.connect_page.guide
    shell.connect_page.pages.setCurrentWidget(guide)
    until(lambda: guide.guide.draft.rows and not guide.guide.checking, "the rig file, checked")
    guide.go_to(step)
    look(shell, f"guide-{step.value}")


def test_the_rig_now(shell: Shell, rig: Path) -> None:
    shell.show_workspace("Connect")
    page = shell.connect_page
    page.pages.setCurrentWidget(page.panels)
    until(lambda: page.table.model.rowCount() > 30, "the rows of the rig")
    until(page.console.instrument.count, "the instruments of the console")
    page.console.line.setText("*IDN?")
    page.console.ask()
    until(lambda: "QDAC" in page.console.transcript.toPlainText(), "the answer of an instrument")
    look(shell, "rig")


def test_tune(shell: Shell, rig: Path) -> None:
    """Before the identification it says what it needs; for pictures that are kept the bench is identified, held and bumped."""
    shell.show_workspace("Tune")
    tune = shell.tune
    until(lambda: tune.work.gains is not None, "the gains")
    if KEPT:
        until(tune.commands.identify.isEnabled, "the button Identify")
        tune.commands.identify.click()
        until(lambda: shell.world.run is not None and shell.world.run.ended, "the identification")
        until(lambda: tune.work.gains is not None and not tune.work.gains.why, "the gains that follow")
        until(tune.commands.bump.isEnabled, "the button Bump")
        tune.table.choose([3])
        tune.commands.bump.click()
        until(lambda: tune.bump.found is not None and not tune.work.busy, "the bump")
    look(shell, "tune", filled=bool(KEPT))


def test_an_experiment_with_a_mistake(shell: Shell, folder: Path) -> None:
    file = folder / "mine.yaml"
    file.write_text(preset_text("linear-regression").replace("beta: 0.1", "beta: 0.1, batch: -3"), encoding="utf-8")
    shell.open_experiment(file)
    document = shell.train.experiment.document
    until(lambda: document.is_examined and document.found is not None and document.found.problems, "the mistake")
    look(shell, "experiment", ready=lambda: document.is_examined and "1 wrong" in shell.train.experiment.below.tabText(0))


def test_the_story_of_a_run(shell: Shell, folder: Path) -> None:
    shell.show_workspace("Look back")
    until(lambda: shell.past.table.model.rowCount() >= 2, "the runs")
    shell.past.show_story(trained(folder))
    until(lambda: shell.past.story.story is not None, "the story")
    look(shell, "story")


def test_a_replay(shell: Shell, folder: Path) -> None:
    shell.show_workspace("Look back")
    shell.past.replay_at(trained(folder))
    until(lambda: shell.past.replay.moment is not None, "the moment")
    look(shell, "replay")


def test_runs_side_by_side(shell: Shell) -> None:
    shell.show_workspace("Look back")
    shell.past.pages.setCurrentIndex(0)
    table = shell.past.table
    until(lambda: table.model.rowCount() >= 2, "the runs")
    table.filter.set_text("linear-regression")
    table.view.selectAll()
    table.compare_button.click()
    until(lambda: shell.past.compare.isVisible() and shell.past.compare.plot.names(), "the comparison")
    look(shell, "comparison")


def trained(folder: Path) -> Path:
    """Get the run that is told of: on the bench where there is one, else the newest."""
    found = [path.parent for path in (folder / "runs").glob("demo-*/runs/*/record.sqlite" if KEPT else "*/record.sqlite")]
    return max(found)


def test_what_is_wrong_is_found(qapp: QApplication) -> None:
    """The checks can fail: a window with one of each."""
    from PySide6.QtWidgets import QLabel, QPushButton, QWidget

    window = QWidget()
    window.resize(300, 200)
    narrow, over, out = QLabel("a text that is longer than its room", window), QPushButton("over", window), QLabel("out", window)
    narrow.setGeometry(0, 0, 50, 20)
    over.setGeometry(30, 0, 80, 20)
    out.setGeometry(280, 100, 60, 20)
    faint = QLabel("faint", window)
    faint.setGeometry(0, 100, 80, 20)
    faint.setStyleSheet("color: #cccccc; background: #ffffff")
    window.show()
    QTest.qWait(50)
    found = "\n".join(wrong(window, window.grab().toImage()))
    window.close()
    for said in ("'a text that is longer", "overlap by 20 x 20", "reaches out of", "'faint' has a contrast of 1."):
        assert said in found
