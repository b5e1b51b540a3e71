"""The colours of models can be told apart with a colour-vision deficiency."""

import itertools

import numpy as np
import pytest

from nmbench.report.model_styles import COLOURS

# What dichromats see, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(colour, vision):
    """CIELAB of "#rrggbb", as seen with this vision."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    t = XYZ @ np.clip(VISION[vision] @ linear, 0, 1) / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one, other):
    """CIEDE2000 of two colours in CIELAB (Sharma, Wu and Dalal 2005)."""
    both = np.array([one, other], float)
    g = (1 - np.sqrt((c := np.hypot(*both[:, 1:].T).mean() ** 7) / (c + 25**7))) / 2
    a, b = both[:, 1] * (1 + g), both[:, 2]
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    turn = (hue[1] - hue[0] + 180) % 360 - 180
    light, c, h = both[:, 0].mean(), chroma.mean(), (hue[0] + turn / 2) % 360
    cosine = lambda times, shift: np.cos(np.radians(times * h + shift))
    t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6) - 0.2 * cosine(4, -63)
    dl = (both[1, 0] - both[0, 0]) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (chroma[1] - chroma[0]) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(chroma.prod()) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * c * t)
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25**7)) * np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(vision, mode):
    """A difference of about 2 is just visible."""
    found = {one[mode]: lab(one[mode], vision) for one in COLOURS}
    pairs = {pair: difference(found[pair[0]], found[pair[1]]) for pair in itertools.combinations(found, 2)}
    closest = min(pairs, key=pairs.get)
    assert pairs[closest] > (20 if vision == "normal" else 7), (closest, pairs[closest])


def test_differences_are_those_of_the_publication():
    assert difference((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert difference((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514)) == pytest.approx(0.9082, abs=1e-4)
    assert difference((50, 2.5, 0), (58, 24, 15)) == pytest.approx(19.4535, abs=1e-4)
