"""What was learned, drawn: outputs over the input where there is one of each, else outputs over their targets."""

from __future__ import annotations

from aeqlab.app.window.models.run_curves import Learned
from aeqlab.app.window.plots.learned_function import LearnedFunction


def show_learned(plot: LearnedFunction, learned: Learned) -> None:
    """Draw what was read last without a nudge."""
    if learned.inputs.shape[1] == 1 and learned.outputs.shape[1] == 1:
        x = learned.inputs[:, 0]
        plot.show_function(
            x, learned.targets[:, 0], x, learned.outputs[:, 0], held=learned.held,
            x_name=next(iter(learned.input_names), "input"), x_unit=learned.input_unit,
            y_name=next(iter(learned.output_names), "output"), y_unit=learned.output_unit,
        )  # fmt: skip
    else:
        plot.show_scatter(learned.targets, learned.outputs, held=learned.held, unit=learned.output_unit)
