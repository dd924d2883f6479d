"""A small vocabulary for text columns of synthetic databases: words without order, and scales from low to high."""

from __future__ import annotations

import numpy as np

_VOCABULARY = """
amber anchor apple arrow autumn badge bamboo basin beacon birch blossom border bottle branch breeze bridge bronze
brook cabin camera canal candle canyon canvas carbon castle cedar cellar chapel cherry circle citrus clover coast
cobalt comet copper coral corner cotton crater creek crimson crystal dawn delta desert diamond dolphin drift eagle
ember engine estate fabric falcon feather fern field flame forest fossil fountain frost garden garnet glacier globe
golden granite grove harbor harvest hazel heron hill hollow honey horizon indigo island ivory jasmine jasper jungle
juniper kettle lagoon lantern laurel lemon lily linen lotus lunar magnet maple marble marina market meadow mercury
meteor mineral mirror mist morning mountain nectar nickel north oasis oak ocean olive onyx orange orbit orchard orchid
oyster paddle palace panel paper pearl pebble pepper pigeon pilot pine planet plaza pollen poppy prairie prism quarry
quartz quill raven reef ribbon ridge river robin rocket rose ruby saffron sage sail salmon sand sapphire scarlet
season shadow shell shore signal silver slate solar sparrow spring spruce stable station stone storm stream summit
sunset swift tempo temple thistle thunder tiger timber topaz tower trail tulip tundra valley vapor velvet village
violet walnut water wheat willow window winter wolf yellow zenith
"""
WORDS = tuple(_VOCABULARY.split())
SCALES = (
    ("no", "yes"),
    ("low", "medium", "high"),
    ("small", "medium", "large", "extra large"),
    ("minor", "moderate", "major", "critical"),
    ("basic", "standard", "premium"),
    ("bronze", "silver", "gold", "platinum"),
    ("beginner", "intermediate", "advanced", "expert"),
    ("cold", "cool", "mild", "warm", "hot"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("poor", "fair", "good", "very good", "excellent"),
    ("draft", "submitted", "approved", "shipped", "delivered"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("primary", "secondary", "bachelor", "master", "doctorate"),
)


def words(count: int, rng: np.random.Generator) -> list[str]:
    """`count` distinct words, two joined by a space where there are more than the vocabulary has.

    Raises:
        ValueError: for more than the pairs of the vocabulary.
    """
    if count <= len(WORDS):
        return [WORDS[i] for i in rng.permutation(len(WORDS))[:count]]
    pairs = rng.choice(len(WORDS) ** 2, size=count, replace=False)
    return [f"{WORDS[pair // len(WORDS)]} {WORDS[pair % len(WORDS)]}" for pair in pairs]
