"""Linear networks are linear, and MLPs with slopes, layer norm and one width are what their names say."""

import copy

import pytest
import torch
from torch import nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.models.names import MLPSpec, parse_mlp
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.papers.printed import printed_table
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.engines.stacked.engine import StackedTraining, why_not_stacked
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

MNIST = (1, 28, 28, 10)
CPU = torch.device("cpu")
MAKER = torch.Generator().manual_seed(5)
IMAGES, LABELS = torch.randn(48, 1, 4, 4, generator=MAKER), torch.arange(48) % 5


def tiny(model: str) -> nn.Module:
    return build_network(NetworkSpec(model, 1, 4, 4, 5), seed=1)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        ("linear_l1", 784 * 10 + 10),
        ("linear_l2_w100", 784 * 100 + 100 + 100 * 10 + 10),
        ("linear_l4_w100", 784 * 100 + 100 + 2 * (100 * 100 + 100) + 100 * 10 + 10),
        ("mlp_l1_w100_leaky0.1", 784 * 100 + 100 + 100 * 10 + 10),
        ("mlp_l4_w512_ln", 784 * 512 + 512 + 3 * (512 * 512 + 512) + 4 * 2 * 512 + 512 * 10 + 10),
    ],
)
def test_a_name_says_how_many_parameters_there_are(model: str, count: int) -> None:
    assert num_parameters(build_network(NetworkSpec(model, *MNIST), seed=1)) == count


@pytest.mark.parametrize("model", ["linear_l1", "linear_l3_w7"])
def test_a_linear_network_is_affine_up_to_its_output(model: str) -> None:
    network = tiny(model).double()
    network.output = nn.Identity()
    x, y = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    assert torch.allclose(network(0.3 * x + 0.7 * y), 0.3 * network(x) + 0.7 * network(y), atol=1e-12)


def test_slope_0_is_a_relu_and_slope_1_is_no_relu() -> None:
    relu, zero, one, linear = (tiny(m) for m in ("mlp_l2_w6", "mlp_l2_w6_leaky0", "mlp_l2_w6_leaky1", "linear_l3_w6"))
    zero.load_state_dict(relu.state_dict())
    one.load_state_dict(linear.state_dict())
    assert torch.equal(relu(IMAGES), zero(IMAGES))
    assert torch.equal(linear(IMAGES), one(IMAGES))


def test_the_slope_stands_in_the_network() -> None:
    layer = nn.Sequential(tiny("mlp_l1_w6_leaky0.25").relu1)
    assert layer(torch.tensor([-4.0, 4.0])).tolist() == [-1.0, 4.0]


def test_one_width_is_that_of_all_layers() -> None:
    assert parse_mlp("mlp_l3_w8") == MLPSpec((8, 8, 8)) == parse_mlp("mlp_l3_w8_8_8")
    assert parse_mlp("mlp_l2_w8_9_ln_leaky0.5_dropout") == MLPSpec((8, 9), "_ln", 0.5, dropout=True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("linear_l1_w5", "linear_l1 has no hidden layer and no width"),
        ("linear_l2", "all others have one width above 0"),
        ("linear_l2_w0", "all others have one width above 0"),
        ("linear_l0", "a linear network is called linear_l<layers>_w<width>"),
        ("mlp_l1_w5_leaky1.5", "the slope 1.5 must lie between 0"),
        ("mlp_l1_w5_leaky", "an MLP is called mlp_l<layers>"),
        ("mlp_l0_w5", "l0 needs 0 widths above 0"),
    ],
)
def test_a_name_that_is_no_network_is_refused(model: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(model)


def pair(model: str, config: OptimizationConfig) -> list[Trainee]:
    found = []
    for side in "AB":
        network = tiny(model)
        noise = noise_stream(NoiseConfig(noise="different"), 1, side, CPU)
        optimizer = make_optimizer(network.parameters(), config)
        found.append(Trainee(side, network, optimizer, noise, ResidentImages(IMAGES), LABELS))
    return found


@pytest.mark.parametrize("model", ["linear_l1", "linear_l3_w7", "mlp_l2_w7_leaky0.1", "mlp_l1_w7_leaky0"])
def test_the_fast_engine_trains_them_as_the_exact_one_does(model: str) -> None:
    config = OptimizationConfig(epochs=2, batch_size=16, optimizer="sgd", lr=0.1, momentum=0.9)
    exact, fast = pair(model, config), pair(model, config)
    assert why_not_stacked(fast, config) is None
    for epoch in (1, 2):
        expected = ExactTraining(exact, config, False).train_epoch(epoch)
        for mine, theirs in zip(StackedTraining(fast, config, False).train_epoch(epoch), expected, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5)
    for mine, theirs in zip(fast, exact, strict=True):
        for name, value in theirs.network.state_dict().items():
            assert torch.allclose(mine.network.state_dict()[name], value, atol=1e-6), name


@pytest.mark.parametrize("model", ["linear_l1", "linear_l2_w5", "mlp_l1_w6_leaky0.1", "mlp_l2_w6_ln"])
def test_a_path_is_the_same_in_one_pass_as_network_by_network(model: str) -> None:
    spec = NetworkSpec(model, 1, 4, 4, 5)
    segment = Segment(build_network(spec, 1).state_dict(), build_network(spec, 2).state_dict())
    data = {"test": (ResidentImages(IMAGES), LABELS)}
    found = [
        measure_path(
            build_network(spec, 3), copy.deepcopy(segment), alpha_grid(5), data, bn="interpolate", engine=engine
        )
        for engine in ("fast", "exact")
    ]
    assert found[0].losses["test"] == pytest.approx(found[1].losses["test"], rel=1e-5)


def settings(grid: str) -> set[tuple[str, int, str, float, float]]:
    configs = [job.cells[0].config for job in read_grid(grid, {}, (), ()).jobs]
    for config in configs:
        assert (config.data.dataset, config.data.shift, config.noise.noise) == ("mnist", "none", "different")
        assert (config.model.init, config.optimization.epochs) == ("same", 200)
    return {
        (
            c.model.model.split("_w")[0],
            c.optimization.batch_size,
            c.optimization.optimizer,
            c.optimization.lr,
            c.optimization.warmup_epochs,
        )
        for c in configs
    }


def test_the_grids_of_altintas_et_al_have_the_rows_that_are_printed() -> None:
    first = printed_table("altintas_table_1")
    assert settings("altintas_table_1") == {
        (f"linear_l{row.layers}", row.batch_size, row.optimizer, row.lr, 0.0) for row in first.itertuples()
    }
    second = printed_table("altintas_table_2")
    assert settings("altintas_table_2") == {
        ("mlp_l1", 1024, row.optimizer, row.lr, float(row.warmup_epochs)) for row in second.itertuples()
    }
