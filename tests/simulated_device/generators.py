"""Makes generators of random numbers that belong to a card."""

import torch

PLAIN_GENERATOR = torch.Generator
CARDS_OF_GENERATORS: dict[int, "CardGenerator"] = {}
"""Address of a generator in C++, which makes new Python objects for it -> the generator of a card."""


class CardGenerator(PLAIN_GENERATOR):
    """A generator that says it is on a card."""

    index: int
    device = property(lambda self: torch.device("cuda", self.index))


def generator_on(index: int) -> CardGenerator:
    """Make a generator of a card."""
    generator = CardGenerator()
    generator.manual_seed(0)
    generator.index = index
    CARDS_OF_GENERATORS[generator._cdata] = generator
    return generator


def card_of(generator: torch.Generator) -> int:
    """Return the card of a generator; -1: it is on the CPU."""
    found = CARDS_OF_GENERATORS.get(generator._cdata)
    return -1 if found is None else found.index
