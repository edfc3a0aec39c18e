"""A device of the user's own: found in their file, made with their options, blamed by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from aeqlab.backends.errors import DeviceConfigError, UserCodeError
from aeqlab.backends.settings import UnknownUntilPreparing
from aeqlab.backends.user_device import CustomSettings

#: A device that is little work: the simulation, made by the user's own class.
MINE = """
from pathlib import Path
from aeqlab.backends.device import Device
from aeqlab.backends.simulated_settings import SimulatedSettings

class Mine(Device):
    def __init__(self, frequencies=2, seed=None):
        self.seed = seed
        settings = SimulatedSettings(energy="linear", options={"frequencies": frequencies})
        self.inner = settings.open(seed=seed or 0, base=Path())

    @property
    def info(self):
        return self.inner.info

    def _present(self, inputs): self.inner.present(inputs)
    def _set_controls(self, u): self.inner.set_controls(u)
    def _controls(self): return self.inner.controls()
    def _nudge(self, targets, beta): self.inner.nudge(targets, beta)
    def _release(self): self.inner.release()
    def _advance(self, seconds): return self.inner.advance(seconds)
    def _freeze(self): self.inner.freeze()
    def _make_safe(self): return self.inner.make_safe()
"""


def write(folder: Path, text: str) -> Path:
    """Write the user's file; returns its folder."""
    (folder / "mine.py").write_text(text, encoding="utf-8")
    return folder


def test_it_gets_its_options_and_the_seed(tmp_path: Path) -> None:
    base = write(tmp_path, MINE)
    device = CustomSettings(code="mine.py:Mine", options={"frequencies": 3}).open(seed=7, base=base)
    assert (len(device.info.controls), device.seed) == (7, 7)  # type: ignore[attr-defined]
    assert CustomSettings(code="mine.py:Mine", options={"seed": 2}).open(seed=7, base=base).seed == 2  # type: ignore[attr-defined]
    device.present(np.zeros((1, 1)))
    assert device.advance().dt > 0


def test_its_class_may_be_any_device(tmp_path: Path) -> None:
    base = write(tmp_path, f"{MINE}\ndef f(): pass\nclass Half(Device): pass\nclass Other: pass\n")
    for name, said in (
        ("f", r"device mine\.py:f: it is not a class derived from"),
        ("Other", "it is not a class derived from"),
        ("Half", "_advance, .*info still to be written"),
        ("Mina", r"mine\.py has no Mina\. .*Did you mean Mine\?"),
    ):
        with pytest.raises(DeviceConfigError, match=said):
            CustomSettings(code=f"mine.py:{name}").open(seed=0, base=base)
    with pytest.raises(DeviceConfigError, match=r"there is no option 'frequency'\. .*Did you mean frequencies\?"):
        CustomSettings(code="mine.py:Mine", options={"frequency": 3}).open(seed=0, base=base)
    with pytest.raises(ValidationError, match="does not name a class"):
        CustomSettings(code="linear")


def test_what_it_raises_names_its_line(tmp_path: Path) -> None:
    text = MINE.replace("def _advance(self, seconds): return", "def _advance(self, seconds): 1 / 0; return")
    text = text.replace("def _freeze(self): ", "def _freeze(self): 1 / 0; ")
    device = CustomSettings(code="mine.py:Mine").open(seed=0, base=write(tmp_path, text))
    device.present(np.zeros((1, 1)))
    line = text.splitlines().index("    def _advance(self, seconds): 1 / 0; return self.inner.advance(seconds)") + 1
    with pytest.raises(UserCodeError, match=rf"device mine\.py:Mine: .*mine\.py:{line}: ZeroDivisionError"):
        device.advance()
    with pytest.raises(ZeroDivisionError):  # as it is: whoever ends a run tries the next safer way
        device.freeze()


def test_its_settings_run_no_code_of_it(tmp_path: Path) -> None:
    base = write(tmp_path, "raise SystemExit('it was imported')\n")
    settings = CustomSettings(code="mine.py:Mine")
    assert (settings.served, settings.has_user_code) == (False, True)
    for ask in (settings.dimensions, settings.beta_bounds):
        with pytest.raises(UnknownUntilPreparing):
            ask(base)
    with pytest.raises(UserCodeError, match="it was imported"):
        settings.open(seed=0, base=base)
