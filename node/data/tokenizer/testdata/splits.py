"""Writes splits.json: where the reference (PyPI's tokenizers 0.23) cuts texts, with each of its ways to cut: a few texts that are hard,
and the SHA-256 of the lengths, in characters and as bytes, of the pieces of a text around every character below U+32400.

    python -m venv v && v/bin/pip install tokenizers==0.23.3 && v/bin/python splits.py > splits.json
"""
import hashlib
import json

from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, Split

CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ways = {
    "Digits": Digits(individual_digits=True),
    "Numbers": Digits(individual_digits=False),
    "GPT2": Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), "isolated"),
    "Llama3": Split(Regex(CONTRACTED + r"\p{N}{1,3}" + REST), "isolated"),
    "Qwen2": Split(Regex(CONTRACTED + r"\p{N}" + REST), "isolated"),
}
hard = [
    "'ſx 'Sx 'sx a'ſb 'LLx 'Lx 'Rex 'VEx 'Mx 'Tx 'Dx '1 ''s '\n'", "don't DON'T", "a  b", "a \n b", "a\n \n\n  b", " \n", "\n ", "  ", " ", "\t a", "\ta", "\t\ta",
    "12345678 1a2b ½²③", "!!\n\n!\r\n\r", " !\n x", "x\u00a0y\u00a0\u00a0z", "\u3000\u3000日本", "a\u0301b", "\u0301a", "١٢٣٤٥", "  \r\n  \r\nx", "'\u017f", "\u2028\u2028a", "x\u0085\u0085",
]
out = {}
for name, way in ways.items():
    cut = lambda text: [piece for piece, _ in way.pre_tokenize_str(text)]
    digest = hashlib.sha256()
    for c in range(0x32400):
        if not 0xD800 <= c < 0xE000:
            digest.update(bytes(len(p) for p in cut("a" + chr(c) + "b " + chr(c) + chr(c) + "12'" + chr(c) + "c")))
    out[name] = {"pieces": {text: cut(text) for text in hard}, "sha256": digest.hexdigest()}
print(json.dumps(out, ensure_ascii=True, indent=0))
