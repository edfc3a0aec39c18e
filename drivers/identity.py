"""Who an instrument is: what it answers to `*IDN?`, in its four parts, and whether it is the one that is meant."""

from __future__ import annotations

from dataclasses import dataclass

from aeqlab.drivers.errors import IdentityError, ReplyError


@dataclass(frozen=True, slots=True)
class Identity:
    """Maker, model, serial number and firmware, as the instrument itself says."""

    maker: str
    model: str
    serial: str
    firmware: str = ""

    def __str__(self) -> str:
        return f"{self.maker} {self.model}, serial number {self.serial}" + (
            f", firmware {self.firmware}" if self.firmware else ""
        )


def parse_identity(reply: str) -> Identity:
    """Read the answer to `*IDN?`: four fields with commas between (IEEE 488.2, 10.14).

    Raises:
        ReplyError: it has fewer than three fields.
    """
    fields = [field.strip() for field in reply.strip().split(",", 3)]
    if len(fields) < 3 or not fields[1]:
        raise ReplyError(f"the answer to *IDN? has no maker, model and serial number: {reply.strip()[:80]!r}")
    return Identity(*fields)


def check_identity(found: Identity, where: str, *, maker: str = "", models: tuple[str, ...] = (), serial: str = "") -> None:
    """See that an instrument is the one that is meant.

    Args:
        found: what it says of itself.
        where: its name and address, for the message.
        maker: what its maker's name must contain, whatever the case; empty: any.
        models: what its model must begin with, one of these; empty: any.
        serial: its serial number; empty: any.
    Raises:
        IdentityError: it is another one; the message says which and how to go on.
    """
    fits = maker.casefold() in found.maker.casefold()
    fits = fits and (not models or any(found.model.casefold().startswith(model.casefold()) for model in models))
    if not fits:
        meant = " ".join(part for part in (maker, " or ".join(models)) if part)
        raise IdentityError(f"{where}: {found} answers, not {meant}. Correct its address or its driver.")
    if serial and serial.strip() != found.serial:
        raise IdentityError(
            f"{where}: {found} answers, the serial number asked for is {serial}. Correct the address, or the serial number if "
            "the instrument was replaced; its calibration and identification are those of the other one."
        )
