"""Reads a YAML grid and validates all of it, by the same rules as flags, before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lmc_mlflow.config.canonical import Parameter, from_texts, parameters
from lmc_mlflow.config.choices import lookup, unknown_name
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import AUTO, read_value, write_value
from lmc_mlflow.config.train_pair import BUDGETS
from lmc_mlflow.data.datasets import dataset_row
from lmc_mlflow.data.shifts.registry import rendering_of, split_sides
from lmc_mlflow.models.families import check_model
from lmc_mlflow.own_code import is_own, source_file
from lmc_mlflow.papers.printed import SEEDS as SEEDS_OF_HEPBURN
from lmc_mlflow.sweeps.grid import Cell, Grid, Job
from lmc_mlflow.sweeps.grid_text import read_text
from lmc_mlflow.sweeps.selection import (
    NOT_IN_CELLS,
    read_only,
    read_override,
    wanted_seeds,
)
from lmc_mlflow.sweeps.steps import (
    MOST_CELLS,
    SEEDS,
    Texts,
    check_epochs_kept,
    count_products,
    products,
    read_steps,
    values_of,
)

GRIDS = Path(__file__).parent / "grids"
"""The folder grids/ of the project; a link to it in a checkout, a copy in an installed wheel."""
KEYS = ("description", "seeds", "defaults", "then", "cells")


def grid_file(grid: str) -> Path:
    """Find the file of a grid: a name of the folder grids/, or a path.

    Raises:
        ValueError: there is no such file; lists the names there are.
    """
    path = Path(grid)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ValueError(f"grid={grid!r}: there is no such file")
        return path
    return lookup({file.stem: file for file in GRIDS.glob("*.yaml")}, grid, "grid")


@dataclass(frozen=True)
class _Entry:
    """One combination of values of one item of `cells`, as text."""

    label: str
    texts: Mapping[str, str]
    seeds: tuple[int, ...]
    then: Any


def read_grid(grid: str, machine: Mapping[str, str], only: tuple[str, ...], override: tuple[str, ...]) -> Grid:
    """Read a grid, and check that flags could give every cell of it.

    Args:
        grid: its name or file.
        machine: data_root and what the networks run on, for every cell that does not say.
        only: `name=value` texts; cells without such a value are left out.
        override: `name=value` texts, set in every cell; cells that become equal are one.

    Raises:
        ValueError: naming the cell and what is wrong with it.
    """
    path = grid_file(grid)
    wanted, changes = read_only(only), read_override(override)
    try:
        content = read_text(path)
        entries = _entries(content)
        all_jobs = [_job(number, entry, machine, {}) for number, entry in enumerate(entries)]
        _refuse_repeated(entries, all_jobs)
        kept = [(entry, wanted_seeds(job, wanted)) for entry, job in zip(entries, all_jobs, strict=True)]
        jobs = [
            _job(i, replace(entry, seeds=seeds), machine, changes, seeds == entry.seeds)
            for i, (entry, seeds) in enumerate((e, k) for e, k in kept if k)
        ]
        if not jobs:
            raise ValueError(f"only={','.join(only)}: none of its {sum(len(j.cells) for j in all_jobs)} cells is so")
        return Grid(path.stem, str(content.get("description", "")), name_jobs(_merge_equal(jobs)))
    except ValueError as error:
        raise ValueError(f"grid {path.stem}: {error}") from None


def _entries(content: Any) -> list[_Entry]:
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list) or not content["cells"]:
        raise ValueError("give a list of cells, as grids/template.yaml does")
    for key in content:
        if key not in KEYS:
            raise unknown_name("key", str(key), KEYS)
    defaults = content.get("defaults") or {}
    entries: list[_Entry] = []
    num_cells = 0
    for number, cell in enumerate(content["cells"], start=1):
        label = f"cell {number}"
        try:
            if not isinstance(cell, dict) or not isinstance(defaults, dict):
                raise ValueError("give its parameters as {name: value, ...}")
            given = {str(name): value for name, value in {**defaults, **cell}.items()}
            seeds = _seeds(given.pop("seeds", content.get("seeds", list(SEEDS_OF_HEPBURN))))
            then = given.pop("then", content.get("then", []))
            num_cells += count_products(given) * len(seeds)
            if num_cells > MOST_CELLS:
                raise ValueError(f"the grid has {num_cells:,} cells up to here, a grid has at most {MOST_CELLS:,}")
            entries += [_Entry(f"{label}{_short(texts, cell)}", texts, seeds, then) for texts in products(given)]
        except ValueError as error:
            raise ValueError(f"{label}: {error}") from None
    return entries


def _short(texts: Mapping[str, str], cell: Mapping[str, Any]) -> str:
    """Say which of the cells that lists multiply it is."""
    varied = [f"{name}={texts[name]}" for name, value in cell.items() if isinstance(value, list) and name in texts]
    return f" ({', '.join(varied)})" if varied else ""


def _seeds(given: Any) -> tuple[int, ...]:
    if isinstance(given, list) and len(given) > MOST_CELLS:
        raise ValueError(f"seeds: {len(given):,} of them, a grid has at most {MOST_CELLS:,} cells")
    seeds = tuple(read_value("seeds", int, text) for text in values_of("seeds", given))
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: {', '.join(map(str, seeds))}: each seed once")
    return seeds


def _job(number: int, entry: _Entry, machine: Texts, changes: Texts, all_seeds: bool = True) -> Job:
    """Make and check the cells of an entry; steps that need all seeds are left out where not all are there."""
    known = parameters(TrainPairConfig)
    try:
        for name in entry.texts:
            if name in NOT_IN_CELLS:
                raise ValueError(f"{name}: {NOT_IN_CELLS[name]}; leave it out")
        texts = {**machine, **entry.texts, **{name: text for name, text in changes.items() if name in known}}
        configs = [from_texts(TrainPairConfig, {**texts, "seed": str(seed)}) for seed in entry.seeds]
        _check_names(configs[0])
        steps = read_steps(entry.then, changes)
        check_epochs_kept(steps, configs[0])
        seed_steps = tuple(step for step in steps if step.kind == SEEDS)
        if seed_steps and len(entry.seeds) < 2 and all_seeds:
            raise ValueError("an ensemble of seeds needs at least two seeds")
    except ValueError as error:
        raise ValueError(f"{entry.label}: {error}") from None
    then = tuple(step for step in steps if step.kind != SEEDS)
    return Job("", tuple(Cell(number, config, then) for config in configs), seed_steps if all_seeds else ())


def _check_names(config: TrainPairConfig) -> None:
    """Check the names of data set, shift and network, as far as is possible without the data."""
    dataset_row(config.data.dataset)
    if is_own("dataset", config.data.dataset):
        source_file("dataset", config.data.dataset)
    if is_own("shift", config.data.shift):
        source_file("shift", config.data.shift)
    else:
        split_sides(config.data.shift, np.repeat(np.arange(10), 100), 10, config.data.split_seed)
        rendering_of(config.data.shift)
    check_model(config.model.model)


def _refuse_repeated(entries: list[_Entry], jobs: list[Job]) -> None:
    seen: dict[str, str] = {}
    for entry, job in zip(entries, jobs, strict=True):
        for cell in job.cells:
            if cell.key in seen:
                raise ValueError(f"{entry.label} is {seen[cell.key]} again (seed {cell.config.model.seed})")
            seen[cell.key] = entry.label


def _merge_equal(jobs: list[Job]) -> list[Job]:
    """Merge the jobs whose cells have become equal."""
    seen: set[str] = set()
    kept = []
    for job in jobs:
        cells = tuple(cell for cell in job.cells if cell.key not in seen)
        seen |= {cell.key for cell in cells}
        if cells:
            kept.append(replace(job, cells=cells, seed_steps=job.seed_steps if cells == job.cells else ()))
    return kept


def name_jobs(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Name each job by the parameters in which the jobs differ, and number their cells."""
    known = [p for p in parameters(TrainPairConfig).values() if p.rule.identity and p.name != "seed"]
    texts = [
        {p.name: write_value(getattr(getattr(job.cells[0].config, p.section), p.name)) for p in known} for job in jobs
    ]
    always = ("dataset", "model", "shift")
    varied = [p for p in known if p.name not in always and len({text[p.name] for text in texts}) > 1]
    named = []
    for number, (job, text) in enumerate(zip(jobs, texts, strict=True)):
        name = " ".join(
            [*(text[key] for key in always), *(f"{p.name}={text[p.name]}" for p in varied if _counts(p, text))]
        )
        cells = tuple(replace(cell, job=number) for cell in job.cells)
        named.append(replace(job, name=name, cells=cells))
    return tuple(named)


def _counts(parameter: Parameter, text: Mapping[str, str]) -> bool:
    """Whether a parameter says something of a job: not so a budget that is left open, and what follows from another."""
    is_open = parameter.name in BUDGETS and text[parameter.name] == AUTO
    return not is_open and text.get(parameter.rule.follows_from, AUTO) == AUTO
