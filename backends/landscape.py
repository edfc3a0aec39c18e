"""An energy at one input: E(theta, s) with x standing still, so that what depends on x alone is worked out once.

The arrays handed in are never written to, by anyone: what was computed of the last pair (theta, s) is known again by identity,
and the gradient at a point whose energy was just asked for costs little more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from aeqlab.backends.energies import Energy

Array = NDArray[Any]


class Landscape:
    """E and its gradients at one input; this one asks the energy anew each time. Shapes as in `Energy`."""

    def __init__(self, energy: Energy, x: Array) -> None:
        self._energy, self._x = energy, x

    def value(self, theta: Array, s: Array) -> Array:
        """Compute E of each sample, shape (B,)."""
        return self._energy.energy(theta, self._x, s)

    def state_gradient(self, theta: Array, s: Array) -> Array:
        """Compute dE/ds of each sample, shape (B, N)."""
        return self._energy.state_gradient(theta, self._x, s)

    def parameter_gradient(self, theta: Array, s: Array) -> Array:
        """Compute dE/dtheta, mean over the samples, shape (K,)."""
        return self._energy.parameter_gradient(theta, self._x, s)


class Remembering(Landscape):
    """A landscape that keeps what E and its gradients share, for the last pair (theta, s)."""

    _theta: Array | None = None
    _s: Array | None = None
    _shared: Any = None

    def shared(self, theta: Array, s: Array) -> Any:
        """Get what `_share` computes of a pair, from memory if it is the last one."""
        if theta is not self._theta or s is not self._s:
            self._shared = self._share(theta, s)
            self._theta, self._s = theta, s
        return self._shared

    def _share(self, theta: Array, s: Array) -> Any:
        raise NotImplementedError
