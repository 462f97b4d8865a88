"""Each symmetry rule ties axes so that a random permutation of the units leaves the function as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from test_symmetry import check_function, images
from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.alignment import derive_symmetry, permute, random_permutations
from lmc_mlflow.alignment.symmetry import Channels, Part

POSITIONS = torch.tensor([[0, 2, 1, 3], [3, 1, 0, 0]])


class Network(nn.Module):
    """Eight channels from three, whatever a test does to them, a further layer, and two outputs."""

    def __init__(self, middle: Callable[["Network", Tensor], Tensor], more: Mapping[str, nn.Module | Tensor]) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 8, 3, padding=1), middle
        for name, value in more.items():
            if isinstance(value, nn.Module):
                self.add_module(name, value)
            else:
                self.register_parameter(name, nn.Parameter(value))
        self.register_buffer("positions", POSITIONS.clone())
        self.norm = nn.LazyBatchNorm1d()
        self.last = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self, self.first(x).relu())
        return self.last(self.norm(x).relu())


@dataclass(frozen=True)
class Case:
    """What happens to the eight channels (N, 8, 4, 4), until (N, features); and the groups that are left."""

    middle: Callable[[Network, Tensor], Tensor]
    sizes: Mapping[str, int]
    more: Mapping[str, nn.Module | Tensor]


def case(middle: Callable[[Network, Tensor], Tensor], sizes: dict[str, int], **more: nn.Module | Tensor) -> Case:
    return Case(middle, sizes, more)


def pooled(x: Tensor) -> Tensor:
    return x.mean((-2, -1))


def masked(network: Network, x: Tensor) -> Tensor:
    kept = ~torch.zeros_like(x, dtype=torch.bool)
    return pooled(x * kept)


def autocast(network: Network, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return pooled(x * 2)


def with_bias(network: Network, x: Tensor) -> Tensor:
    table = network.table[network.positions.flatten()]  # (8 positions, 8 channels)
    return (x.flatten(2)[:, :, :8] + table.T).mean(-1)


def rows_and_columns(network: Network, x: Tensor) -> Tensor:
    return x[:, :, network.positions[0], network.positions[1]].mean(-1)


def apart(network: Network, x: Tensor) -> Tensor:
    return x[network.positions % 2, :, network.positions].mean((1, -1))


def recurrent(network: Network, x: Tensor) -> Tensor:
    return network.cell(x.flatten(2).transpose(1, 2))[0].mean(1)


def maxima(network: Network, x: Tensor) -> Tensor:
    return x.flatten(2).max(dim=2)[0].max(x.flatten(2).min(dim=2)[0] + 1)


def folded(network: Network, x: Tensor) -> Tensor:
    patches = functional.unfold(x, 3, padding=1)
    return pooled(functional.fold(patches, (4, 4), 3, padding=1))


def written(network: Network, x: Tensor) -> Tensor:
    whole = torch.zeros(2, 12, 4, 4, dtype=x.dtype)
    whole[:, 2:10] = x
    return pooled(network.wide(whole))


FIRST = {"first": 8}
CASES: dict[str, Case] = {
    "adaptive_max_pool2d": case(lambda _, x: functional.adaptive_max_pool2d(x, 1).flatten(1), FIRST),
    "index of a table of positions": case(with_bias, FIRST, table=torch.randn(4, 8)),
    "index of two neighbouring axes": case(rows_and_columns, FIRST),
    "index of two axes apart": case(apart, FIRST),
    "index_select": case(lambda n, x: pooled(x.index_select(2, n.positions[0])), FIRST),
    "unfold": case(lambda _, x: x.unfold(2, 3, 1).unfold(3, 3, 1).amax((2, 3, 4, 5)), FIRST),
    "im2col and col2im": case(folded, FIRST),
    "repeat": case(lambda _, x: pooled(x.repeat(1, 2, 1, 1)), FIRST),
    "tile": case(lambda _, x: pooled(x.tile(2, 1, 1)), FIRST),
    "repeat_interleave": case(lambda _, x: pooled(x.repeat_interleave(2, dim=1)), FIRST),
    "bitwise_not": case(masked, FIRST),
    "autocast": case(autocast, FIRST),
    "einsum": case(
        lambda n, x: torch.einsum("b c h w, c d -> b d", x, n.table), {"table": 8, "norm": 6}, table=torch.randn(8, 6)
    ),
    "einsum with an ellipsis": case(
        lambda n, x: torch.einsum("bc...,cd", x, n.table).mean((-2, -3)),
        {"table": 8, "norm": 6},
        table=torch.randn(8, 6),
    ),
    "lstm": case(recurrent, {"first": 8, "cell": 5}, cell=nn.LSTM(8, 5, 2, batch_first=True)),
    "lstm in both directions": case(
        recurrent, {"first": 8, "cell": 5}, cell=nn.LSTM(8, 5, bidirectional=True, batch_first=True)
    ),
    "gru": case(recurrent, {"first": 8, "cell": 5}, cell=nn.GRU(8, 5, batch_first=True)),
    "max and min": case(maxima, FIRST),
    "glu": case(lambda _, x: pooled(functional.glu(x, 1)), {"first": 4}),
    "cumsum": case(lambda _, x: x.flatten(2).cumsum(2).amax(2), FIRST),
    "flip": case(lambda _, x: pooled(x.flip(1)), {}),
    "tril": case(lambda _, x: pooled(x.tril()), FIRST),
    "zeros": case(written, {"first": 8, "wide": 12, "wide[0]": 2, "wide[1]": 2}, wide=nn.Conv2d(12, 12, 1)),
}


def built(what: Case) -> Network:
    network = Network(what.middle, what.more).eval()
    with torch.no_grad():
        network(images(3, 4))  # gives the last layers their sizes
    return network


@pytest.mark.parametrize("name", CASES)
def test_a_random_permutation_leaves_the_function_as_it_is(name: str) -> None:
    assert check_function(built(CASES[name]), images(3, 4)).sizes == CASES[name].sizes


class Biased(nn.Module):
    """Attention of four heads over eight positions, with a bias that a table gives to each pair of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.made, self.last = nn.Linear(12, 36), nn.Linear(12, 2)
        self.table = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("positions", POSITIONS.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.made(x.reshape(2, 8, 12)).reshape(2, 8, 3, 4, 3).permute(2, 0, 3, 1, 4).unbind(0)
        rows = self.table[self.positions]
        bias = (rows[:, None] * rows[None].sin()).permute(2, 0, 1)
        x = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.last(x.transpose(1, 2).flatten(2).mean(1))


def test_the_bias_of_attention_belongs_to_its_heads() -> None:
    symmetry = check_function(Biased(), torch.randn(2, 3, 4, 8))
    assert symmetry.axes["table"][0] == (Part(None, 4),)  # rows are positions


class Shortcut(nn.Module):
    """Option A of the first ResNets: a shortcut to more channels puts constant zeros beside those that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wider, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 10, 1), nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        beside = functional.pad(x, (0, 0, 0, 0, 3, 3))
        return self.last((self.wider(x) + beside).relu().mean((2, 3)))


def test_units_beside_constant_zeros_may_move() -> None:
    symmetry = check_function(Shortcut(), images(3, 4))
    assert sorted(symmetry.sizes.values()) == [3, 3, 4]
    assert symmetry.share_free == 1


class Split(nn.Module):
    """Sixteen units as two halves, by a reshape or by a cut."""

    def __init__(self, *, reshaped: bool) -> None:
        super().__init__()
        self.reshaped = reshaped
        self.first, self.last = nn.Linear(12, 16), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        one, other = x.reshape(2, 2, 8).unbind(1) if self.reshaped else x.chunk(2, dim=1)
        return self.last(one.tanh() * other)


def test_units_of_an_axis_that_is_reshaped_move_as_those_of_one_that_is_cut() -> None:
    for reshaped in (True, False):
        symmetry = check_function(Split(reshaped=reshaped), images(3, 2))
        assert list(symmetry.sizes.values()) == [8]
        assert symmetry.share_free == 1


class Shuffled(nn.Module):
    """Channels of two branches, shuffled into one another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.Conv2d(3, 4, 1) for _ in range(2))
        self.mixed = nn.Conv2d(8, 5, 1)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.one(x), self.other(x)], 1)
        shuffled = both.view(2, 2, 4, 4, 4).transpose(1, 2).reshape(2, 8, 4, 4)
        return self.last(self.mixed(shuffled.relu()).mean((2, 3)).tanh())


def test_shuffled_channels_may_move() -> None:
    assert check_function(Shuffled(), images(3, 4)).share_free == 1


class Blurred(nn.Module):
    """A smoothing kernel, the same for all eight channels, and scales of which two differ; in no state dict."""

    def __init__(self, scales: Tensor) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 2)
        self.register_buffer("kernel", torch.rand(1, 1, 3, 3).expand(8, 1, 3, 3).clone(), persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("unused", torch.arange(8.0))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(self.first(x), self.kernel, groups=8)
        return self.last(x.mean((2, 3)).relu() * self.scales)


def test_only_buffers_whose_entries_differ_hold_units_still() -> None:
    symmetry = check_function(Blurred(torch.ones(8)), images(3, 4))
    assert symmetry.sizes == {"first": 8}
    assert symmetry.share_free == 1
    held = derive_symmetry(Blurred(torch.tensor([2.0, *[1.0] * 7])), images(3, 4))
    assert held.held == {"first": Channels(8, 0, ("the buffer scales, which no state dict holds",))}


class Words(nn.Module):
    """A mean of embedded words, which are numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(11, 6), nn.Linear(6, 2)

    def forward(self, words: Tensor) -> Tensor:
        return self.last(self.words(words).mean(1).tanh())


def test_features_of_words_may_move() -> None:
    network, words = Words().double(), torch.tensor([[1, 2, 3], [10, 0, 4]])
    symmetry, state = derive_symmetry(network, words), network.state_dict()
    assert symmetry.sizes == {"words": 6}
    before = network(words)
    moved = permute(symmetry, state, random_permutations(symmetry, torch.Generator().manual_seed(1)))
    assert not torch.equal(moved["words.weight"], state["words.weight"])
    network.load_state_dict(moved)
    assert torch.allclose(network(words), before, atol=1e-12)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projected_states_are_refused() -> None:
    network = built(case(recurrent, {}, cell=nn.LSTM(8, 5, proj_size=3, batch_first=True)))
    with pytest.raises(ValueError, match=r"module cell: lstm with projected states is not understood"):
        derive_symmetry(network, images(3, 4))
