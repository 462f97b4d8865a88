"""Ends a network that somebody else has written with the output module."""

from torch import Tensor, nn


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

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to (N, K)."""
        out: Tensor = self.output(self.body(x))
        return out
