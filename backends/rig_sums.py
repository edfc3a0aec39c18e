"""Limits on many knobs together, such as the power of all heaters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import LimitError
from aeqlab.backends.rig_names import names_of
from aeqlab.backends.rig_plan import RigPlan

Array = NDArray[Any]


def check_sums(plan: RigPlan, u: Array, x: Array) -> None:
    """See that what is asked for keeps the limits on sums.

    Args:
        plan: the rig.
        u, x: control and input knobs as they would stand, shapes (controls,) and (inputs,); nan where that is not known.
    Raises:
        LimitError: a sum is too large; names it.
    """
    if not plan.file.sums:
        return
    values = dict(zip((*plan.controls.names, *plan.inputs.names), (*u.tolist(), *x.tolist()), strict=True))
    for entry in plan.file.sums:
        some = np.array([values[name] for name in names_of(entry.of)])
        some = some[np.isfinite(some)]
        match entry.kind:
            case "squares":
                total = entry.scale * float(some @ some)
            case "absolute":
                total = entry.scale * float(np.abs(some).sum())
            case _:
                total = entry.scale * float(some.sum())
        if total > entry.limit * (1 + 1e-12):
            raise LimitError(
                f"{plan.name}: {entry.name} would be {total:.6g}, and its limit is {entry.limit:g}. Choose smaller values of its "
                f"{len(some)} knobs, or another limit in the rig file."
            )
