"""Measures and explains paths from Python: functions of `interpolate` and `diagnose`, which `api` gives on."""

from __future__ import annotations

from typing import Any

from lmc_mlflow.calls import at, configure, ends, make_result
from lmc_mlflow.results.diagnosis import Diagnosis
from lmc_mlflow.results.measurements import Path, PathByEpoch
from lmc_mlflow.results.path_by_layer import PathByLayer


def interpolate(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Path:
    """Measure the path between the networks of a pair (one argument), or between two: straight, or a trained curve."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.path.interpolate import interpolate as measure

        config = configure("interpolate", options, ends(a, b))
        if config.by_epoch.epochs:
            raise ValueError("epochs: interpolate measures one path; call interpolate_epochs(pair, epochs=[1, 2, 5])")
        if config.by_layer.layers:
            raise ValueError("layers: interpolate measures one path; call interpolate_layers(a, b, layers=['each'])")
        outcome = measure(config)
        return make_result(
            Path,
            outcome,
            verdict=outcome.connected,
            verdict_by_error=outcome.connected_by_error,
            verdict_by_intervals=outcome.connected_interval.partition(" ")[0],
            align=config.aligning.align,
            path=config.curve.path,
            thresholds=(config.path.barrier_threshold, config.path.accuracy_delta_threshold),
        )


def interpolate_epochs(
    pair: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> PathByEpoch:
    """Measure the path between both sides of a pair after each of its kept epochs (`epochs=[1, 2, 5]`)."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.path.by_epoch.over_epochs import interpolate_epochs as measure

        config = configure("interpolate", options, {"pair": pair})
        if not config.by_epoch.epochs:
            raise ValueError("give epochs=[...], which the pair has kept; interpolate(pair) measures one path")
        return make_result(PathByEpoch, measure(config))


def interpolate_layers(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> PathByLayer:
    """Measure the paths on which some layers go from A to B (`layers=["each"]`), of a pair or of two networks."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.path.by_layer.interpolate_layers import interpolate_layers as measure

        config = configure("interpolate", {"layers": "each", **options}, ends(a, b))
        if not config.by_layer.layers:
            raise ValueError("give layers=[...]; interpolate(a, b) measures one path")
        return make_result(PathByLayer, measure(config))


def diagnose(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Diagnosis:
    """Find out why there is a barrier between the networks of a pair (one argument), or between two networks."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.diagnose.diagnose import diagnose as find_causes

        outcome = find_causes(configure("diagnose", options, ends(a, b)))
        found = outcome.diagnosis
        return make_result(
            Diagnosis, outcome, answer=found.answer, causes=found.causes, sentence=found.sentence, what=found.what
        )
