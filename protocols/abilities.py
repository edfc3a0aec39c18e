"""What of a device may be called by name, through a session: the methods of its capability interfaces, and nothing else."""

from __future__ import annotations

from aeqlab.backends.device import CAPABILITIES
from aeqlab.protocols.errors import CapabilityError

#: What may be called by name, and through which ability.
METHODS: dict[str, frozenset[str]] = {}
for _name, _cls in CAPABILITIES.items():
    for _method in vars(_cls):
        if not _method.startswith("_"):
            METHODS[_method] = METHODS.get(_method, frozenset()) | {_name}
#: Those of them that read and move nothing; they are allowed in every state.
READING = frozenset(
    {"parameters", "true_parameters", "energy", "equilibrium", "states", "outputs_of", "energy_gradient", "loss_gradient",
     "loss_and_gradient", "unrolled_loss_and_gradient", "state", "layers",
     "arming_plan", "fingerprint", "identification", "guards", "monitored", "take_told", "drop_nudge"}
)  # fmt: skip


def check_ability(device: str, abilities: frozenset[str], method: str) -> None:
    """Check that a device has an ability with a method.

    Raises:
        CapabilityError: it has not; the message names both.
    """
    if not abilities & METHODS.get(method, frozenset()):
        wanted = " or ".join(sorted(METHODS.get(method, ()))) or "no ability at all"
        has = ", ".join(sorted(abilities)) or "none"
        raise CapabilityError(f"{device} cannot {method}: that belongs to {wanted}; its abilities: {has}.")
