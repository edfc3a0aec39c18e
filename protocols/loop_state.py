"""What the loops of a session keep, looked at before it is put back from a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from aeqlab.backends.device import DeviceInfo


def check_rows(info: DeviceInfo, rows: dict[str, Any]) -> None:
    """Check what loops keep: nothing, numbers, and finite rows with one number per knob or parameter.

    Raises:
        ValueError: a row is none of these.
        AttributeError: a value is no row at all.
    """
    sizes = ((0,), (len(info.controls),), (info.n_parameters,), (len(info.outputs),))
    for name, row in rows.items():
        plain = row is None or isinstance(row, (bool, int, float))
        if not plain and not (row.dtype.kind == "f" and row.shape in sizes and np.isfinite(row).all()):
            raise ValueError(f"{name} is not one finite number per knob")
