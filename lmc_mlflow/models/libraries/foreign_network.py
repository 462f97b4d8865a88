"""Ends a network that somebody else has written with the output module."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.fx import Proxy


class Logarithm(nn.Module):
    """Turns probabilities into numbers that the output module takes: logarithms, or log-odds of several labels.

    Args:
        output: what the network gives in the end, as in `NetworkSpec.output`.
    """

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """Map probabilities (N, K) to (N, K); zeros count as the smallest number that has a logarithm."""
        smallest = torch.finfo(torch.float32).tiny
        logarithm = x.clamp_min(smallest).log()
        return logarithm if self.output == "log_probabilities" else logarithm - (1 - x).clamp_min(smallest).log()


GIVES: Mapping[str, Callable[[str], nn.Module] | None] = {
    "logits": None,
    "log_probabilities": None,
    "probabilities": Logarithm,
}
"""What a network returns -> what makes logits of it; log-softmax leaves log-probabilities as they are."""


class ForeignNetwork(nn.Module):
    """A network that returns logits, of a library or of a user, followed by the output module.

    Attributes:
        body: the network.
        output: log-softmax, or nothing.
    """

    def __init__(self, body: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.output = output

    def given(self, x: Tensor) -> Tensor:
        """Return what the network itself gives for images (N, C, H, W): (N, K)."""
        out: Tensor = logits_of(self.body(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to (N, K)."""
        out: Tensor = self.output(self.given(x))
        return out


def logits_of(answer: object) -> Tensor:
    """Find the logits in what a network returns.

    Args:
        answer: a tensor, an object or a mapping with `logits`, or a tuple whose first item is a tensor.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(answer, Tensor | Proxy):  # a proxy stands for a tensor while the network is traced
        return answer  # type: ignore[return-value]
    named = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    if isinstance(named, Tensor):
        return named
    if isinstance(answer, tuple) and answer and isinstance(answer[0], Tensor):
        return answer[0]
    raise ValueError(
        f"it returns a {type(answer).__name__} without logits; return a tensor, or something with a tensor `logits`"
    )


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device, which holds shapes and no numbers, or on the CPU if its code reads numbers.

    Args:
        build: what builds it; PyTorch's generator is as before afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build()
        except NotImplementedError:  # "Cannot copy out of meta tensor; no data!"
            return build()
