"""The JSON Schema of an experiment file, made from the models that check it: for editors that complete and underline."""

from __future__ import annotations

from typing import Any

from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.stages.registry import stage_kinds


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of an experiment file, with the stages of the registry.

    A stage without options may be a bare word in a file, so the entries of every sequence are a word or a mapping.
    """
    schema = Experiment.model_json_schema()
    kinds = stage_kinds()
    bare = [name for name, kind in kinds.items() if not any(field.is_required() for field in kind.options.model_fields.values())]
    entry = schema["$defs"]["StageEntry"]
    for name, kind in kinds.items():
        entry["properties"][name]["description"] = kind.summary
    for place in (schema, *schema["$defs"].values()):
        sequence = place.get("properties", {}).get("sequence")
        if sequence is not None:
            sequence["items"] = {"anyOf": [sequence["items"], {"enum": bare}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "aeqlab experiment", **schema}
