"""SGD noise comes from named streams, or equals the paper's random draws bit by bit."""

from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import RandomHorizontalFlip

from lmc_mlflow.config.train_pair import NoiseConfig
from lmc_mlflow.training.noise import NoiseStream, initialization_seeds, noise_stream
from lmc_mlflow.training.noise_trace import noise_check, noise_digest, trace_epoch

CPU = torch.device("cpu")
N, BATCH = 53, 8


def draws(stream: NoiseStream, epoch: int, flips: bool = True, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    """An epoch's order, and its flips and one dropout draw a batch in one line."""
    with stream.epoch(epoch, n, BATCH, flips) as epoch_draws:
        seen = [(flipped, torch.rand(2)) for _, flipped in epoch_draws.batches()]
    parts = [torch.cat([f.float(), d]) if f is not None else d for f, d in seen]
    return epoch_draws.order, torch.cat(parts)


def named(noise: str, side: str, seed: int = 1, noise_seed: int | None = None) -> NoiseStream:
    return noise_stream(NoiseConfig(noise=noise, noise_seed=noise_seed), seed, side, CPU)


def equal(x: tuple[torch.Tensor, ...], y: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(x, y, strict=True))


def test_the_same_noise_is_the_same_on_both_sides_and_different_noise_is_not() -> None:
    assert equal(draws(named("same", "A"), 1), draws(named("same", "B"), 1))
    a, b = draws(named("different", "A"), 1), draws(named("different", "B"), 1)
    assert not torch.equal(a[0], b[0])
    assert not torch.equal(a[1], b[1])


def test_noise_differs_between_epochs_and_between_seeds() -> None:
    orders = [draws(named("same", "A", seed), epoch)[0].tolist() for seed in (0, 1) for epoch in (1, 2)]
    assert len({tuple(order) for order in orders}) == 4


def test_the_noise_seed_decides_the_noise_whatever_the_seed_of_the_initialization() -> None:
    assert equal(draws(named("same", "A", seed=1, noise_seed=5), 1), draws(named("same", "A", seed=2, noise_seed=5), 1))


def test_taking_flips_away_changes_neither_order_nor_dropout() -> None:
    with_flips, without = draws(named("same", "A"), 1, flips=True), draws(named("same", "A"), 1, flips=False)
    assert torch.equal(with_flips[0], without[0])
    assert torch.equal(with_flips[1][-2:], without[1][-2:])


def test_every_sample_is_seen_once_an_epoch() -> None:
    assert sorted(draws(named("same", "A"), 3)[0].tolist()) == list(range(N))


class Positions(Dataset):
    """Item i is i and an image whose flip shows."""

    def __init__(self) -> None:
        self.flip = RandomHorizontalFlip()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[int, torch.Tensor]:
        return i, self.flip(torch.tensor([[[0.0, 1.0]]]))


def loader_epochs(
    reset: bool, start: int, epochs: int, first_epoch: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Algorithm 1 with its DataLoader, "for epoch = 0 to n": order, and flips and a dropout draw batch by batch."""
    train, test = DataLoader(Positions(), BATCH, shuffle=True), DataLoader(range(3), BATCH)
    torch.manual_seed(start)
    for epoch in range(first_epoch, first_epoch + epochs):
        if reset:
            torch.manual_seed(epoch)
        order, parts = [], []
        for positions, images in train:
            order.append(positions)
            flipped = images[:, 0, 0, 0] == 1.0
            parts.append(torch.cat([flipped.float(), torch.rand(2)]))
        for _ in test:
            pass
        yield torch.cat(order), torch.cat(parts)


@pytest.mark.parametrize(("noise", "side", "start"), [("same", "B", 1), ("different", "A", 1), ("different", "B", 101)])
def test_paper_noise_replays_the_loader_draw_for_draw(noise: str, side: str, start: int) -> None:
    stream = noise_stream(NoiseConfig(noise=noise, noise_scope="paper"), 1, side, CPU)
    with torch.random.fork_rng():
        for epoch, expected in enumerate(loader_epochs(noise == "same", start, 4), start=1):
            assert equal(draws(stream, epoch), expected), f"epoch {epoch}"


def test_the_reading_of_earlier_versions_seeds_the_first_epoch_with_1() -> None:
    earlier = noise_stream(NoiseConfig(noise_scope="paper", paper_first_epoch=1), 1, "A", CPU)
    printed = noise_stream(NoiseConfig(noise_scope="paper"), 1, "A", CPU)
    with torch.random.fork_rng():
        for epoch, expected in enumerate(loader_epochs(True, 1, 3, first_epoch=1), start=1):
            assert equal(draws(earlier, epoch), expected), f"epoch {epoch}"
            assert equal(draws(printed, epoch + 1), expected), f"epoch {epoch}"
    assert not torch.equal(draws(earlier, 1)[0], draws(printed, 1)[0])


@pytest.mark.parametrize("seed", [1, 20])
def test_the_initialization_of_a_seed_shares_its_stream_with_the_epoch_that_the_loop_gives_its_number(
    seed: int,
) -> None:
    (initial, _) = initialization_seeds("same", "paper", seed)
    stream = noise_stream(NoiseConfig(noise_scope="paper"), seed, "A", CPU)
    with torch.random.fork_rng():
        torch.manual_seed(initial)
        first_draws = torch.empty((), dtype=torch.int64).random_(), torch.empty((), dtype=torch.int64).random_()
    sampler = torch.Generator().manual_seed(int(first_draws[1].item()))
    assert torch.equal(draws(stream, seed + 1)[0], torch.randperm(N, generator=sampler))
    assert not torch.equal(draws(stream, seed)[0], draws(stream, seed + 1)[0])


def test_different_paper_noise_continues_from_a_kept_state() -> None:
    config = NoiseConfig(noise="different", noise_scope="paper")
    whole, first, second = (noise_stream(config, 1, "B", CPU) for _ in range(3))
    expected = [draws(whole, epoch) for epoch in (1, 2, 3)]
    draws(first, 1)
    second.restore(first.state())
    assert equal(draws(second, 2), expected[1])
    assert equal(draws(second, 3), expected[2])


def test_paper_order_is_the_same_for_every_seed() -> None:
    config = NoiseConfig(noise_scope="paper")
    assert equal(draws(noise_stream(config, 1, "A", CPU), 7), draws(noise_stream(config, 500, "A", CPU), 7))


def test_initializations_are_shared_or_not_as_asked() -> None:
    assert initialization_seeds("same", "paper", 20) == (20, 20)
    assert initialization_seeds("different", "paper", 20) == (20, 120)
    first, second = initialization_seeds("different", "run", 20)
    assert first != second
    assert initialization_seeds("same", "run", 20) == (first, first)


def test_the_noise_check_compares_the_sides_and_shows_the_tenth_batch() -> None:
    labels = torch.arange(200) % 7

    def traces(noise: str, side: str) -> list:
        stream, found = named(noise, side), []
        for epoch in (1, 2):
            with stream.epoch(epoch, 200, 12, True) as epoch_draws:
                list(epoch_draws.batches())
            found.append(trace_epoch(epoch, epoch_draws, labels))
        return found

    same = {side: traces("same", side) for side in "AB"}
    check = noise_check(same)
    assert check["same_positions"]
    assert check["same_labels"]
    assert check["same_flips"]
    with named("same", "A").epoch(1, 200, 12, True) as epoch_draws:
        tenth = labels[epoch_draws.order[108:120]][:10].tolist()
    found = check["first_10_labels_of_batch_10"]
    assert found["epoch_1"] == {"A": tenth, "B": tenth}
    assert list(found) == ["epoch_1", "epoch_2"]  # "epochs 1 and 20" of a loop from 0 are the 2nd and the 21st
    assert "epochs and batches are counted from 1" in check["note"]
    assert noise_digest(same["A"]) == noise_digest(same["B"])
    other = noise_check({side: traces("different", side) for side in "AB"})
    assert not other["same_positions"]
    assert not other["same_flips"]


def test_epochs_too_short_for_a_tenth_batch_show_none() -> None:
    with named("same", "A").epoch(1, 20, 10, False) as epoch_draws:
        list(epoch_draws.batches())
    trace = trace_epoch(1, epoch_draws, torch.zeros(20, dtype=torch.int64))
    assert trace.labels_of_batch_10 is None
    assert trace.flips == ""
