"""Symmetry rules of recurrent layers: the units of a layer move alike in its state and in all of its gates."""

from collections.abc import Mapping

from lmc_mlflow.alignment.derivation.operation import Layout, Operation, Rule, Value
from lmc_mlflow.alignment.derivation.units.axes import Axis, concatenate_axes, frozen_axis
from lmc_mlflow.alignment.derivation.units.groups import Groups

NUM_GATES: Mapping[str, int] = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
"""Recurrent layer -> number of blocks of rows in its matrices."""


def recurrent(name: str) -> Rule:
    """Make the rule of a stack of recurrent layers of one kind, in one direction or in both.

    Its states before the first step are one tensor for all layers and directions, so these have their units in one
    order. The axis of steps is frozen.
    """

    def rule(groups: Groups, operation: Operation) -> list[Layout]:
        arguments, num_gates = operation.arguments, NUM_GATES[name]
        states = arguments["hx"] if isinstance(arguments["hx"], list) else [arguments["hx"]]
        batch, features = _batch(groups, operation), operation.input.layout[-1]
        num_directions = 2 if arguments["bidirectional"] else 1
        params: list[Value] = list(arguments["params"])
        num_tensors = len(params) // (operation["num_layers"] * num_directions)
        units: Axis = states[0].layout[-1]
        if any(value.shape[-1] != operation.shapes[1][-1] for value in states) or num_tensors not in (2, 4):
            raise ValueError(f"{name} with projected states is not understood")
        for state in states:
            groups.freeze(state.layout[0])
            groups.unify(batch, state.layout[1])
            groups.unify(units, state.layout[2])
        for first in range(0, len(params), num_tensors):
            into, again, *biases = params[first : first + num_tensors]
            rows = concatenate_axes([units] * num_gates)
            for value in (into, again, *biases):
                groups.unify(rows, value.layout[0])
            groups.unify(units, again.layout[1])
            groups.unify(features, into.layout[1])
            if first // num_tensors % num_directions == num_directions - 1:  # the last direction of a layer
                features = concatenate_axes([units] * num_directions)
        steps_and_batch = [frozen_axis(size) for size in operation.shape[:-1]]
        steps_and_batch[0 if arguments["batch_first"] else 1] = batch
        last = (frozen_axis(operation.shapes[1][0]), batch, units)
        return [(*steps_and_batch, features), *([last] * len(states))]

    return rule


def _batch(groups: Groups, operation: Operation) -> Axis:
    """Freeze the axis of steps, and give that of the batch."""
    one, two, _ = operation.input.layout
    batch, steps = (one, two) if operation["batch_first"] else (two, one)
    groups.freeze(steps)
    return batch
