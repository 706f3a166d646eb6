"""The net of the sprite generator: a small UNet from noise and words to a 32x32 RGBA sprite (or 64x64: any size that 8 divides).

Rectified flow (Liu et al. 2022): x_t = (1 - t) * image + t * noise, and the net gives the velocity
noise - image. Inside it predicts the image (x0) and turns that into a velocity, so the graph always
gives v. x is [n,4,32,32] premultiplied RGBA in [-1,1]; a 2x2 pixel-unshuffle puts the UNet at 16, 8
and 4 px. Time and the pooled caption steer each block by adaptive group normalisation (adaGN,
Dhariwal & Nichol 2021); attention at 8 and 4 px has the tokens among its keys. A token is a word
vector plus its n-gram vectors (fastText, Bojanowski et al. 2017), those summed and divided by the
root of their number. A caption of zeros is "no caption", which classifier-free guidance needs
(Ho & Salimans 2022).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_T = 0.05


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a net; `steering` and `token` are the widths of those vectors."""

    words: int
    buckets: int
    channels: tuple[int, ...] = (48, 80, 112)
    steering: int = 192
    token: int = 128
    heads: int = 4

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 16 groups."""
    return nn.GroupNorm(16, channels)


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def zeroed(layer: Layer) -> Layer:
    """The layer, starting at zero, so that its block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Tokens(nn.Module):
    """Words [n,8], sub-words [n,8,12] -> token vectors [n,8,d], their presence [n,8] (1 or 0)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.words, shape.token)
        self.gram = nn.Embedding(shape.buckets + 1, shape.token)
        nn.init.normal_(self.word.weight, std=0.5)
        nn.init.normal_(self.gram.weight, std=0.5)

    def forward(self, words: Tensor, subwords: Tensor) -> tuple[Tensor, Tensor]:
        filled = (subwords > 0).to(self.gram.weight.dtype)
        count = filled.sum(2, keepdim=True)
        grams = (self.gram(subwords) * filled[..., None]).sum(2) / count.clamp(min=1).sqrt()
        known = (words > 0).to(grams.dtype)[..., None]
        return grams + self.word(words) * known, (count[..., 0] > 0).to(grams.dtype)


class Steering(nn.Module):
    """Time [n] and tokens -> the vector [n,e] that steers every block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.time = nn.Sequential(
            nn.Linear(128, shape.steering), nn.SiLU(), nn.Linear(shape.steering, shape.steering)
        )
        self.text = nn.Sequential(
            nn.Linear(shape.token, shape.steering),
            nn.SiLU(),
            nn.Linear(shape.steering, shape.steering),
        )
        self.register_buffer("rates", torch.exp(-math.log(1000.0) * torch.arange(64) / 64) * 1000)

    def forward(self, t: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        angles = t[:, None] * self.rates[None]
        pooled = (tokens * present[..., None]).sum(1) / present.sum(1, keepdim=True).clamp(
            min=1
        ).sqrt()
        return F.silu(self.time(torch.cat([angles.cos(), angles.sin()], 1)) + self.text(pooled))


class Block(nn.Module):
    """Residual block [n,ci,h,w] -> [n,co,h,w]; steering scales and shifts its second norm (adaGN)."""

    def __init__(self, ci: int, co: int, steering: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(ci), nn.Conv2d(ci, co, 3, padding=1)
        self.steer = nn.Linear(steering, 2 * co)
        self.norm2, self.conv2 = norm(co), zeroed(nn.Conv2d(co, co, 3, padding=1))
        self.skip = nn.Conv2d(ci, co, 1) if ci != co else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.steer(e)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class Attention(nn.Module):
    """Attention of pixels over pixels and tokens; absent tokens get a weight of e^-10000."""

    def __init__(self, channels: int, token: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.kv = nn.Linear(token, 2 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def split(self, z: Tensor) -> Tensor:
        """[n,l,c] -> [n,heads,l,c/heads]."""
        return z.unflatten(-1, (self.heads, z.shape[-1] // self.heads)).transpose(1, 2)

    def forward(self, x: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(pixels).chunk(3, -1)
        k_text, v_text = self.kv(tokens).chunk(2, -1)
        k, v = torch.cat([k, k_text], 1), torch.cat([v, v_text], 1)
        q, k, v = self.split(q), self.split(k), self.split(v)
        bias = torch.cat([torch.zeros_like(pixels[..., 0]), (present - 1) * 1e4], 1)[:, None, None]
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        seen = (weights @ v).transpose(1, 2).flatten(2)
        return x + self.out(seen).transpose(1, 2).unflatten(2, x.shape[2:])


class Level(nn.Module):
    """A block, followed by attention where the level has it."""

    def __init__(self, ci: int, co: int, shape: Shape, attends: bool) -> None:
        super().__init__()
        self.block = Block(ci, co, shape.steering)
        self.attention = Attention(co, shape.token, shape.heads) if attends else None

    def forward(self, x: Tensor, e: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        x = self.block(x, e)
        return x if self.attention is None else self.attention(x, tokens, present)


class Net(nn.Module):
    """x [n,4,32,32], t [n], words [n,8], subwords [n,8,12] -> v [n,4,32,32]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        c = shape.channels
        last = len(c) - 1
        self.tokens, self.steering = Tokens(shape), Steering(shape)
        self.first = nn.Conv2d(16, c[0], 3, padding=1)
        self.down = nn.ModuleList(
            Level(c[max(i - 1, 0)], c[i], shape, i > 0) for i in range(len(c))
        )
        self.shrink = nn.ModuleList(
            nn.Conv2d(c[i], c[i], 3, stride=2, padding=1) for i in range(last)
        )
        self.middle = Level(c[last], c[last], shape, True)
        self.middle_out = Block(c[last], c[last], shape.steering)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for i in range(last, -1, -1):
            above, below = c[min(i + 1, last)], c[max(i - 1, 0)]
            self.up.append(Level(above + c[i], c[i], shape, i > 0))
            self.up.append(Level(c[i] + below, c[i], shape, i > 0))
            if i > 0:
                self.grow.append(nn.Conv2d(c[i], c[i], 3, padding=1))
        self.last_norm = norm(c[0])
        self.last = zeroed(nn.Conv2d(c[0], 16, 3, padding=1))

    def image(self, x: Tensor, t: Tensor, words: Tensor, subwords: Tensor) -> Tensor:
        """The net's guess of the clean image, [n,4,32,32]."""
        tokens, present = self.tokens(words, subwords)
        e = self.steering(t, tokens, present)
        h = self.first(F.pixel_unshuffle(x, 2))
        kept = [h]
        for i, level in enumerate(self.down):
            h = level(h, e, tokens, present)
            kept.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
                kept.append(h)
        h = self.middle_out(self.middle(h, e, tokens, present), e)
        for j, level in enumerate(self.up):
            h = level(torch.cat([h, kept.pop()], 1), e, tokens, present)
            if j % 2 and j // 2 < len(self.grow):
                h = self.grow[j // 2](F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.last(F.silu(self.last_norm(h))), 2)

    def forward(self, x: Tensor, t: Tensor, words: Tensor, subwords: Tensor) -> Tensor:
        guess = self.image(x, t, words, subwords).to(x.dtype)
        return (x - guess) / t.clamp(min=SMALLEST_T)[:, None, None, None]
