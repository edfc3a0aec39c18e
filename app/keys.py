"""Every key of an experiment file in Markdown, made from the same models that check the files: docs/keys.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

HEAD = """\
# Every key of an experiment file

Made from the models that check the files: `aeqlab schema --markdown`. How they go together: [experiments.md](experiments.md).
"""
#: Heading of each model, in the order in which a reader meets them; models not named here follow.
FIRST = (
    "Experiment",
    "SimulatedSettings",
    "SlowSettings",
    "HopfieldSettings",
    "CustomSettings",
    "HomeostasisSettings",
    "SettlingSettings",
    "SessionLimits",
    "StageEntry",
)


def print_schema(*, markdown: bool) -> int:
    """Print the JSON Schema of experiment files, or the tables; returns the exit code."""
    from aeqlab.protocols.schema import json_schema

    schema = json_schema()
    print(in_markdown(schema) if markdown else json.dumps(schema, indent=2, ensure_ascii=True), end="" if markdown else "\n")
    return 0


def in_markdown(schema: dict[str, Any]) -> str:
    """Write the JSON Schema of experiment files as one table per model."""
    models = {"Experiment": schema, **schema["$defs"]}
    models = {name: model for name, model in models.items() if model.get("properties")}
    order = [name for name in FIRST if name in models] + sorted(set(models) - set(FIRST))
    parts = [HEAD]
    for name in order:
        parts.append(f"## {name}\n\n{models[name].get('description', '').splitlines()[0]}\n")
        parts.append("\n".join(["| key | takes | default | meaning |", "| --- | --- | --- | --- |", *_rows(models[name])]) + "\n")
    return "\n".join(parts)


def _rows(model: dict[str, Any]) -> Iterator[str]:
    required = set(model.get("required", ()))
    for key, field in model["properties"].items():
        default = "needed" if key in required else _default(field)
        cells = (f"`{key}`", _takes(field), default, field.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return "-"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _takes(field: dict[str, Any]) -> str:
    """Say in a few words what a value may be."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        words = (json.dumps(word).strip('"') for word in field["enum"])  # as JSON, so that a tab is seen
        return ", ".join(f"`{word}`" for word in words)
    options = field.get("anyOf") or field.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_takes(option) for option in options if option.get("type") != "null"))
    match field.get("type"):
        case "array" if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])}"
        case "array":
            return f"list of: {_takes(field.get('items', {}))}"
        case "object":
            return "mapping"
        case "number" | "integer" as kind:
            return f"{'number' if kind == 'number' else 'whole number'}{_range(field)}"
        case "boolean":
            return "`true` or `false`"
        case "string":
            return "text"
    return "anything"


def _range(field: dict[str, Any]) -> str:
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    bounds = [f"{word} {field[key]:g}" for key, word in words.items() if key in field and abs(field[key]) < 1e6]
    return f", {' '.join(bounds)}" if bounds else ""
