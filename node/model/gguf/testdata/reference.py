"""Writes reference.gguf, a file with every kind of value and tensors of some formats, and reference.json, what is in the tensors, with
the reference implementation (PyPI's gguf 0.19 and numpy).

    python -m venv v && v/bin/pip install gguf==0.19.0 && v/bin/python reference.py
"""
import json

import numpy as np
from gguf import GGMLQuantizationType as T, GGUFValueType as V, GGUFWriter, quants

rng = np.random.default_rng(3)
w = GGUFWriter("reference.gguf", "llama")
w.add_custom_alignment(64)
for kind, x in [
    (V.UINT8, 200), (V.INT8, -100), (V.UINT16, 60000), (V.INT16, -30000), (V.UINT32, 4000000000), (V.INT32, -2000000000),
    (V.UINT64, 1 << 40), (V.INT64, -(1 << 40)), (V.FLOAT32, 0.1), (V.FLOAT64, 0.1), (V.BOOL, True), (V.STRING, "žluťoučký kůň"),
]:
    w.add_key_value("test." + kind.name.lower(), x, kind)
w.add_array("test.texts", ["a", "", "Ġ t", "日本"])
w.add_array("test.ints", [1, -2, 3])
w.add_array("test.floats", [0.5, 0.25])
values = {}
for name, kind, shape in [
    ("token_embd.weight", T.Q8_0, (3, 64)), ("blk.0.ffn_up.weight", T.Q4_1, (5, 32)), ("blk.0.ffn_down.weight", T.Q4_0, (4, 32)),
    ("blk.0.attn_q.weight", T.F16, (4, 6)), ("blk.0.attn_k.weight", T.BF16, (2, 6)), ("output_norm.weight", T.F32, (5,)),
]:
    x = rng.normal(size=shape).astype(np.float32)
    raw = quants.quantize(x, kind)
    w.add_tensor(name, raw, raw_dtype=kind)
    values[name] = {"shape": shape, "type": kind.name, "values": quants.dequantize(raw, kind).reshape(-1).tolist()}
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
json.dump(values, open("reference.json", "w"))
