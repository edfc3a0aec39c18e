"""The methods of `train`: what each needs of a device beside the four abilities, what it follows, and which devices can do it.

One table for the check before a run, for the check of the open device, and for docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aeqlab.backends.kinds import DeviceSettings, HopfieldSettings, SimulatedSettings, SlowSettings
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.user_device import CustomSettings
from aeqlab.protocols.aeqprop import nudging_pair
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, TrainOptions

NOT_THE_GRADIENT = "not the gradient"
GRADIENT = "the gradient"


@dataclass(frozen=True, slots=True)
class MethodKind:
    """One method.

    Attributes:
        text: what it does, in a line.
        follows: what its steps follow, on average.
        needs: capability interfaces; of each group one is enough. Empty: every device can do it.
    """

    text: str
    follows: str
    needs: tuple[frozenset[str], ...] = ()


_ENERGY = frozenset({"KnowsEnergy"})
METHODS: dict[str, MethodKind] = {
    "optimistic": MethodKind("Æqprop, nudges 0 and beta", GRADIENT),
    "pessimistic": MethodKind("Æqprop, nudges -beta and 0", GRADIENT),
    "centered": MethodKind("Æqprop, nudges -beta/2 and beta/2", GRADIENT),
    "spsa": MethodKind("two costs, all parameters moved at once by random signs", "the gradient, with much noise"),
    "finite-difference": MethodKind("two costs for every parameter", GRADIENT),
    "sgd": MethodKind("the gradient at the equilibrium, from the equations", GRADIENT, (_ENERGY,)),
    "autodiff": MethodKind(
        "the loss differentiated, `through: unrolled` relaxation (section 5.3) or `implicit`",
        GRADIENT,
        (frozenset({"Unrolls", "Differentiable"}),),
    ),
    "eqprop": MethodKind("dE/dtheta in two settled phases with theta held (eqs. 119-120)", GRADIENT, (_ENERGY,)),
    "coupled": MethodKind(
        "the same, with the outputs clamped near the target in the second (eq. 124)",
        NOT_THE_GRADIENT,
        (_ENERGY, frozenset({"OutputClamp"})),
    ),
}
#: Of what methods need, what the devices in a file offer.
_KINDS: dict[str, frozenset[str]] = {
    "simulated": frozenset({"KnowsEnergy", "Differentiable", "OutputClamp"}),
    "hopfield": frozenset({"KnowsEnergy", "Differentiable", "Unrolls", "OutputClamp"}),
    "slow": frozenset(),
    "slow, knows_energy": frozenset({"KnowsEnergy", "Differentiable"}),
    "rig": frozenset(),
}
ASKED_FOR = frozenset(name for method in METHODS.values() for group in method.needs for name in group)


def offered(device: DeviceSettings) -> frozenset[str]:
    """Get which of the abilities in `ASKED_FOR` a device will have, by its settings; of one's own, all it may have."""
    match device:
        case SlowSettings():
            return _KINDS["slow, knows_energy" if device.knows_energy else "slow"]
        case SimulatedSettings() | HopfieldSettings() | RigSettings():
            return _KINDS[device.kind]
        case CustomSettings():
            return ASKED_FOR


def lacking(options: TrainOptions, abilities: Collection[str]) -> Iterator[tuple[str, str]]:
    """Find what a device lacks for a method.

    Args:
        options: of the stage.
        abilities: names of the device's capability interfaces.
    Yields:
        The key of the option, and what it needs that the device has not, such as `KnowsEnergy`.
    """
    for group in METHODS[options.method].needs:
        if not group & set(abilities):
            yield "method", " or ".join(sorted(group))
            return
    if options.through == "unrolled" and "Unrolls" not in abilities:
        yield "through", "Unrolls"
    if options.through == "implicit" and "Differentiable" not in abilities:
        yield "through", "Differentiable"


def possible(abilities: Collection[str]) -> list[str]:
    """Get the methods a device with these abilities can do."""
    return [name for name, method in METHODS.items() if all(group & set(abilities) for group in method.needs)]


def pair_of(options: TrainOptions) -> tuple[float, float] | None:
    """Get the two nudges of a method with its beta; None where it does not nudge."""
    if options.beta is None or options.method == "coupled":
        return None
    return nudging_pair(options.method if options.method in AEQPROP_METHODS else options.variant or "optimistic", options.beta)


def nudges(options: TrainOptions) -> tuple[float, float] | None:
    """Get the lowest and the highest nudge of a method; None where it does not nudge."""
    pair = pair_of(options)
    return None if pair is None else (min(pair), max(pair))


def table() -> str:
    """Write the table in Markdown, as it stands in `docs/experiments.md`."""
    rows = [
        f"| method | does | follows | needs | {' | '.join(f'`{kind}`' for kind in _KINDS)} |",
        f"| --- | --- | --- | --- | {' | '.join('---' for _ in _KINDS)} |",
    ]
    for name, method in METHODS.items():
        needs = " and ".join(" or ".join(f"`{n}`" for n in sorted(group)) for group in method.needs) or "nothing more"
        can = ("yes" if name in possible(has) else "no" for has in _KINDS.values())
        rows.append(f"| `{name}` | {method.text} | {method.follows} | {needs} | {' | '.join(can)} |")
    return "\n".join(rows) + "\n"
