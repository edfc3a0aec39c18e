"""Every table and column of the record in Markdown, made from the schema that makes the record: the end of docs/record.md."""

from __future__ import annotations

from collections.abc import Iterator

from aeqlab.protocols.record_schema import TABLES, Column, Table

HEAD = """\
## Tables

Made from the schema of the record: `aeqlab schema --record`. Units such as `cost` and `parameter unit` stand for those of the
device; each record has these in its table `columns`.
"""


def print_tables() -> int:
    """Print what stands in the record of a run; returns the exit code."""
    print(record_in_markdown(), end="")
    return 0


def record_in_markdown() -> str:
    """Write the schema of the record as one table of columns per table."""
    return "\n".join([HEAD, *("\n".join(_lines(table)) for table in TABLES)])


def _lines(table: Table) -> Iterator[str]:
    view = f" View: `current_{table.name}`." if table.superseded else ""
    yield f"### {table.name}\n\n{table.text[0].upper()}{table.text[1:]}.{view}\n"
    yield from ("| column | type | unit | meaning |", "| --- | --- | --- | --- |")
    for column in table.columns:
        yield f"| `{column.name}` | {_type(column)} | {column.unit} | {column.text.replace('|', '&#124;')} |"
    yield ""


def _type(column: Column) -> str:
    word = column.sql.split()[0]
    return f"{word} of `{column.array}` {column.shape}" if column.array else word
