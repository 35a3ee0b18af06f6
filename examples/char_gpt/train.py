"""Trains a character-level GPT on an NVIDIA GPU, with Triton kernels of its own.

    python train.py                       the documentation that every CPython ships
    python train.py --text war.txt --steps 2000 --layers 6 --width 384 --heads 6

RMS norm, cross entropy and causal attention are the Triton kernels of kernels.py, forward and
backward; the rest is PyTorch. At the end it samples some text and times each kernel beside the same
operation in PyTorch.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import kernels
import torch
import torch.nn.functional as F
from torch import nn

DEVICE = "cuda"


class Norm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return kernels.rms_norm(x, self.weight)


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.mlp_norm = Norm(width)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.shrink = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.attention_norm(x))
        x = x + self.project(kernels.causal_attention(qkv, self.heads))
        return x + self.shrink(F.gelu(self.expand(self.mlp_norm(x))))


class GPT(nn.Module):
    def __init__(self, characters: int, context: int, layers: int, width: int, heads: int):
        super().__init__()
        self.context = context
        self.token = nn.Embedding(characters, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = Norm(width)
        self.head = nn.Linear(width, characters, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("project.weight", "shrink.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if deep else 0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Text:
    """A text as character numbers, the last tenth of it kept for validation."""

    def __init__(self, text: str):
        self.characters = sorted(set(text))
        number_of = {character: number for number, character in enumerate(self.characters)}
        data = torch.tensor([number_of[character] for character in text], dtype=torch.int64)
        split = len(data) * 9 // 10
        self.parts = {"train": data[:split], "validation": data[split:]}

    def batch(self, part: str, size: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        data = self.parts[part]
        starts = torch.randint(len(data) - context - 1, (size,)).tolist()
        x = torch.stack([data[start : start + context] for start in starts])
        y = torch.stack([data[start + 1 : start + context + 1] for start in starts])
        return (
            x.pin_memory().to(DEVICE, non_blocking=True),
            y.pin_memory().to(DEVICE, non_blocking=True),
        )

    def decode(self, numbers: list[int]) -> str:
        return "".join(self.characters[number] for number in numbers)


def python_documentation() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def learning_rate(step: int, steps: int, peak: float) -> float:
    warmup = max(1, steps // 20)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def loss_of(model: GPT, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        logits = model(x)
        return kernels.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))


@torch.no_grad()
def validation_loss(model: GPT, text: Text, options: argparse.Namespace) -> float:
    model.eval()
    batches = [text.batch("validation", options.batch, options.context) for _ in range(8)]
    losses = [loss_of(model, x, y).item() for x, y in batches]
    model.train()
    return statistics.mean(losses)


@torch.no_grad()
def sample(model: GPT, text: Text, prompt: str, length: int) -> str:
    known = [text.characters.index(c) for c in prompt if c in text.characters] or [0]
    tokens = torch.tensor([known], device=DEVICE)
    for _ in range(length):
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            logits = model(tokens[:, -model.context :])[:, -1, :]
        chances = F.softmax(logits.float() / 0.8, dim=-1)
        tokens = torch.cat([tokens, torch.multinomial(chances, 1)], dim=1)
    return text.decode(tokens[0].tolist())


class Progress:
    """A progress bar on a terminal, a line every tenth of the way anywhere else."""

    def __init__(self, steps: int):
        self.steps = steps
        self.bar = None
        if sys.stdout.isatty():
            try:
                from rich.progress import Progress as RichProgress
            except ImportError:
                return
            self.bar = RichProgress()
            self.task = self.bar.add_task("training", total=steps)
            self.bar.start()

    def update(self, step: int, loss: torch.Tensor, step_ms: float) -> None:
        every = max(1, self.steps // 10)
        if self.bar is not None:
            if step % 5 == 0 or step == self.steps:
                label = f"loss {loss.item():.3f}, {step_ms:.0f} ms a step"
                self.bar.update(self.task, completed=step, description=label)
        elif step % every == 0 or step in (1, self.steps):
            print(f"step {step:5d}  loss {loss.item():.3f}  {step_ms:7.1f} ms", flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def train(model: GPT, text: Text, options: argparse.Namespace) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    progress = Progress(options.steps)
    try:
        for step in range(1, options.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step - 1, options.steps, options.rate)
            x, y = text.batch("train", options.batch, options.context)
            begin.record()
            loss = loss_of(model, x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            end.record()
            end.synchronize()
            progress.update(step, loss.detach(), begin.elapsed_time(end))
    finally:
        progress.close()


def time_ms(functions: list[Callable[[], object]], repeats: int = 15) -> list[float]:
    """Median milliseconds of each function, measured in turns so that all see the same machine."""
    for function in functions:
        function()
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, samples in zip(functions, times, strict=True):
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            begin.record()
            function()
            end.record()
            torch.cuda.synchronize()
            samples.append(begin.elapsed_time(end))
    return [statistics.median(samples) for samples in times]


def torch_attention(qkv: torch.Tensor, heads: int) -> torch.Tensor:
    batch, length, triple_width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.transpose(1, 2).reshape(batch, length, triple_width // 3)


def kernel_table(options: argparse.Namespace, characters: int) -> None:
    rows, width, heads = options.batch * options.context, options.width, options.heads
    x = torch.randn(rows, width, device=DEVICE, requires_grad=True)
    weight = torch.ones(width, device=DEVICE, requires_grad=True)
    logits = torch.randn(rows, characters, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(characters, (rows,), device=DEVICE)
    qkv = torch.randn(
        (options.batch, options.context, 3 * width),
        device=DEVICE,
        dtype=torch.bfloat16,
        requires_grad=True,
    )
    cases: list[tuple[str, str, Callable[[], torch.Tensor], Callable[[], torch.Tensor]]] = [
        (
            "rms norm",
            f"{rows} x {width} f32",
            lambda: kernels.rms_norm(x, weight),
            lambda: F.rms_norm(x, (width,), weight, 1e-6),
        ),
        (
            "cross entropy",
            f"{rows} x {characters} bf16",
            lambda: kernels.cross_entropy(logits, targets),
            lambda: F.cross_entropy(logits.float(), targets),
        ),
        (
            "causal attention",
            f"{options.batch} x {heads} x {options.context} x {width // heads} bf16",
            lambda: kernels.causal_attention(qkv, heads),
            lambda: torch_attention(qkv, heads),
        ),
    ]
    print("\nmedian milliseconds, this run                         Triton     torch     ratio")
    for name, shape, ours, theirs in cases:
        upstream = torch.randn_like(ours())

        def backward(function: Callable[[], torch.Tensor], upstream: torch.Tensor = upstream):
            function().backward(upstream)

        forward_ms = time_ms([ours, theirs])
        both_ms = time_ms([lambda f=ours: backward(f), lambda f=theirs: backward(f)])
        for part, (ours_ms, theirs_ms) in (
            ("forward", forward_ms),
            ("forward + backward", both_ms),
        ):
            label = f"{name}, {part}"
            print(
                f"{label:36s} {shape:>22s} {ours_ms:8.3f}  {theirs_ms:8.3f}  "
                f"{theirs_ms / ours_ms:7.2f} x"
            )
            shape = ""


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="text file to learn (default: Python's docs)")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=128, help="characters seen at once")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--sample", type=int, default=300, help="characters to write at the end")
    parser.add_argument("--seed", type=int, default=1337)
    options = parser.parse_args()
    for name in ("steps", "layers", "width", "heads", "context", "batch"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if options.width % options.heads or options.width // options.heads not in (16, 32, 64, 128):
        parser.error("--width divided by --heads must be 16, 32, 64 or 128")
    if options.text is not None and not options.text.is_file():
        parser.error(f"--text {options.text}: there is no such file")
    return options


def main() -> None:
    options = parse_options()
    if not torch.cuda.is_available():
        sys.exit("train.py needs a CUDA device")
    torch.manual_seed(options.seed)

    raw = options.text.read_text(encoding="utf-8") if options.text else python_documentation()
    if len(raw) < 20 * (options.context + 2):
        sys.exit(f"the text has {len(raw)} characters, {20 * (options.context + 2)} are needed")
    text = Text(raw)
    model = GPT(
        len(text.characters), options.context, options.layers, options.width, options.heads
    ).to(DEVICE)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{torch.cuda.get_device_name()}: {parameters / 1e6:.2f} M parameters, "
        f"{len(raw):,} characters of {len(text.characters)} kinds, {options.steps} steps"
    )

    began = time.perf_counter()
    before = validation_loss(model, text, options)
    train(model, text, options)
    after = validation_loss(model, text, options)
    print(
        f"validation loss {before:.3f} -> {after:.3f}, {time.perf_counter() - began:.1f} s in total"
    )

    model.eval()
    if options.sample:
        print("\n" + sample(model, text, "The ", options.sample).strip() + "\n")
    kernel_table(options, len(text.characters))


if __name__ == "__main__":
    main()
