"""The derived symmetry of a network lists the units that may be exchanged, and permuting them keeps the function."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.alignment import (
    Symmetry,
    compose,
    derive_symmetry,
    identity_permutations,
    inverse,
    permute,
    random_permutations,
    units_moved,
)
from lmc_mlflow.alignment.symmetry import Channels, Part
from lmc_mlflow.models.families import NETWORKS
from lmc_mlflow.models.registry import NetworkSpec, build_network

MLPS = ("mlp_l1_w9", "mlp_l3_w5_6_7", "mlp_l3_w5_6_7_bn", "mlp_l3_w5_6_7_bn_dropout")
SLOW = pytest.mark.slow
TIMM = [
    "resnet18",
    "convnext_atto",  # depthwise, layer norm, scales of layers, NCHW to NHWC and back
    "mobilenetv3_small_050",  # squeeze and excite
    "regnetx_002",  # grouped convolutions
    "test_vit",  # class token, positions, attention
    "test_convnext",
    pytest.param("resnet50", marks=SLOW),
    pytest.param("vgg11_bn", marks=SLOW),
    pytest.param("densenet121", marks=SLOW),  # concatenations
    pytest.param("mobilenetv2_050", marks=SLOW),
    pytest.param("efficientnet_b0", marks=SLOW),
    pytest.param("resnext50_32x4d", marks=SLOW),
    pytest.param("dpn48b", marks=SLOW),  # concatenations added to one another
    pytest.param("nf_resnet26", marks=SLOW),  # kernels that are normalized
    pytest.param("mixer_s32_224", marks=SLOW),
    pytest.param("vit_tiny_patch16_224", marks=SLOW),
]


def scramble(network: nn.Module) -> nn.Module:
    """Every tensor at random: at initialization many entries are alike, which would hide a mistake."""
    random = torch.Generator().manual_seed(1)
    network.double().eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=random).double()
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else tensor + 0.2 * (noise - 0.5))
    return network


def check_function(network: nn.Module, images: Tensor) -> Symmetry:
    symmetry = derive_symmetry(network, images)
    scramble(network)
    state = copy.deepcopy(network.state_dict())
    assert set(symmetry.axes) == set(state)
    permutations = random_permutations(symmetry, torch.Generator().manual_seed(2))
    moved = permute(symmetry, state, permutations)
    other = copy.deepcopy(network)
    other.load_state_dict(moved)
    with torch.no_grad():
        before, after = network(images.double()), other(images.double())
    assert before.std() > 1e-6
    assert (before - after).abs().max() < 1e-5 * before.abs().max()
    for group in symmetry.sizes:  # each moves something, and for its own part leaves the function as it is
        assert any(not torch.equal(moved[name], state[name]) for name, _ in symmetry.tensors(group)), group
    return symmetry


def images(channels: int = 3, size: int = 32) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("model", [*NETWORKS, *MLPS])
def test_a_random_permutation_leaves_every_registered_network_as_it_is(model: str) -> None:
    check_function(build_network(NetworkSpec(model, 3, 32, 32, 10), 0), images())


@pytest.mark.parametrize("model", TIMM)
def test_a_random_permutation_leaves_networks_of_timm_as_they_are(model: str) -> None:
    network = build_network(NetworkSpec(f"timm:{model}", 3, 32, 32, 10), 0)
    assert sum(check_function(network, images()).sizes.values()) > 400


def test_the_units_of_known_networks() -> None:
    def sizes(model: str) -> dict[str, int]:
        return dict(derive_symmetry(build_network(NetworkSpec(model, 3, 32, 32, 10), 0), images()).sizes)

    assert sizes("mlp_l3_w5_6_7_bn_dropout") == {"linear1": 5, "linear2": 6, "linear3": 7}
    assert sizes("mlp_l1_w9") == {"linear1": 9}
    wide = {"conv1": 64, "conv2": 64, "conv3": 128, "conv4": 128}
    wide |= {f"conv{i}": 256 for i in range(5, 9)} | {f"conv{i}": 512 for i in range(9, 17)}
    assert sizes("vgg19") == wide
    assert sizes("resnet10") == {  # conv2 of a stage is tied to the shortcut that it is added to
        "conv": 16,
        **{f"stage{i}.0.conv{j}": 16 * 2**i for i in (1, 2, 3) for j in (1, 2)},
    }
    deep = sizes("resnet22")  # the blocks of a stage share what they add to, each has its own inside
    assert len(deep) == 1 + 3 * (1 + 3)
    assert "stage2.1.conv1" in deep
    assert "stage2.1.conv2" not in deep


def test_a_shortcut_ties_everything_that_is_added() -> None:
    symmetry = derive_symmetry(build_network(NetworkSpec("resnet10", 1, 8, 8, 10), 0), images(1, 8))
    tied = [name for name, _ in symmetry.tensors("stage1.0.conv2")]
    made = ["stage1.0.conv2.weight", *(f"stage1.0.norm2.{name}" for name in ("weight", "bias"))]
    assert tied[:3] == made
    assert "stage1.0.shortcut.conv.weight" in tied
    assert "stage1.0.shortcut.norm.running_var" in tied
    assert symmetry.tensors("stage1.0.conv2")[-2:] == [
        ("stage2.0.conv1.weight", 1),
        ("stage2.0.shortcut.conv.weight", 1),
    ]


def test_flattening_gives_each_channel_a_block_of_columns() -> None:
    symmetry = derive_symmetry(build_network(NetworkSpec("vgg_like", 1, 40, 40, 10), 0), images(1, 40))
    assert symmetry.axes["linear.weight"] == ((Part(None, 10),), (Part("conv4", 256, 25),))


class Grouped(nn.Module):
    """Convolutions of groups, of one channel each, and norms of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.mixed = nn.Conv2d(16, 12, 1)
        self.depthwise = nn.Conv2d(12, 24, 3, groups=12)
        self.halves = nn.Conv2d(24, 6, 1)
        self.group_norm = nn.GroupNorm(3, 6)
        self.one_group = nn.Conv2d(6, 5, 1)
        self.norm = nn.GroupNorm(1, 5)
        self.slopes = nn.PReLU(5)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.mixed(self.grouped(self.first(x)).relu()).relu())
        x = self.norm(self.one_group(self.group_norm(self.halves(torch.relu_(x)))))
        return self.last(self.slopes(x).amax(dim=(2, 3)))


def test_groups_of_channels_move_as_blocks_and_channels_inside_them() -> None:
    symmetry = check_function(Grouped(), images(3, 8))
    flat = {"first": 4, "mixed": 12, "halves": 3, "one_group": 5}
    read, made = "first.inside", "first.inside'"  # what the grouped convolution reads, and what it makes
    assert symmetry.sizes == flat | {read: 2, made: 4, "mixed.inside": 2, "halves.inside": 2}
    assert symmetry.parents == {group: group.partition(".")[0] for group in symmetry.sizes if group not in flat}
    assert symmetry.axes["first.weight"][0] == (Part("first", 4, 2, (Part(read, 2),)),)
    assert symmetry.axes["grouped.weight"][:2] == ((Part("first", 4, 4, (Part(made, 4),)),), (Part(read, 2),))
    assert symmetry.axes["depthwise.bias"] == ((Part("mixed", 12, 2, (Part("mixed.inside", 2),)),),)
    assert symmetry.axes["halves.weight"][0] == (Part("halves", 3, 2, (Part("halves.inside", 2),)),)


class Concatenated(nn.Module):
    """Two layers side by side, added to a third, cut apart again, and a layer applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 5)
        self.whole = nn.Linear(4, 8)
        self.scale = nn.Parameter(torch.ones(8))
        self.norm = nn.LayerNorm(8)
        self.again = nn.Linear(3, 3)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        both = torch.cat([self.left(x), self.right(x).sigmoid()], dim=-1)
        a, b = self.norm(both + self.whole(x) * self.scale).split([3, 5], dim=1)
        a = self.again(self.again(a).tanh())
        return functional.log_softmax(self.last(torch.cat([a, b], 1)), dim=1)


def test_what_is_added_to_a_concatenation_takes_its_parts() -> None:
    symmetry = check_function(Concatenated(), images(1, 2))
    one, two = "scale[0]", "scale[1]"  # called after the first tensor that they move
    assert symmetry.sizes == {one: 3, two: 5}
    assert symmetry.axes["whole.weight"][0] == (Part(one, 3), Part(two, 5))
    assert symmetry.axes["again.weight"] == ((Part(one, 3),), (Part(one, 3),))


class Tied(nn.Module):
    """One matrix used both ways, under two names; a mask that no state dict holds, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 6, bias=False)
        self.decode = nn.Linear(6, 4, bias=False)
        self.middle = nn.Linear(6, 6)
        self.decode.weight = nn.Parameter(torch.randn(4, 6))
        self.twin = self.middle
        self.register_buffer("mask", torch.tensor([1.0, 1, 0, 1, 1, 1]), persistent=False)
        self.constant = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.twin(self.encode(x.flatten(1))).relu())
        return self.decode(x * self.mask) * self.constant.to(x.dtype)


def test_tied_tensors_move_alike_and_constants_hold_units_in_place() -> None:
    symmetry = derive_symmetry(Tied(), images(1, 2))
    assert symmetry.sizes == {}
    assert symmetry.axes["twin.weight"] == symmetry.axes["middle.weight"]


class Rolled(nn.Module):
    """Eight channels whose positions matter, five that may move, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 8), nn.Linear(8, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu().roll(1, dims=1)
        return self.last(self.middle(x).relu())


def test_what_is_held_still_is_told_with_the_operation_that_holds_it() -> None:
    symmetry = derive_symmetry(Rolled(), images(1, 2))
    held = Channels(8, 0, ("roll in (the network itself)",))
    assert symmetry.channels == {"first": held, "middle": Channels(5, 5)}  # the last layer makes no hidden channel
    assert symmetry.held == {"first": held}
    assert symmetry.share_free == 5 / 13


def test_algebra_of_permutations() -> None:
    network = build_network(NetworkSpec("mlp_l2_w5_4", 1, 4, 4, 3), 0)
    symmetry, state = derive_symmetry(network, images(1, 4)), network.state_dict()
    random = torch.Generator().manual_seed(0)
    one, two = random_permutations(symmetry, random), random_permutations(symmetry, random)
    twice = permute(symmetry, permute(symmetry, state, one), two)
    at_once = permute(symmetry, state, compose(one, two))
    back = permute(symmetry, permute(symmetry, state, one), inverse(one))
    for name, value in state.items():
        assert torch.equal(twice[name], at_once[name])
        assert torch.equal(back[name], value)
        assert back[name].data_ptr() != value.data_ptr()
    assert units_moved(identity_permutations(symmetry)) == 0
    swap = {"linear1": torch.tensor([1, 0, 2, 3, 4]), "linear2": torch.arange(4)}
    assert units_moved(swap) == pytest.approx(2 / 9)
    moved = permute(symmetry, state, swap)
    assert torch.equal(moved["linear1.weight"][0], state["linear1.weight"][1])
    assert torch.equal(moved["linear2.weight"][:, 1], state["linear2.weight"][:, 0])


def test_permutations_that_do_not_fit_are_refused() -> None:
    network = build_network(NetworkSpec("mlp_l1_w3", 1, 2, 2, 2), 0)
    symmetry, state = derive_symmetry(network, images(1, 2)), network.state_dict()
    with pytest.raises(ValueError, match=r"group linear1: not a permutation of its 3 units"):
        permute(symmetry, state, {"linear1": torch.tensor([0, 0, 1])})
    with pytest.raises(ValueError, match=r"group linear1: no permutation is given"):
        permute(symmetry, state, {})
    with pytest.raises(ValueError, match=r"group odd: the network has no such group; it has linear1"):
        permute(symmetry, state, {"linear1": torch.arange(3), "odd": torch.arange(2)})
    with pytest.raises(ValueError, match=r"linear1.weight: shape \(2, 4\) vs \(3, 4\)"):
        permute(symmetry, {**state, "linear1.weight": torch.zeros(2, 4)}, {"linear1": torch.arange(3)})
    with pytest.raises(ValueError, match=r"odd: the symmetry knows no such tensor"):
        permute(symmetry, {**state, "odd": torch.zeros(2)}, {"linear1": torch.arange(3)})


class Odd(nn.Module):
    """A layer that does something with its units that is not understood, depends on values, or uses nothing."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.spare = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "sums":
            return x.logcumsumexp(dim=1) * self.spare.sum()
        if self.what == "asks":
            return x * self.spare.sum() if x.sum() > 0 else x
        return x


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sums", r"module 1: the operation 'logcumsumexp' is not understood"),
        ("asks", r"the network cannot be traced, so its symmetry is not known: .*data-dependent"),
        ("nothing", r"1\.spare: no operation of the network uses it"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(what: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        derive_symmetry(nn.Sequential(nn.Flatten(), Odd(what), nn.Linear(4, 2)), images(1, 2))


def test_the_network_is_not_changed() -> None:
    network = build_network(NetworkSpec("resnet10", 1, 8, 8, 10), 0).train()
    before = copy.deepcopy(network.state_dict())
    derive_symmetry(network, images(1, 8))
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
