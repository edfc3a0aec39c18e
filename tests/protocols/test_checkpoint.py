"""Checkpoints: whole or not there, the last two kept, damage told and stepped over."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aeqlab.protocols import checkpoint
from aeqlab.protocols.errors import CheckpointError


def _tree(step: int) -> dict[str, object]:
    return {
        "step": step,
        "target": np.linspace(0, 1, 7),
        "streams": {"a": {"state": 2**127 + step}},
        "none": None,
        "f": float("nan"),
    }


def test_a_tree_comes_back(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, _tree(3), 3)
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded.path == path
    assert loaded.warnings == ()
    assert loaded.tree["streams"] == {"a": {"state": 2**127 + 3}}
    assert np.isnan(loaded.tree["f"])
    np.testing.assert_array_equal(loaded.tree["target"], np.linspace(0, 1, 7))


def test_the_last_two_are_kept_and_nothing_beside(tmp_path: Path) -> None:
    for step in (10, 20, 30, 30, 40):
        checkpoint.save(tmp_path, _tree(step), step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000004-step-30.aeq", "checkpoint-000005-step-40.aeq"]
    assert checkpoint.listed_steps(tmp_path).keys() == {30, 40}


def test_a_damaged_newest_one_gives_the_one_before_and_a_warning(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, _tree(1), 1)
    newest = checkpoint.save(tmp_path, _tree(2), 2)
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded.tree["step"] == 1
    assert len(loaded.warnings) == 1
    assert newest.name in loaded.warnings[0]
    assert "damaged" in loaded.warnings[0]


def test_two_damaged_ones_are_one_sentence(tmp_path: Path) -> None:
    for step in (1, 2):
        path = checkpoint.save(tmp_path, _tree(step), step)
        os.truncate(path, 20)
    with pytest.raises(CheckpointError, match="no checkpoint can be read, so the run cannot be resumed; its record can"):
        checkpoint.load_newest(tmp_path)


def test_none_at_all_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint.load_newest(tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_taken_for_a_checkpoint(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole.aeq"
    if not whole.exists():
        checkpoint.write(whole, _tree(1))
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    damaged = tmp_path / "damaged.aeq"
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.read(damaged)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.aeq"
    checkpoint.write(path, _tree(1))
    before = path.read_bytes()
    with pytest.raises(Exception, match="does not travel"):
        checkpoint.write(path, {"x": object()})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.aeq"]
