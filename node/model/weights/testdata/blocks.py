"""Writes blocks.json: random blocks of every number format, and what the reference (PyPI's gguf 0.19 and numpy) decodes them to.

    python -m venv v && v/bin/pip install gguf==0.19.0 && v/bin/python blocks.py > blocks.json
"""
import base64
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants

rng = np.random.default_rng(7)
# Offsets of the binary16 scales in a block, which must be finite.
scales = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
out = {}


def add(name, raw, values):
    b64 = lambda a: base64.b64encode(a.tobytes()).decode()
    out[name] = {"raw": b64(raw), "values": b64(values.astype("<f4"))}


for name, offsets in scales.items():
    size, each = GGML_QUANT_SIZES[T[name]]
    raw = rng.integers(0, 256, size=(3 if size == 256 else 8, each), dtype=np.uint8)
    for at in offsets:
        raw[:, at : at + 2] = rng.normal(scale=0.02, size=len(raw)).astype("<f2").view(np.uint8).reshape(-1, 2)
    add(name, raw, quants.dequantize(raw, T[name]).reshape(-1))

half = np.concatenate([np.arange(0, 1 << 16, 97), [0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0xFC00, 0x8000, 0x8001]]).astype("<u2")
add("F16", half, half.view("<f2").astype("<f4"))
brain = rng.integers(0, 0x7F80, size=64).astype("<u2")
add("BF16", brain, quants.dequantize(brain.view(np.uint8), T.BF16))
double = rng.normal(size=32)
add("F64", double, double)
single = rng.normal(size=32).astype("<f4")
add("F32", single, single)
print(json.dumps(out, indent=0))
