"""The stages of an experiment as methods: one for each kind there is, its options as keywords, told by its own model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

from aeqlab.protocols.stages.registry import StageKind, stage_kinds

if TYPE_CHECKING:
    from aeqlab.protocols.load import Run


class Stages:
    """`rig.stage.hold(seconds=2)`, `rig.stage.train(beta=0.1, samples=10)`: each a run of one stage.

    Args:
        run: runs a sequence, `Rig.run`; its keywords are taken by every stage besides its own options, which come first.
    """

    def __init__(self, run: Callable[..., Run]) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Callable[..., Run]:
        kind = stage_kinds().get(name) or stage_kinds().get(name.replace("_", "-"))
        if kind is None:
            raise AttributeError(f"there is no stage {name!r}; there are {', '.join(stage_kinds())}")
        return _method(kind, self._run)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.replace("-", "_") for name in stage_kinds())]


def _method(kind: StageKind, run: Callable[..., Run]) -> Callable[..., Run]:
    about = kind.options.model_fields
    of_run = [p for p in inspect.signature(run).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in about]
    words = {parameter.name for parameter in of_run}
    written = {name: field.alias or name for name, field in about.items()}  # as a file has it, such as `from`

    def stage(**options: Any) -> Run:
        with_run = {name: options.pop(name) for name in words & options.keys()}
        return run([{kind.name: {written.get(name, name): value for name, value in options.items()}}], **with_run)

    stage.__name__ = stage.__qualname__ = kind.name.replace("-", "_")
    stage.__signature__ = inspect.Signature([*_parameters(kind), *of_run], return_annotation="Run")  # type: ignore[attr-defined]
    stage.__doc__ = "\n".join(
        [
            f"Run the stage `{kind.name}`: {kind.summary}.",
            "",
            "Args:",
            *(f"    {name}: {field.description}." for name, field in about.items()),
            f"    {', '.join(parameter.name for parameter in of_run)}: as for `rig.run`.",
        ]
    )
    return stage


def _parameters(kind: StageKind) -> list[inspect.Parameter]:
    parameters = []
    for name, field in kind.options.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
        default = inspect.Parameter.empty if default is PydanticUndefined else default
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.annotation))
    return parameters
