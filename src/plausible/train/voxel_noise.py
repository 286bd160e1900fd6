"""Standard normal noise that belongs to the voxels of an image: a function of seed, channel and voxel alone.

Windows that overlap see the same value at the same voxel, in whatever order they come and wherever they are computed,
and no field of the whole image is kept in memory (ten channels on 512 x 512 x 300 voxels would be 3 GB): a window
computes its own part. Voxels are counted along the padded image; their counter is mixed with the seed to 64 random bits
(SplitMix64: Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), some of which give the length and some the angle of
a normal pair (Box & Muller 1958, doi:10.1214/aoms/1177706645).
"""

import math

import torch

from plausible.train.hooks import Place

STEP = 0x9E3779B97F4A7C15
MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
DIGITS = 24
"""Bits of a uniform number: as many as float32 holds. The noise therefore ends at ±5.9."""


def voxel_noise(
    seed: int, place: Place, *, shape: tuple[int, int, int], channels: int, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Noise `c x y z` of the window at a place in an image of this (padded) shape."""
    start = _mixed(torch.tensor(_signed(seed + STEP), device=device))
    return torch.stack([_normal(start, _counter(channel, place, shape, device)) for channel in range(channels)])


def _counter(channel: int, place: Place, shape: tuple[int, int, int], device: str | torch.device) -> torch.Tensor:
    """Number of every voxel of the window among all channels and voxels of the image."""
    counter = torch.tensor(channel, device=device)
    for part, size in zip(place, shape, strict=True):
        counter = counter[..., None] * size + torch.arange(part.start, part.stop, device=device)
    return counter


def _normal(start: torch.Tensor, counter: torch.Tensor) -> torch.Tensor:
    bits = _mixed(counter * _signed(STEP) + start)
    length = ((_shifted(bits, 64 - DIGITS) + 0.5) / 2**DIGITS).float()
    angle = (bits & (2**DIGITS - 1)).float() * (2 * math.pi / 2**DIGITS)
    return torch.sqrt(-2 * torch.log(length)) * torch.cos(angle)


def _mixed(bits: torch.Tensor) -> torch.Tensor:
    """Spread each bit over all 64; integers wrap."""
    for shift, factor in MIXERS:
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: torch.Tensor, by: int) -> torch.Tensor:
    """Shift to the right with zeros, as if there were no sign."""
    return (bits >> by) & (2 ** (64 - by) - 1)


def _signed(value: int) -> int:
    """The same 64 bits as a signed integer."""
    return (value + 2**63) % 2**64 - 2**63
