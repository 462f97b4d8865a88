"""docs/coverage.md has every row of the papers' lists; what a row names is there after its commands, at toy size."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from importlib import import_module, util
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from conftest import ROOT, use_copy_of
from coverage_rows import NUMBERS, PAGE, Row, rows_of, section_of, toy_flags
from mlflow import MlflowClient
from mlflow.entities import Run
from toy_data import write_all

from lmc_mlflow import plots, query
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import COMMANDS, TrainPairConfig
from lmc_mlflow.config.options import read_value, write_value
from lmc_mlflow.contract import Tag
from lmc_mlflow.models.families import check_model
from lmc_mlflow.sweeps import sweep
from lmc_mlflow.sweeps.engines.table import Engine
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.sweeps.worker import Task, TaskResult, compute

ROWS = {paper: rows_of(paper) for paper in NUMBERS}
STATES = ("tested", "partly", "not yet")
HERE = ["--device=cpu", "--threads=1"]
POOL = ["--model=mlp_l1_w8", "--epochs=2", "--shift=label_5050", "--init=different", "--c2st_samples=0", *HERE]
SMALL = f"tags.`{Tag.MODEL}` = 'mlp_l1_w8' and tags.`{Tag.DATASET}` = 'digits' and tags.`{Tag.SHIFT}` = 'label_5050'"
FILES = (".safetensors", ".png", ".json", ".csv", ".npz", ".svg", ".html", ".md", ".zip")


# what the page says


@pytest.mark.parametrize("paper", NUMBERS)
def test_no_row_is_missing(paper: str) -> None:
    assert [row.name for row in ROWS[paper]] == [f"{paper}-{number:02d}" for number in NUMBERS[paper]]


@pytest.mark.parametrize("paper", NUMBERS)
def test_every_row_has_a_state_and_what_is_tested_has_a_way(paper: str) -> None:
    for row in ROWS[paper]:
        assert row.what, row.name
        assert row.state in STATES, row.name
        assert (row.how == "none") == (row.state == "not yet"), row.name


@pytest.mark.parametrize("paper", NUMBERS)
def test_the_states_are_counted_as_they_are(paper: str) -> None:
    states = [row.state for row in ROWS[paper]]
    counted = ", ".join(f"{states.count(state)} {state}" for state in STATES)
    assert counted in " ".join(section_of(paper).split())


def test_the_tests_it_names_exist() -> None:
    for path in re.findall(r"`(tests/\w+\.py)`", PAGE):
        assert (ROOT / path).is_file()


# what the commands make


class InThisProcess:
    """An engine of sweeps that computes each task at once, in this process."""

    workers, cores_per_task = 1, 1.0

    def __init__(self) -> None:
        self._results: list[TaskResult] = []

    def has_room(self) -> bool:
        return not self._results

    def submit(self, task: Task) -> None:
        self._results.append(TaskResult(task, compute(task)))

    def finished(self, seconds: float) -> list[TaskResult]:
        done, self._results = self._results, []
        return done

    def close(self) -> None: ...


@dataclass
class Seen:
    """What a command has made."""

    runs: Sequence[Run]
    client: MlflowClient

    @cached_property
    def metrics(self) -> set[str]:
        return {key for run in self.runs for key in run.data.metrics}

    @cached_property
    def words(self) -> set[str]:
        """Tags and params, and the last parts of the names of params."""
        found = {key for run in self.runs for key in (*run.data.tags, *run.data.params)}
        return found | {key.rpartition(".")[2] for run in self.runs for key in run.data.params}

    @cached_property
    def artifacts(self) -> set[str]:
        return {path for run in self.runs for path in self._below(run.info.run_id)}

    def _below(self, run_id: str, folder: str | None = None) -> Iterator[str]:
        for file in self.client.list_artifacts(run_id, folder):
            if file.is_dir:
                yield from self._below(run_id, file.path)
            else:
                yield file.path


@dataclass
class World:
    """A store in which the commands of rows run, each once."""

    client: MlflowClient
    data: Path
    pair: str
    networks: list[str]
    star: str = ""
    made: dict[str, Seen] = field(default_factory=dict)
    trained: list[str] = field(default_factory=list)

    def ids(self) -> set[str]:
        return {run.info.run_id for run in self.client.search_runs(["0"], max_results=50_000)}

    def run(self, command: str, flags: Sequence[str]) -> Seen:
        before = self.ids()
        assert import_module(f"entry_points.{command}").main(list(flags)) == 0, (command, flags)
        new = [self.client.get_run(run_id) for run_id in self.ids() - before]
        return Seen(new, self.client)

    def at_toy_size(self, command: str, pair: str) -> Seen:
        """Run a printed command at toy size, unless it has run."""
        name, flags = toy_flags(command, self.places(pair, "dataset=imagefolder" in command))
        key = " ".join((name, *flags))
        if name == "sweep":
            flags = one_cell(flags)
        if key not in self.made:
            anew = ["--force=true"] if name in ("train_pair", "star") and "--force=true" not in flags else []
            self.made[key] = self.run(name, [*flags, *anew])
            if name == "train_pair":
                self.trained.append(
                    next(r.info.run_id for r in self.made[key].runs if r.data.tags.get(Tag.SIDE) == "A")
                )
        return self.made[key]

    def places(self, pair: str, pictures: bool = False) -> Mapping[str, list[str]]:
        one, two, three, _ = self.networks
        first, second = self.trained[-2:] if len(self.trained) > 1 else (one, one)
        return {
            "pair run id": [pair],
            "star run id": [self.star],
            "run id of another seed": [three],
            "run id 2": [two],
            "run id 3": [three],
            "run id": [one, two, three],
            "run id of the first execution": [first],
            "run id of the same side in the second execution": [second],
            "folder": [str(self.data / "pictures" if pictures else self.data)],
            "filter": [f"{SMALL} and tags.`{Tag.SIDE}` = '{side}'" for side in "AB"],
            "file": [str(self.data / f"out_{len(self.made)}")],
        }


def one_cell(flags: Sequence[str]) -> list[str]:
    """Keep one cell of a sweep, with a small network that is trained for an epoch."""
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    override = [*filter(None, given.pop("override", "").split(",")), "epochs=1", "c2st_samples=20", "model=mlp_l1_w8"]
    grid = read_grid(given["grid"], {"data_root": given.get("data_root", "")}, (), ())
    only = ",".join(f"{name}={value}" for name, value in first_cell(grid).items())
    return [f"--{name}={value}" for name, value in given.items()] + [
        f"--override={','.join(override)}",
        f"--only={only}",
        *HERE,
    ]


def first_cell(grid: Grid) -> dict[str, object]:
    """Tell the first cell of a grid from all others, by the parameters in which they differ."""
    known = parameters(TrainPairConfig)
    found: dict[str, object] = {"seed": grid.cells[0].config.model.seed}
    for name, parameter in known.items():
        values = [getattr(getattr(cell.config, parameter.section), name) for cell in grid.cells]
        if parameter.rule.identity and len(set(values)) > 1 and name != "seed":
            found[name] = write_value(values[0])
    return found


@pytest.fixture(scope="module")
def world(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make data sets at toy size, and a store with two pairs and a star."""
    folder = tmp_path_factory.mktemp("coverage")
    with pytest.MonkeyPatch.context() as patch:
        client = use_copy_of(empty_store, folder, patch)
        patch.setattr(sweep, "start_engine", _in_this_process)
        world = World(client, write_all(folder / "data", patch), "", [])
        pairs = [world.run("train_pair", [*POOL, f"--seed={seed}"]) for seed in (1, 2)]
        world.pair = next(run.info.run_id for run in pairs[0].runs if run.data.tags[Tag.KIND] == "pair")
        world.networks = [
            run.info.run_id
            for seen in pairs
            for run in sorted(seen.runs, key=lambda run: run.data.tags.get(Tag.SIDE, ""))
            if run.data.tags[Tag.KIND] == "endpoint"
        ]
        one, two, three, _ = world.networks
        world.run("prepare_data", [f"--data_root={world.data}", "--bands=B02,B03,B08,natural,infrared,agriculture"])
        made = world.run("star", [f"--sources={one},{two}", f"--held_out={three}", "--epochs=1", *HERE])
        world.star = next(run.info.run_id for run in made.runs if run.data.tags[Tag.KIND] == "star")
        yield world
        plt.close("all")


def _in_this_process(*_: object) -> Engine:
    return InThisProcess()


@pytest.fixture(scope="module")
def report(world: World) -> tuple[set[str], str]:
    """Write the report of a store, for the names of its claims, and its text."""
    seen = world.run("report", [])
    folder = Path(world.client.download_artifacts(seen.runs[0].info.run_id, ""))
    claims = json.loads((folder / "claims.json").read_text())
    return set(_names_of(claims)), (folder / "report.html").read_text()


def _names_of(claims: object) -> Iterator[str]:
    text = json.dumps(claims)
    yield from re.findall(r'"([HDSPF]-[\dH]+[a-z]?(?:-[a-z])?)"', text)


TESTED = [row for rows in ROWS.values() for row in rows if row.state != "not yet"]


@pytest.mark.parametrize("row", TESTED, ids=lambda row: row.name)
def test_what_a_row_names_is_there_after_its_commands(row: Row, world: World, request: pytest.FixtureRequest) -> None:
    pair, seen, found = world.pair, [], []
    for command in row.commands:
        made = world.at_toy_size(command, pair)
        seen.append(made)
        pair = next((run.info.run_id for run in made.runs if run.data.tags.get(Tag.KIND) == "pair"), pair)
        name, flags = toy_flags(command, world.places(pair, "dataset=imagefolder" in command))
        found += [command] * is_logged(name, flags, made)
    found += row.notebooks
    for notebook in row.notebooks:
        assert (ROOT / notebook).is_file()
    for name in row.names:
        found += [name] * is_seen(name, row, seen)
    if row.in_report:
        claims, text = request.getfixturevalue("report")
        for name in row.in_report:
            assert name in claims or is_in_text(name, text), f"{row.name}: the report has no {name!r}"
            found.append(name)
    if not row.commands:
        found += [link for link in re.findall(r"\]\((\w+\.md)", row.how) if (ROOT / "docs" / link).is_file()]
    assert found, f"{row.name} names nothing that can be looked for"


def is_in_text(name: str, text: str) -> bool:
    """Find a title, a table, or the number of a figure, alone or in a list of figures."""
    number = re.fullmatch(r"Figs?\. (\d+)", name)
    return bool(re.search(rf"Figs?\. [\d, and]*\b{number[1]}\b", text)) if number else name in text


def is_logged(name: str, flags: Sequence[str], made: Seen) -> bool:
    """Find in what a command made a run that was trained or measured as its flags say."""
    if name in ("prepare_data", "export"):
        return True
    if name not in ("train_pair", "interpolate", "star", "ensemble", "trajectory"):
        return False
    known = parameters(COMMANDS[name].config)
    said = {f.removeprefix("--").partition("=")[0]: f.partition("=")[2] for f in flags}
    for option, text in said.items():
        if known[option].rule.identity and option not in ("seeds", "source_query", "held_out_query", "max_sources"):
            logged = {run.data.params.get(f"{known[option].section}.{option}") for run in made.runs}
            assert write_value(read_value(option, known[option].kind, text)) in logged, (option, text, logged)
    return True


def is_network(name: str) -> bool:
    """Say whether a network has this name."""
    try:
        check_model(name)
    except ValueError:
        return False
    return True


def is_seen(name: str, row: Row, seen: Sequence[Seen]) -> bool:
    """Find what a row names, or fail; False for what is no result: an option, a command."""
    metrics = {key for made in seen for key in made.metrics}
    artifacts = {path for made in seen for path in made.artifacts}
    words = {key for made in seen for key in made.words}
    pattern = re.sub(r"<\w+>|\.\.\.", "*", name)
    if name.startswith("tests/"):
        assert (ROOT / name).is_file(), f"{row.name}: no {name}"
        return True
    if name.startswith(("plots.", "query.")):
        assert shows(name), f"{row.name}: no function {name}"
        return True
    if name.startswith("lmc_mlflow."):
        assert util.find_spec(name) is not None, f"{row.name}: no module {name}"
        return True
    if name.startswith("findings."):
        module, _, function = f"lmc_mlflow.{name}".rpartition(".")
        assert hasattr(import_module(module), function), f"{row.name}: no function {name}"
        return True
    if name.endswith(FILES):
        assert any(fnmatch(path, pattern) for path in artifacts), f"{row.name}: no artifact {name}; {sorted(artifacts)}"
        return True
    if any(fnmatch(key, pattern) or key.endswith(name if name[0] == "_" else f"/{name}") for key in metrics):
        return True
    if {name, f"lmc.{name}"} & words:
        return True
    options = {option for command in COMMANDS.values() for option in parameters(command.config)}
    known = (
        name.partition("=")[0] in options or name in COMMANDS or name.startswith(("tags.", "-P ")) or is_network(name)
    )
    assert known, f"{row.name}: neither result nor option: {name}; {sorted(metrics)}"
    return False


def shows(call: str) -> bool:
    """Evaluate a call of `plots` or `query` on the store, or find the function."""
    if "(" not in call:
        module, _, function = call.partition(".")
        return hasattr({"plots": plots, "query": query}[module], function)
    shown = eval(call, {"plots": plots, "query": query})
    assert shown is not None
    assert not isinstance(shown, pd.DataFrame) or len(shown)
    return True
