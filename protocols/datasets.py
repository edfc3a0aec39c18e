"""Tables of a run as what other libraries work with: an xarray.Dataset, a pandas.DataFrame; both come with the extra `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.errors import ExportError
from aeqlab.protocols.export_layout import ROW, UNITS, filled, layouts_of
from aeqlab.protocols.record_reader import Rows
from aeqlab.protocols.record_schema import BY_NAME

if TYPE_CHECKING:
    import pandas
    import xarray

    from aeqlab.protocols.scans import Scan

Array = NDArray[Any]
POINTS = BY_NAME["points"]

INSTALL = 'Install it with: pip install "aeqlab[export]"'


def to_xarray(rows: Rows) -> xarray.Dataset:
    """Make an xarray.Dataset of a table, with units and meanings as attributes.

    Args:
        rows: the table.
    Returns:
        Dimensions `step` for steps, `row` for other tables, then `point` and `parameter`; shorter arrays are filled up with nan.
        Variables have the attributes `units` and `long_name`.
    Raises:
        ExportError: xarray is not installed.
    """
    make = _dataset()
    row = ROW.get(rows.schema.name, "row")
    layouts = layouts_of(rows)
    values = rows.read(*layouts)
    variables = {}
    for name, layout in layouts.items():
        attributes = {"long_name": layout.text} | ({"units": UNITS.get(layout.unit, layout.unit)} if layout.unit else {})
        variables[name] = ((row, *layout.dimensions), filled(values[name], layout), attributes)
    return make(variables, attrs={"title": rows.schema.name, "text": rows.schema.text})


def scan_to_xarray(scan: Scan) -> xarray.Dataset:
    """Make an xarray.Dataset of a scan, with units as attributes; nan and "" where there is no point (yet).

    Args:
        scan: of a run.
    Returns:
        Dimensions and coordinates are the axes; points that follow one another have the dimension `point`, with the setpoints and
        the time `t` as coordinates. Variables: what was read by its name (`..._read` where an axis has the same, or a column of
        the points such as `t` or `settled`, as in an export), and beside each `..._deviation`; `..._readback` of each axis;
        `settled`, `verdict`, `readings` and `t` of the points.
    Raises:
        ExportError: xarray is not installed.
    """
    make, points = _dataset(), scan.points
    dimensions = tuple(axis.name for axis in scan.axes) if scan.is_grid else ("point",)
    places = points["point"] if scan.is_grid else np.arange(len(points))

    def placed(column: str, empty: Any) -> Array:
        whole = np.full(int(np.prod(scan.shape)), empty, dtype=points[column].dtype if empty == "" else np.float64)
        whole[places] = points[column]
        return whole.reshape(scan.shape)

    def told(values: Array, unit: str, text: str) -> tuple[Any, Array, dict[str, str]]:
        return dimensions, values, {"long_name": text} | ({"units": unit} if unit else {})

    coordinates = {}
    for axis in scan.axes:
        at = (axis.name, axis.values) if scan.is_grid else ("point", scan.setpoints[axis.name])
        coordinates[axis.name] = (*at, {"long_name": axis.kind, "units": axis.unit})
    variables = {}
    for name, values in scan.values.items():
        own, unit = f"{name}_read" if name in scan.setpoints or name in points else name, scan.units[name]
        variables[own] = told(values, unit, name)
        variables[f"{own}_deviation"] = told(scan.deviations[name], unit, f"standard deviation of one reading of {name}")
    for axis in scan.axes:
        text = f"{axis.name} as the device reports it"
        variables[f"{axis.name}_readback"] = told(scan.readbacks[axis.name], axis.unit, text)
    for column, empty in (("settled", np.nan), ("verdict", ""), ("readings", np.nan), ("t", np.nan)):
        variables[column] = told(placed(column, empty), points.units[column], POINTS.column(column).text)
    if not scan.is_grid:
        coordinates["t"] = variables.pop("t")
    return make(variables, coords=coordinates, attrs={"title": scan.kind, "path": scan.path})


def _dataset() -> type[xarray.Dataset]:
    try:
        import xarray
    except ImportError as exc:
        raise ExportError(f"to_xarray needs xarray. {INSTALL}") from exc
    return xarray.Dataset


def to_dataframe(rows: Rows) -> pandas.DataFrame:
    """Make a pandas.DataFrame of a table; an array such as theta becomes columns `theta_0`, ..., one of many points an object.

    Units are in `frame.attrs["units"]`, by column of the table.

    Raises:
        ExportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as exc:
        raise ExportError(f"to_dataframe needs pandas. {INSTALL}") from exc
    columns: dict[str, Any] = {}
    for name, values in rows.read(*rows.present).items():
        columns |= {f"{name}_{k}": values[:, k] for k in range(values.shape[1])} if values.ndim == 2 else {name: values}
    frame = pandas.DataFrame(columns)
    frame.attrs["units"] = rows.units
    return frame
