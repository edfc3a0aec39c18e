"""The description of a Hopfield network in a file: what is accepted, what is refused and in which words, without torch."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.hopfield.settings import HopfieldSettings

HERE = Path()


def test_the_defaults_are_table_2() -> None:
    settings = HopfieldSettings()
    assert settings.widths == (784, 2048, 10)
    assert settings.boxes == ((0.0, 1.0), (-1.0, 2.0))
    assert (settings.weight_couplings, settings.bias_couplings) == ((0.1, 0.05), (0.02, 0.01))
    assert (settings.xi_0, settings.gamma, settings.max_sweeps) == (1e-3, 0.01, 100)
    found = settings.dimensions(HERE)
    assert (found.inputs, found.outputs, found.parameters, found.samples) == (784, 10, 784 * 2048 + 2048 + 2048 * 10 + 10, None)
    assert settings.beta_bounds(HERE).held == -math.inf
    assert not settings.served


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": [784, 512, 256, 10]}, "gains: one value per layer after the input is needed, 3 in all; this has 2"),
        ({"widths": [784]}, "at least 2"),
        ({"widths": [784, 0, 10]}, "greater than or equal to 1"),
        ({"gains": [0.8, -1.0]}, "greater than 0"),
        ({"weight_couplings": [0.1, math.inf]}, "finite"),
        ({"intervals": [[0, 1], [2, -1]]}, r"intervals: \[2, -1\] is empty"),
        ({"intervals": [[0, 1]]}, "intervals: one value per layer"),
        ({"input_interval": [1, 1]}, "is empty"),
        ({"torch_device": "gpu"}, "pattern"),
        ({"dtype": "float16"}, "float32"),
        ({"parameter_relaxation": "twice"}, "joint"),
        ({"max_sweeps": 0}, "greater than or equal to 1"),
        ({"layers": 3}, "not permitted"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        HopfieldSettings(**changes)


def test_a_deeper_network_with_its_own_lists_opens() -> None:
    settings = HopfieldSettings(
        widths=(6, 5, 4, 3),
        gains=(1, 1, 1),
        weight_couplings=(0.1,) * 3,
        bias_couplings=(0.1,) * 3,
        intervals=((0, 1), (0, 2), (-1, 2)),
    )
    with settings.open(seed=0, base=HERE) as engine:
        assert engine.info.n_parameters == settings.dimensions(HERE).parameters
        assert [block.name for block in engine.info.parameters] == ["w1", "b1", "w2", "b2", "w3", "b3"]


def test_cuda_is_refused_in_a_sentence_where_there_is_none() -> None:
    import torch

    name = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(DeviceConfigError, match=f"torch_device {name}: torch sees .* Choose torch_device: cpu"):
        HopfieldSettings(torch_device=name).open(seed=0, base=HERE)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_settings_do_not_import_torch() -> None:
    assert "clean" in run(
        "import sys; from pathlib import Path\n"
        "from aeqlab.backends.hopfield.settings import HopfieldSettings as S\n"
        "s = S(); s.dimensions(Path()); s.beta_bounds(Path()); S.model_json_schema()\n"
        "print('torch' if 'torch' in sys.modules else 'clean')"
    )


def test_without_torch_a_sentence_says_what_to_install() -> None:
    assert 'pip install "aeqlab[sim]"' in run(
        "import sys; from pathlib import Path\n"
        "sys.modules['torch'] = None\n"
        "from aeqlab.backends.errors import DeviceConfigError\n"
        "from aeqlab.backends.hopfield.settings import HopfieldSettings\n"
        "try: HopfieldSettings().open(seed=0, base=Path())\n"
        "except DeviceConfigError as error: print(error)"
    )


def test_threads_are_set() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        HopfieldSettings(threads=before + 1).open(seed=0, base=HERE)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
