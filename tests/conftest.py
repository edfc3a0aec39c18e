"""Common ground of all tests: one thread, a temporary folder to stand in, and the data sets where there are some."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# before numpy or torch is imported by any test: one thread, as the record of a run says it, and no window on a screen
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["NO_COLOR"] = "1"

# what a script starts with `&` has Ctrl-C switched off, and so has everything that it starts; some tests press it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


def pytest_xdist_auto_num_workers() -> int | None:
    """Start one worker more than there are processors, for `-n auto`: a third of the time tests wait for processes and clocks."""
    return None if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else (os.cpu_count() or 1) + 1


def in_ci() -> bool:
    """Say whether what is missing on this machine is a failure instead of a skip."""
    return bool(os.environ.get("CI"))


@pytest.fixture(scope="session", autouse=True)
def _state_folder() -> Iterator[None]:
    """Keep leases, sessions and settings of the tests away from those of the person who runs them."""
    with tempfile.TemporaryDirectory(prefix="aeqlab-state-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get("AEQLAB_STATE")
        os.environ["AEQLAB_STATE"] = folder
        yield
        if before is None:
            del os.environ["AEQLAB_STATE"]
        else:
            os.environ["AEQLAB_STATE"] = before


@pytest.fixture(autouse=True)
def _in_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder of this test's own: `runs/` and the like never land in the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test be alone with its leases and sessions: what other tests leave is none of its business."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))


@pytest.fixture
def shown_at_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs of this process look at requests and show their progress at every sample, not some times a second."""
    monkeypatch.setattr("aeqlab.protocols.run_session.LOOK_S", 0.0)
    monkeypatch.setattr("aeqlab.protocols.run_status.SHOW_S", 0.0)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Get the folder with pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Get the folder that holds mnist/ and fashion-mnist/; skip where there is none, fail in CI if the one named is not there."""
    named = os.environ.get("AEQLAB_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if (folder / "mnist").is_dir():
        return folder
    if named and in_ci():
        pytest.fail(f"AEQLAB_DATA names {folder}, which has no mnist folder")
    pytest.skip("no data sets on this machine: set AEQLAB_DATA to the folder that holds mnist/")
