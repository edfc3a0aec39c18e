"""The stage `call`: a function of the user's own, `file.py:function` or `module:function`. It runs only when the run does.

def stage(session, options) -> dict:      `session` is the `RunSession`, `options` what the file says, by name
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from aeqlab.backends.named_files import Names
from aeqlab.backends.user_code import FunctionName
from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class CallOptions(StageOptions):
    """Run a stage that is a function of the user's own; `- file.py:function: {options}` is the same in short."""

    function: FunctionName = Field(description="file.py:function or module:function; it gets the run's session and the options")
    options: Annotated[dict[str, Any], Names.FILES] = Field(
        default={}, description="what the function gets as its second argument, plain values"
    )


def run(session: RunSession, options: CallOptions) -> dict[str, Any]:
    """Call the function and keep what it found; afterwards no nudge is on."""
    from aeqlab.backends.errors import DeviceConfigError, UserCodeError
    from aeqlab.backends.user_code import blamed, load, spoken
    from aeqlab.protocols.errors import ProtocolError

    function = load(options.function, session.base)
    said = spoken(options.function, session.base)
    if not callable(function):
        raise DeviceConfigError(f"{said} is not a function. Name one that takes (session, options).")
    with blamed(f"stage {said}", ProtocolError):
        found = function(session, dict(options.options))
    session.release()
    if found is None:
        return {}
    try:
        if not isinstance(found, dict):
            raise TypeError(f"it is a {type(found).__name__}")
        if not all(isinstance(key, str) for key in found):
            raise TypeError("its keys are not words")
        plain: dict[str, Any] = json.loads(json.dumps(found, default=_plain, allow_nan=True))
    except (TypeError, ValueError) as exc:
        raise UserCodeError(
            f"stage {said}: what it returned cannot be recorded: {exc}. Return None, or a dict of names and plain values."
        ) from exc
    return plain


def _plain(value: Any) -> Any:
    """Make numpy's arrays and numbers plain."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no plain value")
