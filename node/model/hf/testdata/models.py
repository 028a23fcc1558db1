"""Writes tiny random models of every family, each as a directory with safetensors and as a GGUF file that holds the same numbers, with
the reference implementations of both formats (PyPI's safetensors, tokenizers and gguf).

    python -m venv v && v/bin/pip install safetensors==0.8.0 tokenizers==0.23.3 gguf==0.19.0 && v/bin/python models.py

The names and the order of rows in GGUF files are those of llama.cpp's converter.
"""
import json
import os

import numpy as np
from gguf import GGUFWriter, RopeScalingType, TokenType
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

rng = np.random.default_rng(11)
HIDDEN, MLP, LAYERS, HEADS, KV, CONTEXT = 8, 12, 2, 2, 1, 32
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("1", "2")]
WORDS = ALPHABET + [a + b for a, b in MERGES]
SPECIAL = ["<|begin|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def random(*shape):  # exact in float16
    return (rng.integers(-64, 64, size=shape) / 64).astype(np.float32)


def tokenizer(pre, normalizer=None, bos=False, **model):
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(WORDS)}, merges=MERGES, **model))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    t.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    if bos:
        t.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", t.token_to_id("<|begin|>"))])
    return t


def split(digits):
    regex = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def permute(w, heads):  # llama.cpp's converter, for queries and keys of Llama models
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


VOCAB = len(WORDS) + len(SPECIAL) + 1 + 2  # models may have more rows than there are tokens
HEAD = HIDDEN // HEADS


def llama_tensors(qwen, tied, bias):
    t = {"model.embed_tokens.weight": random(VOCAB, HIDDEN), "model.norm.weight": random(HIDDEN)}
    if not tied:
        t["lm_head.weight"] = random(VOCAB, HIDDEN)
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        for name, out, inner in [
            ("self_attn.q_proj", HEADS * HEAD, HIDDEN), ("self_attn.k_proj", KV * HEAD, HIDDEN), ("self_attn.v_proj", KV * HEAD, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HEADS * HEAD), ("mlp.gate_proj", MLP, HIDDEN), ("mlp.up_proj", MLP, HIDDEN), ("mlp.down_proj", HIDDEN, MLP),
        ]:
            t[p + name + ".weight"] = random(out, inner)
            if (qwen and name[-6] in "qkv" and "attn" in name) or (bias and "attn" in name):
                t[p + name + ".bias"] = random(out)
        t[p + "input_layernorm.weight"], t[p + "post_attention_layernorm.weight"] = random(HIDDEN), random(HIDDEN)
    return t


def gpt2_tensors():
    t = {"wte.weight": random(VOCAB, HIDDEN), "wpe.weight": random(CONTEXT, HIDDEN), "ln_f.weight": random(HIDDEN), "ln_f.bias": random(HIDDEN)}
    for i in range(LAYERS):
        p = f"h.{i}."
        for name, inner, out in [("attn.c_attn", HIDDEN, 3 * HIDDEN), ("attn.c_proj", HIDDEN, HIDDEN), ("mlp.c_fc", HIDDEN, MLP), ("mlp.c_proj", MLP, HIDDEN)]:
            t[p + name + ".weight"], t[p + name + ".bias"] = random(inner, out), random(out)
        for name in ["ln_1", "ln_2"]:
            t[p + name + ".weight"], t[p + name + ".bias"] = random(HIDDEN), random(HIDDEN)
        t[p + "attn.bias"] = np.ones((1, 1, 4, 4), dtype=np.uint8)  # a mask that old files have, and that is no part of the model
    return t


NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}


def inside(name):
    stem, kind = name.rsplit(".", 1)
    for prefix in ["model.layers.", "h."]:
        if stem.startswith(prefix):
            number, rest = stem[len(prefix) :].split(".", 1)
            return f"blk.{number}.{NAMES[rest]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def write(name, config, tensors, tok, pre, shards=1):
    os.makedirs(name, exist_ok=True)
    json.dump(config, open(f"{name}/config.json", "w"), indent=1)
    json.dump(json.loads(tok.to_str()), open(f"{name}/tokenizer.json", "w"), ensure_ascii=False, separators=(",", ":"))
    json.dump({"bos_token": {"content": "<|begin|>"}, "eos_token": "<|im_end|>", "chat_template": TEMPLATE}, open(f"{name}/tokenizer_config.json", "w"))
    f16 = {k: v.astype(np.float16) if v.ndim == 2 and v.dtype == np.float32 else v for k, v in tensors.items()}
    if shards == 1:
        save_file(f16, f"{name}/model.safetensors", {"format": "pt"})
    else:
        index = {}
        for i in range(shards):
            part = dict(list(f16.items())[i::shards])
            file = f"model-{i+1:05d}-of-{shards:05d}.safetensors"
            save_file(part, f"{name}/{file}", {"format": "pt"})
            index |= {k: file for k in part}
        json.dump({"metadata": {"total_size": sum(v.nbytes for v in f16.values())}, "weight_map": index}, open(f"{name}/model.safetensors.index.json", "w"))

    family = config["model_type"]
    w = GGUFWriter(name + ".gguf", family)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(MLP)
    w.add_block_count(LAYERS)
    w.add_head_count(HEADS)
    if family == "gpt2":
        w.add_layer_norm_eps(1e-5)
    else:
        w.add_head_count_kv(KV)
        w.add_layer_norm_rms_eps(1e-6)
        w.add_rope_freq_base(500000.0)
        w.add_rope_dimension_count(HEAD)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    unused = [f"[PAD{i}]" for i in range(2)]
    w.add_token_list(WORDS + SPECIAL + ["<tool>"] + unused)
    w.add_token_types([TokenType.NORMAL] * len(WORDS) + [TokenType.CONTROL] * 3 + [TokenType.USER_DEFINED] + [TokenType.UNUSED] * 2)
    w.add_token_merges([" ".join(m) for m in MERGES])
    w.add_bos_token_id(tok.token_to_id("<|begin|>"))
    w.add_eos_token_id(tok.token_to_id("<|im_end|>"))
    w.add_chat_template(TEMPLATE)
    if "rope_scaling" in config:
        s = config["rope_scaling"]
        if s["rope_type"] == "linear":
            w.add_rope_scaling_type(RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(s["factor"])
        else:  # as the converter has it
            freqs = 1.0 / (500000.0 ** (np.arange(0, HEAD, 2, dtype=np.float32) / HEAD))
            low, high, factors = s["original_max_position_embeddings"] / s["low_freq_factor"], s["original_max_position_embeddings"] / s["high_freq_factor"], []
            for f in freqs:
                length = 2 * np.pi / f
                smooth = (s["original_max_position_embeddings"] / length - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"])
                factors.append(1 if length < high else s["factor"] if length > low else 1 / ((1 - smooth) / s["factor"] + smooth))
            w.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    for key, x in tensors.items():
        if x.dtype == np.uint8:
            continue
        if family == "llama" and ".q_proj." in key:
            x = permute(x, HEADS)
        if family == "llama" and ".k_proj." in key:
            x = permute(x, KV)
        if family == "gpt2" and ".c_" in key and x.ndim == 2:
            x = x.T.copy()
        w.add_tensor(inside(key), x.astype(np.float16) if x.ndim == 2 else x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


ids = {"bos_token_id": len(WORDS), "eos_token_id": len(WORDS) + 2}
base = {"vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "hidden_act": "silu"} | ids
bytelevel = pre_tokenizers.ByteLevel(add_prefix_space=False)
llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
write("llama", base | {"model_type": "llama", "tie_word_embeddings": False, "attention_bias": True, "rope_scaling": llama3}, llama_tensors(False, False, True), tokenizer(split("{1,3}"), bos=True, ignore_merges=True), "llama-bpe", shards=3)
write("smollm2", base | {"model_type": "llama", "tie_word_embeddings": True, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}, llama_tensors(False, True, False), tokenizer(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytelevel])), "smollm")
write("qwen2", base | {"model_type": "qwen2", "tie_word_embeddings": True}, llama_tensors(True, True, False), tokenizer(split(""), normalizers.NFC()), "qwen2")
gpt2 = {"model_type": "gpt2", "vocab_size": VOCAB, "n_positions": CONTEXT, "n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_inner": MLP} | ids
write("gpt2", gpt2, gpt2_tensors(), tokenizer(bytelevel), "gpt-2")
