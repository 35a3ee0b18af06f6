"""Generates tokens with Hugging Face's GPT-2 on an NVIDIA GPU.

    python generate.py --layers 12 --width 768 --tokens 64

The model is built from its configuration with random weights, so nothing is downloaded and what it
writes means nothing; the point is that the whole generation loop runs.
"""

from __future__ import annotations

import argparse
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=48, help="tokens to generate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    device = torch.device("cuda:0")
    torch.cuda.set_device(device)
    torch.manual_seed(options.seed)
    torch.cuda.manual_seed_all(options.seed)

    config = GPT2Config(n_layer=options.layers, n_embd=options.width, n_head=options.heads)
    model = GPT2LMHeadModel(config).cuda().eval()
    print(
        f"{torch.cuda.get_device_name(device)}: GPT-2 with {options.layers} layers, "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters"
    )

    prompt = torch.randint(config.vocab_size, (options.batch, 16), device="cuda")
    torch.cuda.synchronize()
    began = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=options.tokens,
            min_new_tokens=options.tokens,
            do_sample=True,
            top_k=50,
            pad_token_id=config.eos_token_id,
        )
    torch.cuda.synchronize()
    elapsed_s = time.perf_counter() - began

    assert output.is_cuda
    assert output.shape == (options.batch, prompt.shape[1] + options.tokens)
    for row in output.cpu().tolist():
        print(" ".join(str(token) for token in row[prompt.shape[1] :][:16]), "...")
    rate = options.batch * options.tokens / elapsed_s
    print(f"{options.batch} x {options.tokens} tokens in {elapsed_s:.2f} s: {rate:.1f} a second")


if __name__ == "__main__":
    main()
