"""How much slower a small-transformer training loop is under the redirect than the same loop edited
to "cpu".

Both loops run in this process, in turn, several times; the ratio of the best rounds is printed. The
first line leaves the choice of optimizer implementation to torch, as most programs do; the second
and third fix the same one on both sides.

    python benchmarks/redirect_overhead.py [--steps 20] [--rounds 7] [--width 128]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import nn

from canopy import cuda_as

VOCABULARY, CONTEXT, BATCH = 96, 64, 16


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, dim=2)
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in parts)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A small character-level language model."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(layers))
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def train(device: str, steps: int, width: int, layers: int, **choice: bool) -> float:
    """Seconds for ``steps`` steps, set-up and two warm-up steps left out."""
    torch.manual_seed(0)
    model = Transformer(width, layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, **choice)
    data = torch.randint(VOCABULARY, (BATCH * 8, CONTEXT + 1))
    start_s = 0.0
    for step in range(steps + 2):
        if step == 2:
            start_s = time.perf_counter()
        batch = data[torch.randint(len(data), (BATCH,))].to(device)
        logits = model(batch[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    loss.item()
    return time.perf_counter() - start_s


def main() -> None:
    """Prints both times per step and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    for choice in ({}, {"foreach": False}, {"fused": True}):
        compare(options, choice)


def compare(options: argparse.Namespace, choice: dict[str, bool]) -> None:
    """Prints the times of both loops with one choice of optimizer implementation."""
    size = (options.steps, options.width, options.layers)
    edited, redirected = [], []
    for _ in range(options.rounds):
        edited.append(train("cpu", *size, **choice))
        with cuda_as("cpu"):
            redirected.append(train("cuda", *size, **choice))
    plain_ms, ours_ms = (min(t) / options.steps * 1e3 for t in (edited, redirected))
    print(
        f"small transformer, width {options.width}, {options.layers} layers, "
        f"{torch.get_num_threads()} threads, AdamW({', '.join(choice) or 'default'}): "
        f'"cpu" {plain_ms:.2f} ms/step, redirected {ours_ms:.2f} ms/step, '
        f"ratio {ours_ms / plain_ms:.3f}"
    )


if __name__ == "__main__":
    main()
