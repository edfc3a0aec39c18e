"""Errors of the backends: what can go wrong between an experiment and one physical system.

BackendError
├── DeviceConfigError      the description of a device cannot be built (before anything moves)
├── ArrayRefusedError      an array of the wrong shape, type or with values that are not finite
├── LimitError             a value outside the limits of a knob or of beta; nothing was moved
├── DeviceStateError       a call that makes no sense now: closed, nothing presented, not able to
├── DeviceLostError        the device no longer answers; its state is unknown
├── DisturbedError         something broke in the middle of a phase and was mended; the phase is spoiled (may be begun again)
├── DivergedError          the physics ran away (a result of the experiment, not a failure of the program)
├── UserCodeError          code of the user's own raised; names their file and line
└── WireError              a message that is not in the agreed form (may be retried on a fresh connection)
"""

from __future__ import annotations


class BackendError(Exception):
    """Base of every error a device may raise."""


class DeviceConfigError(BackendError):
    """The description of a device cannot be built; raised before anything moves."""


class ArrayRefusedError(BackendError, ValueError):
    """An array has the wrong shape, the wrong type, or values that are not finite; nothing was moved."""


class LimitError(BackendError, ValueError):
    """A value lies outside the limits of a knob or of beta; nothing was moved."""


class DeviceStateError(BackendError):
    """The call makes no sense in the present state: device closed, nothing presented, ability absent."""


class DeviceLostError(BackendError):
    """The device no longer answers; what it does now is unknown. May be retried after reconnecting."""


class DisturbedError(BackendError):
    """Something broke in the middle of a phase and was mended; the nudge is off. The phase may be begun again."""


class DivergedError(BackendError):
    """The state or the parameters ran away to infinity. A result, not a failure of the program."""


class UserCodeError(BackendError):
    """Code of the user's own raised an error; the message names their file and line."""


class WireError(BackendError):
    """A message is not in the agreed form. May be retried on a fresh connection."""
