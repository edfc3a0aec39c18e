"""The homeostasis as an oscilloscope shows it: triggered on "x presented", the last samples overlaid, the newest strongest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QSizePolicy, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.plots.crosshair import Crosshair, follow_key
from aeqlab.app.window.plots.end_values import EndValue
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.graph import Graph
from aeqlab.app.window.plots.layers import Mark, Phase
from aeqlab.app.window.plots.legend import Legend, Name
from aeqlab.app.window.plots.raster import mixed
from aeqlab.app.window.plots.samples import FEW, KEPT, PRESENTED, Memory, Sample, bands_of
from aeqlab.app.window.plots.sheet import Entry, Sheet
from aeqlab.app.window.plots.traces import Trace, View
from aeqlab.app.window.theme import GRID, SMALL, theme

TOLERANCE = 1.0  #: errors are given in it
CLOSE = 3.0  #: tolerances shown when zoomed to the tolerance
REST = 4.0  #: times as long as a redraw took is waited until the next: a fast run leaves the window most of its time
LOW = 50 * GRID  #: px; in less than that three graphs are too low to be read
LEAST_TWO = 27 * GRID  #: px of the whole, from which on there is room for two graphs
SHARES = {"errors": 5, "controls": 5, "terms": 4}  #: of the room for curves
FOOT = 4 * GRID  #: px of figures and name of x below the lowest
SPARSE = 0.5  #: share of the time that samples must fill to be placed at their times in the rolling chart
BANDS = {"error": ("median", "95 %", "max"), "u": ("5 %", "median", "95 %")}


class Oscilloscope(Sheet):
    """Errors in tolerances above, control knobs below, and on demand the terms of the controller.

    Up to 16 knobs each has a trace; of more, the median, the 95th percentile and the greatest error are drawn, and of the
    controls the middle and the 5th to 95th percentile.
    """

    def __init__(
        self,
        title: str = "One sample, triggered",
        parent: QWidget | None = None,
        *,
        kept: int = KEPT,
        controls: bool = True,
    ) -> None:
        """Args: kept: samples overlaid; controls: show the control knobs, too."""
        super().__init__(title, parent)
        self.memory = Memory(kept)
        self.rolling = self.close_up = self.terms_shown = False
        self._with_controls = controls
        self._names: list[str] = []
        self._unit, self._error_unit = "V", "tol"
        self.trigger = PRESENTED  #: from when times count
        self._off: set[str] = set()
        self._drawn_at = self._took = 0.0
        self._legend = Legend(self, shown=6)
        self._legend.switched.connect(self.show_knob)
        self._head.addWidget(self._legend, 1)
        self._caption = Elided(self)
        self._caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        line = QHBoxLayout()
        line.setContentsMargins(GRID, 0, GRID, 0)
        line.setSpacing(GRID)
        line.addWidget(self._caption, 1)
        self.switches = {
            "rolling": self._switch("Rolling", "Samples one after another against time, in place of one over the other (R)"),
            "close up": self._switch("3 tol", "Errors within three tolerances alone (T)"),
            "terms": self._switch("P, I, D", "What the parts of the control law did to the worst knob (P)"),
        }
        for box, work in zip(self.switches.values(), (self.show_rolling, self.show_close_up, self.show_terms), strict=True):
            box.clicked.connect(work)
            line.addWidget(box)
        self._column.addLayout(line)
        self.errors, self.controls, self.terms = Graph(self), Graph(self), Graph(self)
        for graph in (self.errors, self.controls, self.terms):
            self._column.addWidget(graph, 1)
            graph.view_changed.connect(self.data_changed)
        self.terms.hide()
        self._with_controls = controls
        self.controls.setVisible(controls)
        self.controls.link_x(self.errors)
        self.terms.link_x(self.errors)
        self.errors.show_x_words(not controls)
        self.crosshairs = [Crosshair(graph) for graph in (self.errors, self.controls, self.terms)]
        self.set_awaited("the first sample")
        self._follow_theme()

    # ---- data -----------------------------------------------------------------------------------------------------------

    def set_knobs(self, names: Sequence[str], unit: str = "V", error_unit: str = "tol") -> None:
        """Name the control knobs, and give their unit; and that of errors, where it is not known how large one may be."""
        self._names, self._unit, self._error_unit = list(names), unit, error_unit
        self.data_changed()

    def add_sample(
        self,
        t: ArrayLike,
        error_in_tol: ArrayLike,
        u: ArrayLike,
        clamp_at: float | None = None,
        *,
        end_at: float | None = None,
        presented_at: float | None = None,
        number: int | None = None,
        terms: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Show one more sample, as the newest.

        Args:
            t: seconds since x was presented, rising, shape (ticks,).
            error_in_tol: theta less its target, by the tolerance of each knob, shape (ticks, knobs) or (ticks,) of one knob.
            u: control knobs in their unit, same shape.
            clamp_at: when u was clamped and the nudge began, in the same seconds; None if it was not.
            end_at: when the nudged phase ended; None: with the last tick.
            presented_at: seconds of one clock at which x was presented, for the rolling chart; None: after the sample before.
            number: of the sample.
            terms: of the controller, such as "P", "I" and "D", in the unit of u, same shape.
        Raises:
            ValueError: the shapes do not belong together.
        """
        self.memory.add(t, error_in_tol, u, clamp_at, end_at, presented_at, number, terms)
        self.data_changed()

    def clear(self) -> None:
        """Forget all samples."""
        self.memory.samples.clear()
        self.data_changed()

    def show_knob(self, name: str, on: bool) -> None:
        """Show or hide the traces of a knob (or a band, of many knobs)."""
        (self._off.discard if on else self._off.add)(name)
        self.data_changed()

    # ---- views ----------------------------------------------------------------------------------------------------------

    def _switch(self, text: str, meaning: str) -> QCheckBox:
        box = QCheckBox(text)
        box.setToolTip(meaning)
        return box

    def show_rolling(self, on: bool) -> None:
        """Show the samples one after another against time, or overlaid since their trigger."""
        self.rolling = on
        self.switches["rolling"].setChecked(on)
        self.reset()

    def show_close_up(self, on: bool) -> None:
        """Show errors within three tolerances only, or all."""
        self.close_up = on
        self.switches["close up"].setChecked(on)
        self.reset()

    def show_terms(self, on: bool) -> None:
        """Show the terms of the controller for the worst knob, if samples bring them."""
        self.terms_shown = on
        self.switches["terms"].setChecked(on)
        self._give_room()
        self.data_changed()

    def _give_room(self) -> bool:
        """Show the graphs that there is room for, the controls last; tells whether that changed anything."""
        low = self.height() < (LOW if self.terms_shown else LEAST_TWO)
        controls = self._with_controls and not low
        before = self.terms.isHidden(), self.controls.isHidden()
        self.terms.setVisible(self.terms_shown)
        self.controls.setVisible(controls)
        self.errors.show_x_words(not controls and not self.terms_shown)
        self.controls.show_x_words(not self.terms_shown)
        shown = [one for one in SHARES if not getattr(self, one).isHidden()]
        rest = max(self.height() - self.errors.y() - FOOT, GRID)
        for one in shown:  # the lowest has the words of x besides, and as much for its curves as its share says
            share = round(rest * SHARES[one] / sum(SHARES[name] for name in shown))
            self._column.setStretchFactor(getattr(self, one), share + (FOOT if one == shown[-1] else 0))
        return before != (self.terms.isHidden(), self.controls.isHidden())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the knobs out where there is no room for them; they come back with it."""
        super().resizeEvent(event)
        if self._give_room():
            self.data_changed()

    def reset(self) -> None:
        """Show everything again, as a double click does."""
        for graph in (self.errors, self.controls, self.terms):
            graph.reset()
        self.data_changed()

    # ---- drawing --------------------------------------------------------------------------------------------------------

    def redraw(self, *, even_if_hidden: bool = False) -> bool:
        """Draw if something changed, but leave the window most of its time when samples come faster than they are drawn."""
        begin = time.monotonic()
        if not even_if_hidden and begin - self._drawn_at < REST * self._took:
            return False
        drawn = super().redraw(even_if_hidden=even_if_hidden)
        if drawn:
            self._drawn_at = time.monotonic()
            self._took = self._drawn_at - begin
        return drawn

    def _draw(self) -> None:
        samples = list(self.memory.samples)
        when = "time" if self.rolling else self.trigger
        unit, allowed = self._error_unit, self._error_unit == "tol"
        self.errors.set_axes(when if self.controls.isHidden() and self.terms.isHidden() else "", "s", "error", unit)
        self.controls.set_axes(when, "s", "control", self._unit)
        self.terms.set_axes(when, "s", "P, I, D", self._unit)
        self.errors.names = ((when, "s"), ("error", unit))
        self.errors.fixed_y = (-CLOSE if self._each else 0.0, CLOSE) if self.close_up and allowed else None
        self.errors.set_levels([(-TOLERANCE if self._each else 0.0, TOLERANCE)] if allowed else [])
        for graph in (self.errors, self.controls, self.terms):
            graph.over.awaited = "" if samples else self._awaited
        self._legend.show_names(self._entries_of_legend())
        starts = _starts(samples) if self.rolling else [0.0] * len(samples)
        self._caption.setText(self._words())
        self._caption.setToolTip(self._caption.text())
        ends = [start + float(sample.t[-1]) for start, sample in zip(starts, samples, strict=True)]
        x_range = (min(starts), max(max(ends), min(starts) + 1e-9)) if samples else None
        self._annotate(samples, starts)
        self.errors.draw(self._traces("error", samples, starts), x_range=x_range)
        self.controls.draw(self._traces("u", samples, starts), x_range=x_range)
        if self.terms_shown:
            self._draw_terms(samples, starts, x_range)

    @property
    def _each(self) -> bool:
        return self.memory.knobs <= FEW

    def _name(self, knob: int) -> str:
        return self._names[knob] if knob < len(self._names) else f"knob {knob}"

    def _entries_of_legend(self) -> list[Name]:
        if self._each:
            names = [(self._name(k), k) for k in range(self.memory.knobs)]
        else:
            names = [(name, k) for k, name in enumerate(BANDS["error"])]
        return [Name(name, theme().curve(k), name not in self._off) for name, k in names]

    def _words(self) -> str:
        if not self.memory.samples:
            return ""
        newest, count = self.memory.samples[-1], len(self.memory.samples)
        knob, error = newest.worst
        number = "newest sample" if newest.number is None else f"sample {newest.number}"
        when = "at the clamp" if newest.clamp_at is not None else "at its end"
        how = (
            "overlaid"
            if not self.rolling
            else "at their times"
            if _timed(self.memory.samples)
            else "one after another, without what lay between"
        )
        others = f", with the {count - 1} before it {how}" if count > 1 else ""
        return f"{number}{others}; worst {when}: {self._name(knob)} {written(error, self._error_unit, 2)}{self._words_of_terms()}"

    def _words_of_terms(self) -> str:
        """Say which parts the law has, where they are asked for."""
        newest = self.memory.samples[-1]
        if not self.terms_shown or not newest.terms:
            return ""
        lacking = [word for word in ("P", "I", "D") if word not in newest.terms]
        return f"; below what {', '.join(newest.terms)} did to it" + (
            f" (the law has no {' and no '.join(lacking)})" if lacking else ""
        )

    def _annotate(self, samples: Sequence[Sample], starts: Sequence[float]) -> None:
        marks: list[Mark] = []
        phases: list[Phase] = []
        shown = list(zip(samples, starts, strict=True)) if self.rolling else list(zip(samples, starts, strict=True))[-1:]
        for sample, start in shown:
            if sample.clamp_at is None:
                continue
            end = float(sample.t[-1]) if sample.end_at is None else sample.end_at
            phases.append(Phase(start + sample.clamp_at, start + end, "nudged", theme().curve(1)))
            if not self.rolling:
                marks.append(Mark(sample.clamp_at, "clamp"))
        for graph in (self.errors, self.controls, self.terms):
            graph.set_phases(phases)
            graph.set_marks(marks)

    def _traces(self, what: str, samples: Sequence[Sample], starts: Sequence[float]) -> list[Trace]:
        found: list[Trace] = []
        unit = self._error_unit if what == "error" else self._unit
        for k, (sample, start) in enumerate(zip(samples, starts, strict=True)):  # the newest last, over the others
            age = len(samples) - 1 - k
            strength = 1.0 if age == 0 or self.rolling else 0.5 - 0.4 * age / max(len(samples), 2)
            x = sample.t if start == 0.0 else sample.t + start
            if self._each:
                found += self._knob_traces(sample, what, x, strength, named=age == 0 or self.rolling, unit=unit)
            else:
                found += self._band_traces(sample, what, x, strength, named=age == 0 or self.rolling, unit=unit)
        return found

    def _knob_traces(self, sample: Sample, what: str, x: np.ndarray, strength: float, *, named: bool, unit: str) -> list[Trace]:
        values, found = self.memory.quantity(sample, what), []
        for knob in range(values.shape[1]):
            name = self._name(knob)
            if name in self._off:
                continue
            trace = sample.traces.get((what, knob))
            if trace is None or self.rolling:
                trace = Trace(x, values[:, knob], "", unit=unit)
                if not self.rolling:
                    sample.traces[what, knob] = trace
            trace.colour = mixed(theme().curve(knob), theme().now.sheet, strength)
            trace.name = name if named else ""
            found.append(trace)
        return found

    def _band_traces(self, sample: Sample, what: str, x: np.ndarray, strength: float, *, named: bool, unit: str) -> list[Trace]:
        if what not in sample.bands:
            sample.bands[what] = bands_of(self.memory.quantity(sample, what), size=what == "error")
        low, middle, high = sample.bands[what]
        ground = theme().now.sheet
        if what == "u":
            band = (low, high) if named else (None, None)
            colour = mixed(theme().curve(0), ground, strength)
            return [Trace(x, middle, colour, low=band[0], high=band[1], name="median" if named else "", unit=unit)]
        three = zip(BANDS["error"], (low, middle, high), range(3), strict=True)
        return [
            Trace(x, y, mixed(theme().curve(k), ground, strength), name=name if named else "", unit=unit)
            for name, y, k in three
            if name not in self._off
        ]

    def _draw_terms(self, samples: Sequence[Sample], starts: Sequence[float], x_range: tuple[float, float] | None) -> None:
        if not samples or not samples[-1].terms:
            self.terms.over.awaited = self._awaited if not samples else "a sample with P, I and D; this one was recorded without"
            self.terms.draw([], x_range=x_range)
            return
        newest, knob = samples[-1], samples[-1].worst[0]
        traces = [
            Trace(newest.t + starts[-1], values[:, knob], theme().curve(k), name=f"{term} of {self._name(knob)}", unit=self._unit)
            for k, (term, values) in enumerate(newest.terms.items())
        ]
        self.terms.draw(traces, x_range=x_range, ends=lambda view, height: [_end(one, view, height) for one in traces])

    def columns(self) -> list[Column]:
        """Get the samples kept, one below the other: number, time, errors, controls, terms."""
        samples = list(self.memory.samples)
        if not samples:
            return []
        numbers = [np.full(len(one.t), k if one.number is None else one.number) for k, one in enumerate(samples)]
        found = [Column("sample", "", np.concatenate(numbers))]
        found.append(Column(self.trigger, "s", np.concatenate([one.t for one in samples])))
        for what, unit in (("error", self._error_unit), ("u", self._unit), *((term, self._unit) for term in samples[-1].terms)):
            if not all(what in ("error", "u") or what in one.terms for one in samples):
                continue
            values = np.concatenate([self.memory.quantity(one, what) for one in samples])
            found += [Column(f"{what} {self._name(knob)}", unit, values[:, knob]) for knob in range(values.shape[1])]
        return found

    # ---- menu and keys --------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:  # noqa: D102
        return [
            Entry("Show everything again", "Home", self.reset),
            Entry("Rolling chart", "R", lambda: self.show_rolling(not self.rolling), self.rolling),
            Entry("Errors within 3 tolerances", "T", lambda: self.show_close_up(not self.close_up), self.close_up),
            Entry("Terms P, I, D of the worst knob", "P", lambda: self.show_terms(not self.terms_shown), self.terms_shown),
            *super().entries(),
        ]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.modifiers() or not follow_key(event.key(), self.crosshairs[0], self.errors):
            super().keyPressEvent(event)

    def _follow_theme(self) -> None:
        super()._follow_theme()
        if hasattr(self, "_caption"):
            self._caption.setFont(theme().font(SMALL, tabular=True))


def _end(trace: Trace, view: View, height: float) -> EndValue:
    """Write the name and the last value of a term at its end."""
    text = f"{trace.name.split(' ')[0]} {written(float(trace.y[-1]), trace.unit, 2)}"
    return EndValue(float(view.y_pixels(trace.y[-1], height)), text, trace.colour)


def _starts(samples: Sequence[Sample]) -> list[float]:
    """Place samples on one line of time; those whose times are not known, or lie far from one another, follow the one before."""
    if not samples:
        return []
    if _timed(samples):
        return [float(one.presented_at - samples[0].presented_at) for one in samples]  # type: ignore[operator]
    ends = np.cumsum([float(one.t[-1]) for one in samples])
    return [0.0, *ends[:-1].tolist()]


def _timed(samples: Sequence[Sample]) -> bool:
    """Tell whether samples can be placed at their times: these are known, rise, and are filled to a good part."""
    if not samples or any(one.presented_at is None for one in samples):
        return False
    at = np.array([one.presented_at for one in samples])
    lasted = np.array([float(one.t[-1]) for one in samples])
    if (np.diff(at) < 0).any():
        return False
    return bool(lasted.sum() >= SPARSE * (at[-1] + lasted[-1] - at[0]))
