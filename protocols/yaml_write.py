"""Writing plain values as YAML, so that the strict reader takes every text for a text again."""

from __future__ import annotations

from typing import Any

import yaml

from aeqlab.protocols.yaml_tree import parse_scalar


def write_yaml(tree: Any) -> str:
    """Write a tree of plain values as YAML, in its own order; reading it strictly gives an equal tree."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that would be read as a number, a boolean or nothing, such as 1e-3."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        quoted = not isinstance(parse_scalar(text), str)
    except ValueError:
        quoted = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _text)
