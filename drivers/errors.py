"""Errors of the drivers: what can go wrong between a program and one instrument.

DriverError
├── AddressError        no instrument can be reached there, or the address makes no sense (at most its name was asked for)
├── LinkLostError       the link broke in the middle; what the instrument does now is unknown. May be retried after `reopen`
├── ReplyLateError      no reply in time; the next reply may be the one that is missing. May be retried after `resync`
├── ReplyError          a reply that is not what was asked for: garbled, too short, not a number. May be retried
│   └── OverloadError   an instrument was asked to measure more than its range. May be retried
├── IdentityError       another instrument answers than the one that is meant
├── RebootedError       the instrument was switched off and on since: its settings are gone
├── SettingError        a value outside the range of a channel, or a channel that is not there; nothing was sent
│   └── NotArmedError   an instrument is not set up as it is used, so nothing was sent
└── RefusedError        the instrument itself reports errors; each as a sentence
"""

from __future__ import annotations

from collections.abc import Sequence


class DriverError(Exception):
    """Base of every error of an instrument."""


class AddressError(DriverError):
    """No instrument can be reached at an address; at most it was asked for its name."""


class LinkLostError(DriverError):
    """The link to an instrument broke; what it does now is unknown. May be retried after `reopen`."""


class ReplyLateError(DriverError):
    """An instrument did not reply in time. May be retried after `resync`, which waits for the reply that is missing."""


class ReplyError(DriverError):
    """A reply is not what was asked for. May be retried."""


class OverloadError(ReplyError):
    """An input is beyond the range of the instrument, which says so in place of a number. May be retried.

    Attributes:
        places: which numbers of the reply, from 0.
    """

    def __init__(self, message: str, places: tuple[int, ...]) -> None:
        self.places = places
        super().__init__(message)


class IdentityError(DriverError):
    """Another instrument answers at an address than the one that is meant; it was asked for its name and for nothing else."""


class RebootedError(DriverError):
    """An instrument was switched off and on since it was last spoken to: its settings are gone."""


class SettingError(DriverError, ValueError):
    """A value lies outside the range of a channel, or a channel is not there; nothing was sent."""


class NotArmedError(SettingError):
    """An instrument is not set up as the rig file uses it; nothing was sent."""


class RefusedError(DriverError):
    """An instrument reports errors.

    Attributes:
        errors: each as a sentence, oldest first.
        codes: their numbers.
    """

    def __init__(self, instrument: str, errors: Sequence[str], codes: Sequence[int]) -> None:
        self.errors, self.codes = tuple(errors), tuple(codes)
        super().__init__(f"{instrument} reports: {' '.join(errors)}")
