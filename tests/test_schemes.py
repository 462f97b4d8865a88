"""Drawings that need no runs show what they say."""

import numpy as np
from matplotlib.path import Path as Outline

from lmc_mlflow import plots
from lmc_mlflow.plots.schemes.star_domain import convex_border, solutions, star_border


def along(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first + np.linspace(0, 1, 101)[:, None] * (second - first)


def test_segments_leave_the_star_domain_between_solutions_and_never_from_the_star() -> None:
    convex, star = Outline(convex_border()), Outline(star_border())
    places = solutions()
    assert convex.contains_points(places).all()
    assert star.contains_points(places).all()
    for first, second in zip(places, np.roll(places, -1, axis=0), strict=True):
        assert convex.contains_points(along(first, second)).all()
        assert not star.contains_points(along(first, second)).all()
        assert star.contains_points(along(np.zeros(2), first)).all()


def test_the_drawing_names_what_it_shows() -> None:
    figure = plots.star_domain_scheme()
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {"low loss", "trained network", "segment at low loss", "segment over a barrier", "star"}
    assert [panel.get_title().split(":")[0] for panel in figure.axes] == ["Convex", "Star domain"]
