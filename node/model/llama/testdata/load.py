"""Prints the logits of a model with an adapter, both in directories, for some tokens: load.py MODEL ADAPTER TOKEN..."""
import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32), sys.argv[2]).eval()
with torch.no_grad():
    print(json.dumps(model(torch.tensor([[int(t) for t in sys.argv[3:]]])).logits.flatten().tolist()))
