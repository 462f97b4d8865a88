"""Heads, groups of channels and experts are exchanged as blocks, and units inside each block."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from lmc_mlflow.alignment import (
    Symmetry,
    blocks_moved,
    compose,
    derive_symmetry,
    identity_permutations,
    inverse,
    match_activations,
    match_sinkhorn,
    match_weights,
    permute,
    random_permutations,
)
from lmc_mlflow.alignment.head_maps import map_heads, mix_heads
from lmc_mlflow.alignment.matching import assign
from lmc_mlflow.alignment.methods.blocks import BlockPiece, assign_blocks
from lmc_mlflow.alignment.symmetry import completed

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 4, "mlp_ratio": 1.0}


class Experts(nn.Module):
    """A dense mixture: every expert computes, and gates that sum to one weigh their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(48, 6)
        self.gate = nn.Linear(6, 3)
        self.into = nn.Parameter(torch.randn(3, 6, 5))
        self.bias = nn.Parameter(torch.randn(3, 5))
        self.back = nn.Parameter(torch.randn(3, 5, 6))
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(1)[:, :48])
        hidden = (torch.einsum("ni,eih->neh", x, self.into) + self.bias).relu()
        out = torch.einsum("neh,eho->neo", hidden, self.back)
        return self.last((self.gate(x).softmax(-1)[:, :, None] * out).sum(1))


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip


def small(name: str, **options: object) -> nn.Module:
    return timm.create_model(name, num_classes=5, **options)  # type: ignore[no-any-return]


NETWORKS = {
    "vit": lambda: small("vit_tiny_patch16_224", **VIT),
    "vit_qk_norm": lambda: small("vit_tiny_patch16_224", **VIT, qk_norm=True),
    "swin": lambda: small(
        "swin_tiny_patch4_window7_224", img_size=16, window_size=2, embed_dim=8, depths=(2, 1), num_heads=(2, 4)
    ),
    "experts": Experts,
    "grouped": grouped,
}
LARGE = {
    "regnetx_002": lambda: small("regnetx_002"),
    "resnext50_32x4d": lambda: small("resnext50_32x4d", layers=(1, 1, 1, 1)),
    "mobilenetv3_small_050": lambda: small("mobilenetv3_small_050"),
    "test_convnext": lambda: small("test_convnext"),
}


def scrambled(network: nn.Module, seed: int = 1) -> nn.Module:
    random = torch.Generator().manual_seed(seed)
    network.double().eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=random).double()
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else tensor + 0.5 * (noise - 0.5))
    return network


def output(network: nn.Module, state: dict[str, Tensor], images: Tensor = IMAGES) -> Tensor:
    other = copy.deepcopy(network)
    other.load_state_dict(state)
    with torch.no_grad():
        return other(images)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[nn.Module, Symmetry]]:
    made = {}
    for name, build in NETWORKS.items():
        network = build()
        symmetry = derive_symmetry(network, IMAGES.float())
        made[name] = scrambled(network), symmetry
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_a_random_element_keeps_the_function_and_is_undone(
    known: dict[str, tuple[nn.Module, Symmetry]], name: str
) -> None:
    network, symmetry = known[name]
    state = network.state_dict()
    one, two = (random_permutations(symmetry, torch.Generator().manual_seed(seed)) for seed in (5, 6))
    moved = permute(symmetry, state, one)
    before = output(network, state)
    assert (output(network, moved) - before).abs().max() < 1e-9 * before.abs().max()
    back = permute(symmetry, moved, inverse(one, symmetry))
    twice, at_once = permute(symmetry, moved, two), permute(symmetry, state, compose(one, two, symmetry))
    for key, value in state.items():
        assert torch.equal(back[key], value)
        assert torch.equal(twice[key], at_once[key])
    assert symmetry.share_free == 1
    assert symmetry.parents
    for group in symmetry.sizes:
        assert any(not torch.equal(moved[key], state[key]) for key, _ in symmetry.tensors(group))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_random_element_keeps_the_function_of_larger_networks(name: str) -> None:
    network, images = LARGE[name](), IMAGES.repeat(1, 1, 2, 2)
    symmetry = derive_symmetry(network, images.float())
    state = scrambled(network).state_dict()
    moved = permute(symmetry, state, random_permutations(symmetry, torch.Generator().manual_seed(5)))
    before = output(network, state, images)
    assert (output(network, moved, images) - before).abs().max() < 1e-9 * before.abs().max()
    assert symmetry.share_free == 1


def test_heads_hold_queries_with_keys_and_values_with_outputs(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    _, symmetry = known["vit"]
    heads, queries, values = (f"blocks.0.attn.qkv{end}" for end in ("", ".inside[0]", ".inside[1]"))
    assert symmetry.shape(heads) == (4,)
    assert symmetry.shape(queries) == symmetry.shape(values) == (4, 6)
    insides = [part.inner[0].group for part in symmetry.axes["blocks.0.attn.qkv.weight"][0]]
    assert insides == [queries, queries, values]
    assert symmetry.axes["blocks.0.attn.proj.weight"][1][0].inner[0].group == values
    _, of_norm = known["vit_qk_norm"]  # one scale for each unit of all heads: queries move alike in all of them
    assert of_norm.sizes["blocks.0.attn.qkv[1]"] == 6
    assert "blocks.0.attn.qkv[1]" not in of_norm.parents
    assert len(of_norm.parents) == 2


def test_experts_move_with_their_gates(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    _, symmetry = known["experts"]
    (experts,) = set(symmetry.parents.values())
    moved = {name for name, _ in symmetry.tensors(experts)}
    assert moved == {"gate.weight", "gate.bias", "into", "bias", "back"}
    (hidden,) = symmetry.parents
    assert symmetry.shape(hidden) == (3, 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_planted_element_is_recovered_by_weights(known: dict[str, tuple[nn.Module, Symmetry]], name: str) -> None:
    network, symmetry = known[name]
    a = network.state_dict()
    b = permute(symmetry, a, random_permutations(symmetry, torch.Generator().manual_seed(9)))
    found = match_weights(symmetry, a, b, seed=0)
    back = permute(symmetry, b, found.permutations)
    middle = {key: (a[key] + back[key]) / 2 if a[key].is_floating_point() else a[key] for key in a}
    losses = [output(network, state).log_softmax(-1)[:, 0].neg().mean() for state in (a, back, middle)]
    assert abs(losses[2] - (losses[0] + losses[1]) / 2) < 1e-4
    assert all(before <= after for before, after in zip(found.objective, found.objective[1:], strict=False))
    moved, total = blocks_moved(symmetry, found.permutations)
    assert 0 < moved <= total == sum(symmetry.sizes[group] for group in set(symmetry.parents.values()))


@pytest.mark.parametrize("name", ["vit", "vit_qk_norm", "grouped"])
def test_a_planted_element_is_recovered_by_activations(known: dict[str, tuple[nn.Module, Symmetry]], name: str) -> None:
    network, symmetry = known[name]
    a = network.state_dict()
    b = permute(symmetry, a, random_permutations(symmetry, torch.Generator().manual_seed(7)))
    found = match_activations(symmetry, network, a, b, [torch.randn(16, 3, 16, 16, dtype=torch.float64)])
    back = permute(symmetry, b, found.permutations)
    for group in symmetry.sizes:
        for key, _ in symmetry.tensors(group)[:1]:
            assert torch.allclose(back[key], a[key]), (group, key)


def test_sinkhorn_exchanges_blocks_and_holds_what_lies_inside(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    network, symmetry = known["grouped"]
    a = {name: value.float() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    inside = random_permutations(symmetry, torch.Generator().manual_seed(7))
    start = {
        group: inside[group] if group in symmetry.parents else torch.arange(size)
        for group, size in symmetry.sizes.items()
    }
    planted = {**identity_permutations(symmetry), "0": torch.tensor([2, 0, 3, 1])}
    b = permute(symmetry, permute(symmetry, a, planted), inverse(start, symmetry))
    found = match_sinkhorn(symmetry, network, a, b, steps=60, start=start)
    back = permute(symmetry, b, found.permutations)
    assert all(torch.equal(back[key], a[key]) for key in a)


def test_hierarchical_assignment_by_hand() -> None:
    # two blocks of two units; A's block 0 is B's block 1 with its units exchanged
    of_a = torch.tensor([[[1.0, 0], [0, 2]], [[3, 0], [0, 5]]])
    of_b = torch.tensor([[[3.0, 0], [0, 5]], [[0, 2], [1, 0]]])
    start = (torch.arange(2), {"inside": torch.arange(2).expand(2, -1)})
    blocks, insides = assign_blocks([BlockPiece(("inside",), of_a, of_b)], 2, {"inside": 2}, start)
    assert blocks.tolist() == [1, 0]
    assert insides["inside"].tolist() == [[1, 0], [0, 1]]


def test_a_pair_of_blocks_gains_what_its_best_inside_gains() -> None:
    products = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    start = (torch.arange(3), {"inside": torch.arange(4).expand(3, -1)})
    blocks, insides = assign_blocks([BlockPiece.known(("inside",), products)], 3, {"inside": 4}, start)
    values = torch.zeros(3, 3)
    for i in range(3):
        for j in range(3):
            values[i, j] = products[i, j][torch.arange(4), assign(products[i, j])].sum()
    assert torch.equal(blocks, assign(values))
    assert all(torch.equal(insides["inside"][i], assign(products[i, blocks[i]])) for i in range(3))


def test_permutations_without_blocks_of_earlier_versions_are_read(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    network, symmetry = known["vit"]
    stored = {"patch_embed.proj": torch.arange(23, -1, -1)}
    state = network.state_dict()
    moved = permute(symmetry, state, completed(symmetry, stored))
    assert torch.equal(moved["patch_embed.proj.bias"], state["patch_embed.proj.bias"].flip(0))
    assert torch.equal(moved["blocks.0.attn.qkv.bias"], state["blocks.0.attn.qkv.bias"])
    with pytest.raises(ValueError, match=r"not a permutation of its 6 units in each of 4 blocks"):
        permute(symmetry, state, {**identity_permutations(symmetry), "blocks.0.attn.qkv.inside[0]": torch.zeros(4, 6)})
    with pytest.raises(ValueError, match=r"its units lie inside blocks; give the symmetry"):
        inverse(identity_permutations(symmetry))


def test_heads_are_mapped_by_orthogonal_matrices(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    network, symmetry = known["vit"]
    a = network.state_dict()
    assert symmetry.mixable == set(symmetry.parents)
    b = permute(symmetry, a, random_permutations(symmetry, torch.Generator().manual_seed(7)))
    for group in symmetry.mixable:
        turns = torch.linalg.qr(torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[
            0
        ]
        b = mix_heads(symmetry, group, b, turns)
    assert (output(network, b) - output(network, a)).abs().max() < 1e-9
    found = match_weights(symmetry, a, b, seed=0).permutations
    permuted = permute(symmetry, b, found)
    mapped, _, maps = map_heads(symmetry, a, b, found, list(a))
    assert max((permuted[name] - a[name]).abs().max() for name in a) > 0.1  # no permutation undoes a rotation
    assert max((mapped[name] - a[name]).abs().max() for name in a) < 1e-9
    for matrices in maps.values():
        assert torch.allclose(matrices @ matrices.transpose(1, 2), torch.eye(6, dtype=torch.float64).expand(4, 6, 6))


def test_only_what_meets_products_alone_may_be_mixed(known: dict[str, tuple[nn.Module, Symmetry]]) -> None:
    of_norm = known["vit_qk_norm"][1]  # the values of its heads, not the queries behind their norm
    assert of_norm.mixable == {f"blocks.{i}.attn.qkv[0].inside" for i in range(2)}
    for name in ("experts", "grouped"):  # behind ReLUs
        network, symmetry = known[name]
        assert not symmetry.mixable
        state = network.state_dict()
        with pytest.raises(ValueError, match=r"the network has no heads whose queries meet keys"):
            map_heads(symmetry, state, state, identity_permutations(symmetry), list(state))


class Scaled(nn.Module):
    """Attention of two heads whose queries and keys have one scale a unit, or a bias that is added, or neither."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.qkv = nn.Linear(16, 24)
        self.scale = nn.Parameter(torch.rand(8)) if what else None
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(1)[:, :48].reshape(-1, 3, 16)).view(-1, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        if self.scale is not None:
            scale = self.scale.view(2, 1, 4)
            q = q * scale if self.what == "times" else (q.exp() if self.what == "exp" else q) + scale
        shares = ((q / 2) @ k.transpose(-2, -1)).softmax(-1)
        return self.out((shares @ v).transpose(1, 2).flatten(2)).mean(1)


@pytest.mark.parametrize(("what", "num_mixable"), [("", 2), ("plus", 2), ("times", 1), ("exp", 1)])
def test_a_scale_or_a_function_of_queries_forbids_to_mix_them(what: str, num_mixable: int) -> None:
    network = Scaled(what)
    symmetry = derive_symmetry(network, IMAGES.float())
    a, b = (scrambled(copy.deepcopy(network), seed).state_dict() for seed in (1, 2))
    assert len(symmetry.parents) == 2
    assert len(symmetry.mixable) == num_mixable
    mapped, _, maps = map_heads(symmetry, a, b, match_weights(symmetry, a, b, seed=0).permutations, list(a))
    assert maps.keys() == symmetry.mixable
    network.double()
    assert (output(network, mapped) - output(network, b)).abs().max() < 1e-9
    assert sum((mapped[name] - a[name]).square().sum() for name in a) < sum(
        (b[name] - a[name]).square().sum() for name in a
    )
