"""The JSON Schema of an experiment file, made from the models that check it: for editors that complete and underline."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.stages.registry import stage_kinds

USER_CODE = r"^(.+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*$"  #: `file.py:function` or `module:function`, as a pattern of JSON Schema


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of an experiment file, with the stages of the registry.

    A stage without options may be a bare word in a file, so the entries of every sequence are a word or a mapping.
    """
    schema = Experiment.model_json_schema()
    kinds = stage_kinds()
    bare = [name for name, kind in kinds.items() if _needs_nothing(kind.options)]
    entry = schema["$defs"]["StageEntry"]
    entry["patternProperties"] = {USER_CODE: {"type": "object", "description": "options of a stage of your own"}}
    for place in (schema, *schema["$defs"].values()):
        sequence = place.get("properties", {}).get("sequence")
        if sequence is not None:
            sequence["items"] = {"anyOf": [sequence["items"], {"enum": bare}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "aeqlab experiment"}


def _needs_nothing(options: type[BaseModel]) -> bool:
    """Tell whether a stage can be a bare word."""
    try:
        options()
    except ValidationError:
        return False
    return True
