"""Tables of a run as what other libraries work with: an xarray.Dataset, a pandas.DataFrame; both come with the extra `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aeqlab.protocols.errors import ExportError
from aeqlab.protocols.export_layout import ROW, UNITS, filled, layouts_of
from aeqlab.protocols.record_reader import Rows

if TYPE_CHECKING:
    import pandas
    import xarray

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
    try:
        import xarray
    except ImportError as exc:
        raise ExportError(f"to_xarray needs xarray. {INSTALL}") from exc
    row = ROW.get(rows.schema.name, "row")
    layouts = layouts_of(rows)
    values = rows.read(*layouts)
    variables = {}
    for name, layout in layouts.items():
        attributes = {"long_name": layout.text} | ({"units": UNITS.get(layout.unit, layout.unit)} if layout.unit else {})
        variables[name] = ((row, *layout.dimensions), filled(values[name], layout), attributes)
    return xarray.Dataset(variables, attrs={"title": rows.schema.name, "text": rows.schema.text})


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
