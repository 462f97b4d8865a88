"""A grid is read completely and checked by the rules of flags, and the paper's grids have the paper's values."""

import itertools
import re
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from lmc_mlflow.config.sweep import SWEEP_ENGINES
from lmc_mlflow.sweeps.engines.table import ENGINES
from lmc_mlflow.sweeps.grid import Grid, Job
from lmc_mlflow.sweeps.grid_file import grid_file, read_grid
from lmc_mlflow.sweeps.status import grid_yaml

GRIDS = sorted(path.stem for path in (ROOT / "grids").glob("*.yaml"))
PAPER = {  # grid -> configurations, cells
    "paper_table_iii": (3, 15),
    "paper_table_vi": (30, 150),
    "paper_table_vii": (20, 100),
    "paper_table_viii": (16, 80),
    "paper_fig_4": (10, 50),
    "paper_fig_7": (12, 60),
    "paper_fig_19": (24, 120),
}
FOUR_CELLS = """
seeds: [1, 2]
defaults: {model: mlp_l1_w8, epochs: 3}
then:
  - interpolate: {bn: [interpolate, nearest], num_alphas: 5}
cells:
  - shift: [label_5050, label_2080]
"""


@pytest.fixture
def grid(tmp_path: Path):
    """Reads a grid from its text."""

    def read(text: str, only: str = "", override: str = "") -> Grid:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        split = [tuple(part for part in texts.split(",") if part) for texts in (only, override)]
        return read_grid(str(path), {}, split[0], split[1])

    return read


def test_lists_multiply_and_every_job_has_every_seed(grid) -> None:
    read = grid("cells: [{lr: [0.1, 0.01], batch_size: [32, 64, 128], model: mlp_l1_w8}]")
    assert [(j.cells[0].config.optimization.lr, j.cells[0].config.optimization.batch_size) for j in read.jobs] == [
        (0.1, 32),
        (0.1, 64),
        (0.1, 128),
        (0.01, 32),
        (0.01, 64),
        (0.01, 128),
    ]
    assert [cell.config.model.seed for cell in read.jobs[0].cells] == [1, 20, 100, 500, 1500]
    assert len({cell.key for cell in read.cells}) == 30
    assert [job.name for job in read.jobs][:2] == [
        "digits mlp_l1_w8 label_5050 batch_size=32 lr=0.1",
        "digits mlp_l1_w8 label_5050 batch_size=64 lr=0.1",
    ]


def test_a_cell_may_have_seeds_and_steps_of_its_own(grid) -> None:
    read = grid(FOUR_CELLS + "  - {shift: none, seeds: [7], then: []}\n")
    assert [len(job.cells) for job in read.jobs] == [2, 2, 1]
    assert [step.name for step in read.jobs[0].cells[0].then] == [
        "interpolate (bn=interpolate, num_alphas=5)",
        "interpolate (bn=nearest, num_alphas=5)",
    ]
    assert read.jobs[2].cells[0].config.model.seed == 7
    assert read.jobs[2].cells[0].then == ()


def test_ensembles_of_seeds_belong_to_all_cells_of_a_job(grid) -> None:
    read = grid(FOUR_CELLS.replace("cells:", "  - ensemble: {sampling: seeds, side: [A, B]}\ncells:"))
    assert [(step.kind, step.side) for step in read.jobs[0].seed_steps] == [("seeds", "A"), ("seeds", "B")]
    assert {step.kind for step in read.jobs[0].cells[0].then} == {"path"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cells: [{shfit: none}]", "cell 1: parameter 'shfit' is unknown (did you mean 'shift'?); choose from "),
        ("cells: [{lr: [0.1, x]}]", "cell 1 (lr=x): lr='x': give a number"),
        ("cells: [{lr: 0.1}, {lr: -1}]", "cell 2: lr=-1.0: must be greater than 0"),
        ("cells: [{model: resnet11}]", "cell 1: model 'resnet11' is unknown (did you mean 'resnet10'?)"),
        ("cells: [{model: 'timm:nonsense'}]", "knows no such network"),
        ("cells: [{dataset: minst}]", "cell 1: dataset 'minst' is unknown (did you mean 'mnist'?)"),
        ("cells: [{shift: label_2070}]", "must add up to 100"),
        ("cells: [{seed: 3}]", "cell 1: seed: the grid's seeds say it; leave it out"),
        ("cells: [{device: cpu}]", "cell 1: device: give it to sweep; leave it out"),
        ("cells: [{quiet: true}]", "cell 1: quiet: give it to sweep; leave it out"),
        ("cells: [{devices: all}]", "cell 1: devices: a cell of a sweep runs on one device; leave it out"),
        ("cells: [{lr: {a: 1}}]", "cell 1: lr={'a': 1}: give a value, or a list of values"),
        ("cells: [{lr: []}]", "cell 1: lr: the list is empty"),
        ("cells: [{lr: }]", "cell 1: lr=None: give a value"),
        ("cells: [{lr: 0.1}, {lr: 1e-1}]", "cell 2 is cell 1 again (seed 1)"),
        ("cells: [{lr: [0.1, '0.10']}]", "cell 1 (lr=0.10) is cell 1 (lr=0.1) again (seed 1)"),
        ("cells: [{lr: 0.1, lr: 0.2}]", "line 1: 'lr' is given twice"),
        ("cells: [{lr: 0.1}]\nseed: [1]", "key 'seed' is unknown (did you mean 'seeds'?)"),
        ("cells: [{lr: 0.1, seeds: [1, 1]}]", "cell 1: seeds: 1, 1: each seed once"),
        ("cells: [{lr: 0.1, seeds: [a]}]", "cell 1: seeds='a': give a whole number"),
        ("cells: []", "give a list of cells, as grids/template.yaml does"),
        ("lr: 0.1", "give a list of cells"),
        ("cells: [{lr: 0.1}", "no YAML ("),
        ("cells: [{then: [interpolat: {}]}]", "step 1 (interpolat): step 'interpolat' is unknown (did you mean"),
        ("cells: [{then: [interpolate: {bn: near}]}]", "cell 1: then, step 1 (interpolate): bn 'near' is unknown"),
        ("cells: [{then: [interpolate: {pair: x}]}]", "step 1 (interpolate): pair: the sweep gives it; leave it out"),
        ("cells: [{then: [interpolate: {quiet: true}]}]", "step 1 (interpolate): quiet: the sweep gives it"),
        ("cells: [{then: [interpolate: , interpolate: ]}]", "step 2 (interpolate): interpolate is listed twice"),
        ("cells: [{then: [ensemble: {bn: nearest}]}]", "give sampling: lmc (points of the pair's path) or seeds"),
        ("cells: [{then: [ensemble: {sampling: seed}]}]", "sampling 'seed' is unknown (did you mean 'seeds'?)"),
        ("cells: [{then: [ensemble: {sampling: seeds}]}]", "sampling: seeds needs side: A, B or [A, B]"),
        ("cells: [{then: [ensemble: {sampling: seeds, side: C}]}]", "side 'C' is unknown"),
        ("cells: [{then: [ensemble: {sampling: seeds, side: A, bn: nearest}]}]", "belong to pair=<pair run id>"),
        ("cells: [{then: [ensemble: {sampling: seeds, side: A}], seeds: 1}]", "needs at least two seeds"),
        ("cells: [{then: interpolate}]", "then: give a list"),
    ],
)
def test_whatever_is_wrong_with_a_grid_is_said_with_its_cell(grid, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grid ") as caught:
        grid(text)
    assert message in str(caught.value)


TEN = "[" + ", ".join(f"0.{i}" for i in range(1, 11)) + "]"
FOUR_LISTS = ", ".join(f"{name}: {TEN}" for name in ("lr", "momentum", "weight_decay", "dropout_rate"))
LAUGH = "a: &a [x, x]\n" + "\n".join(
    f"{b}: &{b} [*{a}, *{a}]" for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxyz")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"cells: [{{{FOUR_LISTS}}}]", "cell 1: the grid has 50,000 cells up to here, a grid has at most 20,000"),
        (
            "seeds: 1\ncells:\n"
            + "".join(f"  - {{lr: {TEN}, weight_decay: {TEN}, epochs: {e}}}\n" for e in range(1, 300)),
            "cell 201: the grid has 20,100 cells up to here",
        ),
        (f"seeds: [{', '.join(map(str, range(200_000)))}]\ncells: [{{lr: 0.1}}]", "the file has 1,488,916 bytes"),
        (f"seeds: [{','.join(map(str, range(100_000)))}]\ncells: [{{lr: 0.1}}]", "seeds: 100,000 of them"),
        (
            "cells: [{lr: 0.1, then: [interpolate: {num_alphas: [" + "3, " * 200 + "3]}]}]",
            "201 combinations, a step has",
        ),
        ("[" * 5000, "it is nested too deeply"),
        ("{a: " * 5000, "it is nested too deeply"),
        ("cells: [{batch_size: 1:30}]", "batch_size='1:30': give a whole number"),
        ("cells: [{lr: 1:30.5}]", "lr='1:30.5': give a number"),
        (f"{LAUGH}\ncells: [{{lr: *z}}]", "key 'a' is unknown"),
        (f"description: x\ncells:\n- lr: &a [1]\n  momentum: [{'[' * 50}{']' * 50}]", "momentum=[[[[["),
    ],
)
def test_a_grid_without_end_is_refused_by_an_estimate_in_one_line(grid, text: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match=r"^grid ") as caught:
        grid(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - start < 20  # whatever else the machine does


def test_numbers_are_decimal(grid) -> None:
    read = grid("cells: [{epochs: 010, batch_size: 1_000, lr: 1e-3, momentum: 0.5, optimizer: sgd, seeds: [007]}]")
    config = read.cells[0].config
    assert (config.optimization.epochs, config.optimization.batch_size, config.optimization.lr) == (10, 1000, 0.001)
    assert (config.optimization.momentum, config.model.seed) == (0.5, 7)


def test_a_misspelt_grid_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"grid 'paper_table_v' is unknown \(did you mean 'paper_table_vi'\?\)"):
        grid_file("paper_table_v")
    with pytest.raises(ValueError, match=r"grid='none.yaml': there is no such file"):
        grid_file("none.yaml")


def test_only_chooses_cells_by_their_own_values_and_several_values_of_one_name_are_alternatives(grid) -> None:
    text = "{seeds: [1, 2], cells: [{lr: [0.1, 0.01, 0.001], model: [mlp_l1_w8, mlp_l1_w9]}]}"
    assert len(grid(text).cells) == 12
    assert len(grid(text, only="lr=1e-1").cells) == 4
    assert len(grid(text, only="lr=0.1,lr=0.01,model=mlp_l1_w8,seed=2").cells) == 2
    with pytest.raises(ValueError, match=r"only=lr=3: none of its 12 cells is so"):
        grid(text, only="lr=3")
    with pytest.raises(ValueError, match=r"only: parameter 'lrr' is unknown \(did you mean 'lr'\?\)"):
        grid(text, only="lrr=3")
    with pytest.raises(ValueError, match=r"only='lr': give name=value"):
        grid(text, only="lr")


def test_override_sets_every_cell_and_cells_that_become_one_are_one(grid) -> None:
    text = FOUR_CELLS + "  - {shift: none, lr: [0.1, 0.01]}\n"
    assert len(grid(text).jobs) == 4
    read = grid(text, override="lr=0.5,epochs=2,num_alphas=3,bn=nearest")
    assert [job.cells[0].config.data.shift for job in read.jobs] == ["label_5050", "label_2080", "none"]
    assert {(c.config.optimization.lr, c.config.optimization.epochs) for c in read.cells} == {(0.5, 2)}
    assert [step.texts for step in read.cells[0].then] == [(("bn", "nearest"), ("num_alphas", "3"))]
    with pytest.raises(ValueError, match=r"override: parameter 'seed' is unknown"):
        grid(text, override="seed=3")


def test_only_asks_for_what_the_grid_says_before_override_changes_it(grid) -> None:
    text = "{seeds: [1], cells: [{dataset: [mnist, cifar10]}]}"
    (cell,) = grid(text, only="dataset=cifar10", override="dataset=imagefolder").cells
    assert cell.config.data.dataset == "imagefolder"


def test_another_data_set_is_that_of_the_training_not_of_its_steps(grid) -> None:
    step, _ = grid(FOUR_CELLS, override="dataset=mnist,normalization=unit").cells[0].then
    assert step.texts == (("bn", "interpolate"), ("num_alphas", "5"))


def test_an_ensemble_of_seeds_is_left_out_where_not_all_seeds_are_wanted(grid) -> None:
    text = FOUR_CELLS.replace("cells:", "  - ensemble: {sampling: seeds, side: A}\ncells:")
    assert all(job.seed_steps for job in grid(text).jobs)
    assert not any(job.seed_steps for job in grid(text, only="seed=1").jobs)


def test_the_same_work_has_the_same_digest_whatever_it_is_called(grid) -> None:
    first = grid(FOUR_CELLS)
    assert grid("description: other words\n" + FOUR_CELLS).digest == first.digest
    assert grid(FOUR_CELLS.replace("epochs: 3", "epochs: 3, data_root: elsewhere")).digest == first.digest
    assert grid(FOUR_CELLS, override="epochs=4").digest != first.digest
    assert grid(FOUR_CELLS, override="num_alphas=6").digest != first.digest


@pytest.mark.parametrize("name", GRIDS)
def test_the_logged_grid_is_the_grid_again(grid, name: str) -> None:
    original = read_grid(name, {}, (), ())
    assert grid(grid_yaml(original)).digest == original.digest


@pytest.mark.parametrize("name", GRIDS)
def test_no_grid_says_where_data_are(name: str) -> None:
    content = yaml.safe_load((ROOT / "grids" / f"{name}.yaml").read_text())
    assert "data_root" not in {**content.get("defaults", {}), **{k: 0 for cell in content["cells"] for k in cell}}
    assert content["description"]


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_grids_have_its_configurations_with_five_seeds_and_three_ways_with_batch_norm(name: str) -> None:
    read = read_grid(name, {}, (), ())
    assert (len(read.jobs), len(read.cells)) == PAPER[name]
    for cell in read.cells:
        bn = {dict(step.texts).get("bn", "interpolate") for step in cell.then if step.kind == "path"}
        assert bn == {"interpolate", "recalibrate", "nearest"}
        assert cell.config.optimization.epochs == 100


def row_of(job: Job) -> tuple[str, ...]:
    c = job.cells[0].config
    values = (c.optimization.lr, c.optimization.batch_size, c.noise.noise, c.data.shift, c.data.normalization)
    return (c.data.dataset, c.model.model, *(str(value) for value in values))


TABLE_VI = [  # dataset, MLP (with batch norm: _bn), learning rate, batch sizes
    ("mnist", "mlp_l1_w587_bn", "0.01", (32, 1024)),
    ("mnist", "mlp_l1_w587", "0.001", (32, 1024)),
    ("mnist", "mlp_l3_w256_512_256_bn", "0.01", (32, 1024)),
    ("mnist", "mlp_l3_w256_512_256", "0.001", (32, 1024)),
    ("mnist", "mlp_l3_w256_512_256_bn", "0.001", (32,)),
    ("cifar10", "mlp_l1_w126_bn", "0.01", (32, 1024)),
    ("cifar10", "mlp_l1_w126", "0.001", (32, 1024)),
    ("cifar10", "mlp_l1_w126_bn", "0.001", (32, 1024)),
    ("cifar10", "mlp_l3_w110_256_110_bn", "0.01", (32, 1024)),
    ("cifar10", "mlp_l3_w110_256_110", "0.001", (32, 1024)),
    ("cifar10", "mlp_l3_w110_256_110_bn", "0.001", (32, 1024)),
]


def test_table_vi_has_the_papers_rows() -> None:
    found = {row_of(job) for job in read_grid("paper_table_vi", {}, (), ()).jobs}
    mlps = {
        (dataset, model, lr, str(batch), "same", "label_5050", "centered")
        for dataset, model, lr, batches in TABLE_VI
        for batch in batches
    }
    assert len(mlps) == 21
    assert mlps <= found
    others = {row for row in found if not row[1].startswith("mlp")}
    assert others == {
        ("cifar10", model, lr, batch, noise, "label_5050", "centered")
        for model, lr, batch, noise in (
            *((net, "0.001", "1024", "same") for net in ("resnet10", "resnet22")),
            *((net, "0.0001", "1024", noise) for net in ("resnet10", "resnet22") for noise in ("same", "different")),
            ("vgg11", "0.0001", "32", "same"),
            ("vgg11", "0.0001", "1024", "same"),
            ("vgg19", "0.0001", "1024", "same"),
        )
    }


def test_cells_that_two_tables_share_are_trained_once() -> None:
    vi, vii, viii = (
        {cell.key for cell in read_grid(f"paper_table_{name}", {}, (), ()).cells} for name in ("vi", "vii", "viii")
    )
    assert len(vi & viii) == 8 * 5  # all its centered rows
    assert len(vi & vii) == 6 * 5  # CIFAR-10 at 50/50: two rates of both ResNets, two VGGs


def test_fig_4_has_batch_size_32_and_the_rates_of_its_caption() -> None:
    for cell in read_grid("paper_fig_4", {}, (), ()).cells:
        c = cell.config
        assert (c.optimization.batch_size, c.data.shift, c.noise.noise) == (32, "label_5050", "same")
        assert c.optimization.lr == (0.0001 if c.model.model.startswith("vgg") else 0.001)


def test_figs_20_and_21_train_as_far_as_appendix_g_prints() -> None:
    read = read_grid("paper_figs_20_21", {}, (), ())
    assert (len(read.jobs), len(read.cells)) == (8, 40)
    kinds = {(cell.config.data.normalization, cell.config.optimization.epochs) for cell in read.cells}
    assert kinds == {("centered", 400), ("unit", 400)}


DIGESTS = {  # as version 34125ca logged them: the digest finds the run of an interrupted sweep
    "quickstart": "4bd322f3f5dc9423",
    "paper_table_iii": "1ec79efbd0c5409c",
    "paper_table_vi": "dda210bf790ba6ac",
    "paper_table_vii": "7e850730f2081784",
    "paper_table_viii": "ff8be2feaa2cb56f",
    "paper_fig_7": "35e275478d62eff2",
    "template": "773c3def8b71f7c1",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_grid_has_the_digest_that_earlier_versions_logged(name: str) -> None:
    assert read_grid(name, {}, (), ()).digest == DIGESTS[name]


def test_every_sweep_engine_that_the_options_name_can_be_started() -> None:
    assert list(ENGINES) == list(SWEEP_ENGINES)


@pytest.mark.parametrize("name", GRIDS)
def test_every_shipped_grid_measures_the_shift_between_the_sides_on_few_images(name: str) -> None:
    cells = read_grid(name, {}, (), ()).cells
    assert all(0 < cell.config.shift_test.c2st_samples <= 500 for cell in cells)
    content = yaml.safe_load((ROOT / "grids" / f"{name}.yaml").read_text())
    assert "c2st_samples" in content["defaults"]


def test_the_table_of_grids_has_the_numbers_of_pairs_that_the_grids_have() -> None:
    text = (ROOT / "docs" / "training.md").read_text().split("| grid | pairs | what |\n|---|---|---|\n")[1]
    told = {}
    for line in text.split("\n\n")[0].splitlines():
        first, second, _ = line.strip("| ").split(" | ", 2)
        names, numbers = re.findall(r"`(\w+)`", first), [int(number) for number in second.split(", ")]
        told |= dict(zip(names, numbers if len(numbers) > 1 else numbers * len(names), strict=True))
    assert len(told) > 10
    assert told == {name: len(read_grid(name, {}, (), ()).cells) for name in told}
