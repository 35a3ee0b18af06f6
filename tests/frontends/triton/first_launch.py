"""A script whose first launch has no grid; test_errors.py runs it."""

import os

os.environ["TRITON_DEFAULT_BACKEND"] = "cpu"

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x):
    tl.store(x, 1)


if __name__ == "__main__":
    x = torch.zeros(1)
    kernel[()](x)
