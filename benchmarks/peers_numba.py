"""The same work in numba: plain loops, `prange` over rows, no fastmath. The last arguments are
outputs."""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import prange

PARTS = 64  # of a search or count whose results are joined at the end

parallel = numba.njit(parallel=True, cache=True)


@parallel
def add(x, y, out):
    for i in prange(x.size):
        out[i] = x[i] + y[i]


@parallel
def gelu_bias(x, bias, out):
    half, root = np.float32(0.5), np.float32(0.7071067811865476)
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            value = x[i, j] + bias[j]
            out[i, j] = half * value * (np.float32(1) + np.float32(math.erf(value * root)))


@parallel
def swiglu(gate, up, out):
    for i in prange(gate.shape[0]):
        for j in range(gate.shape[1]):
            value = gate[i, j]
            out[i, j] = value / (np.float32(1) + np.exp(-value)) * up[i, j]


@parallel
def rope(x, cos, sin, out):
    half = cos.shape[1]
    for token in prange(x.shape[0]):
        for head in range(x.shape[1]):
            for i in range(half):
                first, second = x[token, head, i], x[token, head, i + half]
                out[token, head, i] = first * cos[token, i] - second * sin[token, i]
                out[token, head, i + half] = second * cos[token, i] + first * sin[token, i]


@parallel
def softmax(x, out):
    for i in prange(x.shape[0]):
        peak = x[i, 0]
        for j in range(x.shape[1]):
            peak = max(peak, x[i, j])
        total = np.float32(0)
        for j in range(x.shape[1]):
            power = np.exp(x[i, j] - peak)
            out[i, j] = power
            total += power
        for j in range(x.shape[1]):
            out[i, j] /= total


@parallel
def layer_norm(x, weight, bias, eps, out):
    n = x.shape[1]
    for i in prange(x.shape[0]):
        total = np.float32(0)
        for j in range(n):
            total += x[i, j]
        mean = np.float32(total / n)
        squares = np.float32(0)
        for j in range(n):
            squares += (x[i, j] - mean) * (x[i, j] - mean)
        rstd = np.float32(1 / math.sqrt(squares / n + eps))
        for j in range(n):
            out[i, j] = (x[i, j] - mean) * rstd * weight[j] + bias[j]


@parallel
def rms_norm(x, weight, eps, out):
    n = x.shape[1]
    for i in prange(x.shape[0]):
        squares = np.float32(0)
        for j in range(n):
            squares += x[i, j] * x[i, j]
        rstd = np.float32(1 / math.sqrt(squares / n + eps))
        for j in range(n):
            out[i, j] = x[i, j] * rstd * weight[j]


@parallel
def cross_entropy(logits, targets, losses):
    for i in prange(logits.shape[0]):
        peak = logits[i, 0]
        for j in range(logits.shape[1]):
            peak = max(peak, logits[i, j])
        total = np.float32(0)
        for j in range(logits.shape[1]):
            total += np.exp(logits[i, j] - peak)
        losses[i] = peak + np.log(total) - logits[i, targets[i]]


@parallel
def matrix_vector(weight, x, out):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[0, j]
        out[0, i] = total


@numba.njit(cache=True)
def cumsum(x, out):
    total = 0.0
    for i in range(x.size):
        total += x[i]
        out[i] = total


@parallel
def argmax(x, out):
    parts = PARTS
    best = np.empty(parts, np.int64)
    for part in prange(parts):
        first, last = x.size * part // parts, x.size * (part + 1) // parts
        where = first
        for i in range(first, last):
            if x[i] > x[where]:
                where = i
        best[part] = where
    where = best[0]
    for part in range(1, parts):
        if x[best[part]] > x[where]:
            where = best[part]
    out[0] = where


@parallel
def histogram(x, out):
    parts = PARTS
    counts = np.zeros((parts, out.size), np.int32)
    for part in prange(parts):
        for i in range(x.size * part // parts, x.size * (part + 1) // parts):
            counts[part, x[i]] += 1
    for bin in range(out.size):
        out[bin] = counts[:, bin].sum()


@parallel
def sort_rows(x, out):
    for i in prange(x.shape[0]):
        out[i, :] = np.sort(x[i])


@parallel
def embedding(table, indices, out):
    for i in prange(indices.size):
        for j in range(table.shape[1]):
            out[i, j] = table[indices[i], j]
