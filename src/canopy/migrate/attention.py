"""flash-attn's functions as torch's `scaled_dot_product_attention`, where they are equal.

    flash_attn_func(q, k, v, softmax_scale=s)
    scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                 scale=s, enable_gqa=True).transpose(1, 2).contiguous()

flash-attn's tensors are (batch, sequence, heads, size), torch's have heads before the sequence;
keys with fewer heads are shared in the same order by both; the default scale is the same. What is
not provably equal, and stays a suggestion: causal masks where queries and keys may differ in length
(flash-attn's mask ends at the lower right corner, torch's begins at the upper left), dropout (other
random numbers), windows, ALiBi, soft caps, returned probabilities, batches of varying length.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

__all__ = ["IMPORT", "SDPA", "attention_call"]

SDPA = "scaled_dot_product_attention"
IMPORT = f"from torch.nn.functional import {SDPA}"
_PARAMETERS = {
    "flash_attn_func": ("q", "k", "v"),
    "flash_attn_qkvpacked_func": ("qkv",),
    "flash_attn_kvpacked_func": ("q", "kv"),
}
_OPTIONS = ("dropout_p", "softmax_scale", "causal")
# Options that change nothing with these values; any other value stops the rewrite.
_WITHOUT_EFFECT = {
    "window_size": ("(-1,-1)",),
    "softcap": ("0.0", "0"),
    "alibi_slopes": ("None",),
    "return_attn_probs": ("False",),
    "dropout_p": ("0.0", "0", "0."),
}
_NO_MATTER = frozenset({"deterministic"})  # how gradients are summed


@dataclass(frozen=True)
class _Call:
    """The arguments of a call, as text, by name."""

    function: str
    given: dict[str, str]

    @property
    def is_causal(self) -> str:
        return self.given.get("causal", "False")

    @property
    def is_packed(self) -> bool:
        return "qkv" in self.given


def attention_call(dotted: str, call: cst.Call, module: cst.Module) -> str | None:
    """The text that replaces the call; None where the two are not provably equal."""
    made = _read(dotted.rpartition(".")[2], call, module)
    if made is None or not _is_plain(made):
        return None
    tensors = _tensors(made)
    options = []
    if made.is_causal != "False":
        options.append(f"is_causal={made.is_causal}")
    scale = made.given.get("softmax_scale", "None")
    if scale != "None":
        options.append(f"scale={scale}")
    if not made.is_packed:
        options.append("enable_gqa=True")
    arguments = ", ".join([*tensors, *options])
    return f"{SDPA}({arguments}).transpose(1, 2).contiguous()"


def _read(function: str, call: cst.Call, module: cst.Module) -> _Call | None:
    names = _PARAMETERS.get(function)
    if names is None or any(argument.star for argument in call.args):
        return None
    names = (*names, *_OPTIONS)
    positional = [argument for argument in call.args if argument.keyword is None]
    if len(positional) > len(names):
        return None
    given = {
        name: module.code_for_node(argument.value)
        for name, argument in zip(names, positional, strict=False)
    }
    for argument in call.args:
        if argument.keyword is not None:
            given[argument.keyword.value] = module.code_for_node(argument.value)
    if "#" in module.code_for_node(call):
        return None  # a comment would be lost
    if any(name not in given for name in _PARAMETERS[function]):
        return None
    return _Call(function, given)


def _is_plain(call: _Call) -> bool:
    """Whether every option is one that torch's function has with the same meaning."""
    known = {*_PARAMETERS[call.function], "softmax_scale", "causal", *_NO_MATTER}
    for name, text in call.given.items():
        if name in known:
            continue
        if text.replace(" ", "") not in _WITHOUT_EFFECT.get(name, ()):
            return False
    # Of one packed tensor queries and keys have one length, and both masks are the same.
    return call.is_causal == "False" or call.is_packed


def _tensors(call: _Call) -> list[str]:
    found = []
    for name in _PARAMETERS[call.function]:
        text = call.given[name]
        text = text if text.replace(".", "").replace("_", "").isalnum() else f"({text})"
        if name in ("qkv", "kv"):
            found.append(f"*(part.transpose(1, 2) for part in {text}.unbind(dim=2))")
        else:
            found.append(f"{text}.transpose(1, 2)")
    return found
