"""Makes the reference models of this directory: tiny ones with random weights, their logits, losses and gradients.

    python3 -m venv venv && venv/bin/pip install torch transformers peft safetensors
    venv/bin/python node/model/llama/testdata/make.py

For every model NAME it writes NAME/config.json and NAME/model.safetensors as Hugging Face does, NAME/adapter as PEFT does, and
NAME/expect.safetensors: two sequences of tokens and targets, logits without and with the adapter, losses, and the gradients of all
tensors and of the adapter. Arithmetic is float64, so that the references have no rounding of their own to speak of.
"""
import os
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
common = dict(vocab_size=80, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=128)
llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
models = {
    "llama": (LlamaForCausalLM, LlamaConfig(
        num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=llama3, **common),
        dict(r=3, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])),
    "smollm2": (LlamaForCausalLM, LlamaConfig(
        num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=100000.0),
        **common),
        dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"])),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(
        num_key_value_heads=1, rms_norm_eps=1e-6, tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
        **common),
        dict(r=2, lora_alpha=4, target_modules=["k_proj", "o_proj", "gate_proj"])),
    "gpt2": (GPT2LMHeadModel, GPT2Config(
        vocab_size=80, n_positions=128, n_embd=24, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0),
        dict(r=3, lora_alpha=6, fan_in_fan_out=True, target_modules=["c_attn", "c_fc", "mlp.c_proj"])),
}


def measure(model, tokens, targets):
    """Returns the logits of all sequences and the mean loss over the targets that count."""
    logits = [model(t[None]).logits[0] for t in tokens]
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets), ignore_index=-1)
    return torch.cat(logits), loss


def gradients(model):
    """Takes the gradients away."""
    all = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return all


for number, (name, (kind, config, lora)) in enumerate(models.items()):
    torch.manual_seed(number)
    config._attn_implementation = "eager"
    model = kind(config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():  # larger than at the start of training, so that every part has some effect
            if "norm" in n or "ln_" in n:
                p.copy_(1 + 0.2 * torch.randn_like(p) if n.endswith("weight") else 0.2 * torch.randn_like(p))
            elif n.endswith("bias"):
                p.copy_(0.2 * torch.randn_like(p))
            else:
                p.copy_(0.18 * torch.randn_like(p))
    to = os.path.join(here, name)
    shutil.rmtree(to, ignore_errors=True)
    model.save_pretrained(to, safe_serialization=True)
    os.path.exists(os.path.join(to, "generation_config.json")) and os.remove(os.path.join(to, "generation_config.json"))
    model = model.double()
    tokens = [torch.randint(0, 80, (n,)) for n in (70, 9)]
    targets = [torch.cat([t[1:], torch.tensor([-1])]) for t in tokens]
    targets[0][:5] = -1
    targets[0][20:23] = -1
    expect = {"tokens": torch.cat(tokens).int(), "targets": torch.cat(targets).int(), "lengths": torch.tensor([len(t) for t in tokens]).int()}
    logits, loss = measure(model, tokens, targets)
    loss.backward()
    expect["logits"], expect["loss"] = logits.detach().float(), loss.detach()[None]
    for n, g in gradients(model).items():
        expect["grad." + n] = g.float()

    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **lora))
    with torch.no_grad():
        for n, p in adapted.named_parameters():
            if "lora_" in n:
                p.copy_(0.2 * torch.randn_like(p))
    adapted.float().save_pretrained(os.path.join(to, "adapter"))
    os.remove(os.path.join(to, "adapter", "README.md"))
    adapted.double()
    logits, loss = measure(adapted, tokens, targets)
    loss.backward()
    expect["adapted.logits"], expect["adapted.loss"] = logits.detach().float(), loss.detach()[None]
    for n, g in gradients(adapted).items():
        expect["adapted.grad." + n.replace("base_model.model.", "").replace(".default", "")] = g.float()
    save_file({k: v.contiguous() for k, v in expect.items()}, os.path.join(to, "expect.safetensors"))
