"""Named random streams differ from each other and are the same every time."""

import torch

from lmc_mlflow.seeds import derive_seed, global_stream, stream


def test_no_two_streams_of_many_share_a_seed() -> None:
    seeds = {derive_seed(s, name, i) for s in range(20) for name in ("order", "flip", "dropout") for i in range(50)}
    assert len(seeds) == 20 * 3 * 50


def test_seed_0_epoch_1_is_not_seed_1_epoch_0() -> None:
    assert derive_seed(0, "order", 1) != derive_seed(1, "order", 0)


def test_a_stream_never_changes_between_versions() -> None:
    # half of the first 8 bytes of `printf 1/order/3 | sha256sum`, read from the little end
    assert derive_seed(1, "order", 3) == 6344472847082523721
    assert torch.equal(torch.rand(3, generator=stream(1, "order", 3)), torch.rand(3, generator=stream(1, "order", 3)))


def test_a_global_stream_leaves_the_caller_s_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with global_stream(9, torch.device("cpu")):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)
