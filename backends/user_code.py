"""Code of the user's own: loaded by `file.py:Name` or `module:Name`, and blamed by file and line when it raises.

Only what runs an experiment calls `load`; reading settings or a folder never does.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import AfterValidator

from aeqlab.backends.errors import BackendError, DeviceConfigError, UserCodeError
from aeqlab.backends.named_files import Names

ORIGINALS = "originals.json"  #: in a folder of copies, from the name of each to the path of the file it is a copy of
_FORM = re.compile(r"(?P<place>.+):(?P<name>[A-Za-z_]\w*)")


def is_user_code(spec: str) -> bool:
    """Tell whether a word has the form `file.py:Name` or `module:Name`."""
    match = _FORM.fullmatch(spec)
    if match is None:
        return False
    place = match["place"]
    return place.endswith(".py") or all(part.isidentifier() for part in place.split("."))


def _naming(what: str) -> AfterValidator:
    """Make the check of a setting that names code of the user's; it runs none of it."""

    def named(value: str) -> str:
        if not is_user_code(value):
            raise ValueError(f"{value[:60]!r} does not name a {what.lower()}: write file.py:{what} or module:{what}")
        return value

    return AfterValidator(named)


FunctionName = Annotated[str, _naming("function"), Names.FILES]  #: a setting that names a function of the user's
ClassName = Annotated[str, _naming("Class"), Names.FILES]  #: a setting that names a class of the user's


def load(spec: str, base: Path) -> Any:
    """Import what a user named; this runs their code.

    Args:
        spec: `file.py:Name`, the path counted from `base`, or `module:Name` of an installed module.
        base: folder of the file in which the spec stands.
    Raises:
        DeviceConfigError: the spec has another form, there is no such file or module, or nothing of that name in it.
        UserCodeError: their code raised while it was imported; names file and line.
    """
    match = _FORM.fullmatch(spec)
    if match is None or not is_user_code(spec):
        raise DeviceConfigError(f"{spec!r} does not name user code. Write file.py:Name or module:Name.")
    place, name = match["place"], match["name"]
    module = _from_file(spec, base / place) if place.endswith(".py") else _from_module(spec, place)
    try:
        return getattr(module, name)
    except AttributeError:
        said = spoken(spec, base)
        theirs = sorted(k for k, v in vars(module).items() if not k.startswith("_") and not inspect.ismodule(v))
        has = ", ".join(theirs[:12]) or "nothing"
        raise DeviceConfigError(f"{said}: {said.rpartition(':')[0]} has no {name}. It has: {has}.{_near(name, theirs)}") from None


def original(path: Path) -> Path:
    """Find the user's own file of which a file is an unchanged copy, as its folder says; else it is that file itself."""
    try:
        named = json.loads((path.parent / ORIGINALS).read_text(encoding="utf-8"))[path.name]
        found = Path(named)
        return found if found.read_bytes() == path.read_bytes() else path
    except (OSError, ValueError, KeyError, TypeError):
        return path


def spoken(spec: str, base: Path) -> str:
    """Get what a message should call `file.py:Name`: by the user's own file, where the spec names a copy of it."""
    place, _, name = spec.rpartition(":")
    path = base / place
    return f"{own.name}:{name}" if place.endswith(".py") and (own := original(path)) != path else spec


def construct(what: str, made: type, options: dict[str, Any]) -> Any:
    """Make an object of a user's class with options from the file, by keyword; this runs their code.

    Args:
        what: how a message should call it, such as `energy bench.py:Net`.
        made: their class.
        options: what the file says, by name.
    Raises:
        DeviceConfigError: the class does not take such options, or needs others; the message says which it takes.
        UserCodeError: their code raised; names file and line.
    """
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # nothing in Python says what it takes
        signature = None
    if signature is not None:
        _check_options(what, made, signature, options)
    with blamed(what):
        return made(**options)


def _check_options(what: str, made: type, signature: inspect.Signature, options: dict[str, Any]) -> None:
    kinds = inspect.Parameter
    by_name = (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    takes = {p.name: p.default is kinds.empty for p in signature.parameters.values() if p.kind in by_name}
    anything = any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [] if anything else [name for name in options if name not in takes]
    missing = [name for name, needed in takes.items() if needed and name not in options]
    if not unknown and not missing:
        return
    shown = ", ".join(f"{name} (needed)" if needed else name for name, needed in takes.items())
    has = f"Its options are: {shown}." if takes else "It takes no options."
    wrong = f"there is no option {unknown[0]!r}" if unknown else f"the option {missing[0]!r} is needed"
    near = _near(unknown[0], list(takes)) if unknown else ""
    raise DeviceConfigError(f"{what}: {place_of_code(vars(made).get('__init__'))}{wrong}. {has}{near}")


def _near(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names, 1)
    return f" Did you mean {found[0]}?" if found else ""


@contextmanager
def blamed(what: str, *passing: type[BaseException]) -> Iterator[None]:
    """Run user code; whatever it raises becomes a UserCodeError that names its file and line.

    Args:
        what: how a message should call it, such as `energy bench.py:Net`.
        passing: further exceptions to let through as they are; errors of the backends always pass.
    """
    try:
        yield
    except (Exception, SystemExit) as exc:
        if isinstance(exc, (BackendError, *passing)):
            raise
        raise user_error(what, exc) from exc


def user_error(what: str, exc: BaseException) -> UserCodeError:
    """Make the error that names the line of user code in which an exception began."""
    return UserCodeError(f"{what}: {place_of_error(exc)}{type(exc).__name__}: {exc}".rstrip(": "))


def _from_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise DeviceConfigError(f"{spec}: there is no file {path}")
    path = path.resolve()
    said = spoken(f"{path}:{spec.rpartition(':')[2]}", path.parent) if original(path) != path else spec
    name = f"aeqlab_user_{path.stem}_{abs(hash(path)):x}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise DeviceConfigError(f"{spec}: {path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling of the user's classes look here
    try:
        with blamed(said):
            found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_module(spec: str, place: str) -> ModuleType:
    try:
        with blamed(spec, ModuleNotFoundError):
            return importlib.import_module(place)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (place == exc.name or place.startswith(exc.name + ".")):
            raise DeviceConfigError(
                f"{spec}: there is no module {exc.name} that Python can import. "
                f"Install it, or name a file: {place.split('.')[-1]}.py:{spec.rsplit(':', 1)[1]}."
            ) from exc
        raise user_error(spec, exc) from exc


def place_of_error(exc: BaseException) -> str:
    """Find the deepest line that is neither of aeqlab, nor of an installed library, nor of Python itself."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{original(Path(exc.filename))}:{exc.lineno}: "
    layers = Path(__file__).resolve().parent.parent
    ours = tuple(str(layers / name) for name in ("app", "protocols", "backends", "drivers"))
    frames = [f for f in traceback.extract_tb(exc.__traceback__) if not f.filename.startswith(("<", *ours))]
    theirs = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(_python_folder())]
    chosen = theirs or frames
    return f"{original(Path(chosen[-1].filename))}:{chosen[-1].lineno}: " if chosen else ""


def place_of_code(function: Any) -> str:
    """Get the file and line where a function or method begins, followed by a colon; nothing where it is no Python code."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code.co_filename.startswith("<"):  # made by Python itself, as that of a dataclass is
        return ""
    return f"{original(Path(code.co_filename))}:{code.co_firstlineno}: "


def _python_folder() -> str:
    return str(Path(traceback.__file__).resolve().parent)
