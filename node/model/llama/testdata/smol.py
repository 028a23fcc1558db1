"""Makes smol.json, what transformers says of SmolLM2-135M-Instruct in a GGUF file: smol.py FILE.gguf.

It needs torch, transformers, accelerate and gguf. Weights are those of the file, made float32.
"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, file = os.path.split(os.path.abspath(sys.argv[1]))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
text = (
    "Starlings gather in flocks before they roost. No bird leads; each of them watches the seven that are nearest to it, and turns when "
    "they turn. A change that one of them begins, because it saw a hawk or a better wind, crosses a flock of thousands in less than a "
    "second. Physicists who filmed such flocks over Rome found that it does not matter how far away the seven are, but only that they are "
    "the nearest, and that a flock keeps its shape however thin it becomes.\n\nThe capital of France is Paris, and the capital of Italy is"
)
prompt = "The capital of France is Paris. The capital of Germany is"
with torch.no_grad():
    ids = tokenizer(text, return_tensors="pt").input_ids
    loss = model(ids, labels=ids).loss.item()
    start = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(start, max_new_tokens=24, do_sample=False)[0][start.shape[1]:]
to = os.path.join(os.path.dirname(os.path.abspath(__file__)), "smol.json")
with open(to, "w") as f:
    json.dump({"text": text, "tokens": ids[0].tolist(), "loss": loss, "prompt": start[0].tolist(), "continuation": out.tolist()}, f)
    f.write("\n")
print(loss, tokenizer.decode(out))
