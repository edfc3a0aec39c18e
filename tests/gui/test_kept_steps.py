"""Of a long run the window keeps a part: counts and means are over every step, extremes stay, memory does not grow."""

from __future__ import annotations

import numpy as np
import pytest

from aeqlab.app.window.models import kept_steps
from aeqlab.app.window.models.kept_steps import MEAN, KeptSteps, thinned


def rows(first: int, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    number = np.arange(first, first + count)
    cost = rng.lognormal(size=count)
    cost[rng.random(count) < 0.2] = np.nan
    return {
        "id": number, "step": number, "cost_free": cost, "cost_1": rng.lognormal(size=count),
        "used": (rng.random(count) < 0.9).astype(float), "sham": (number % 10 == 0).astype(float),
        "hold_verdict": np.array([None if k % 7 == 0 else "settled" for k in number], dtype=object),
    }  # fmt: skip


def test_what_is_counted_and_averaged_is_so_over_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_steps, "MOST", 1_000)
    rng, kept, parts = np.random.default_rng(3), KeptSteps(), []
    views = []
    for _ in range(60):
        more = rows(sum(len(one["id"]) for one in parts) + 1, int(rng.integers(1, 120)), rng)
        parts.append(more)
        kept.append(more)
        views.append((kept.view(), kept.view()["id"].copy()))
    whole = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    assert kept.read == len(whole["id"])
    assert kept.skipped == int(((whole["used"] == 0) & (whole["sham"] == 0)).sum())
    assert kept.count <= 1_000 < kept.read
    assert kept.part == kept.count / kept.read
    view = kept.view()
    at = view["id"] - 1
    assert (np.diff(at) > 0).all()
    assert at[-250:].tolist() == list(range(kept.read - 250, kept.read)), "the newest are whole"
    for name in ("cost_free", "cost_1", "used", "sham"):
        np.testing.assert_array_equal(view[name], whole[name][at])
    assert view["hold_verdict"].tolist() == ["" if one is None else one for one in whole["hold_verdict"][at]]
    for extreme in (np.nanmin, np.nanmax):
        assert extreme(view["cost_free"]) == extreme(whole["cost_free"])
    real = np.isfinite(whole["cost_free"]) & (whole["sham"] == 0)
    there = np.flatnonzero(np.isfinite(view[MEAN]))
    assert len(there) > 100
    for k in there[::37]:
        before = whole["cost_free"][: at[k] + 1][real[: at[k] + 1]]
        assert view[MEAN][k] == pytest.approx(before[-50:].mean())
    for handed_out, numbers in views:
        np.testing.assert_array_equal(handed_out["id"], numbers)
    kept.clear()
    assert (kept.read, kept.skipped, kept.count, kept.part) == (0, 0, 0, 1.0)


def test_of_every_four_old_ones_the_least_and_the_greatest_stay() -> None:
    cost = np.array([3.0, 1.0, 9.0, 2.0, np.nan, np.nan, np.nan, np.nan, 5.0, 5.0, 5.0, 5.0, 7.0, 8.0])
    found = thinned({"id": np.arange(14), "cost_free": cost}, whole=2)
    assert found["id"].tolist()[:2] == [1, 2]
    assert found["id"].tolist()[-2:] == [12, 13]
    assert len(found["id"]) == 8
