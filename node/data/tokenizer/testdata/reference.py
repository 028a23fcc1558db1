"""Writes the fixtures of package tokenizer with the reference (PyPI's tokenizers 0.23): small tokenizers of every kind that is read,
trained on the lines of text that the tests make too, and for each of them what the lines encode to.

    python -m venv v && v/bin/pip install tokenizers==0.23.3 gguf==0.19.0 && v/bin/python reference.py [SmolLM2-135M-Instruct.Q4_1.gguf]

NAME.json is the tokenizer. NAME.ids has the SHA-256 of all IDs (of each line their number, then they, as little-endian uint32), then
for each line the lower two bytes of the CRC-32 of the same, little-endian. With the file of a real model, the vocabulary in it is used
for smollm2-135m.ids too. decoded.json has what a few sequences of IDs decode to.
"""
import hashlib
import json
import struct
import sys
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MASK = (1 << 64) - 1


class Words:
    """Splitmix64, which the tests have too."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


pieces = json.load(open("pieces.json"))


def line(words):
    out = []
    for _ in range(1 + words.below(12)):
        kind = words.below(16)
        if kind < 11:
            out.append(pieces[words.below(len(pieces))])
        elif kind < 14:
            out.append(" ")
        elif kind == 14:  # any character, half of them of the basic plane
            c = words.below(0x10000 if words.below(2) else 0x110000)
            out.append(chr(c) if not 0xD800 <= c < 0xE000 else "?")
        else:  # a run of one character
            out.append(pieces[words.below(len(pieces))][:1] * (1 + words.below(90)))
    return "".join(out)


def make():
    words = Words(2024)
    return [line(words) for _ in range(10000)]


lines = make()

GPT2 = None
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ALL = sorted(pre_tokenizers.ByteLevel.alphabet())


def train(name, pre, specials, normalizer=None, alphabet=ALL, **model):
    t = Tokenizer(models.BPE(**model))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    unknown = [model["unk_token"]] if "unk_token" in model else []
    t.train_from_iterator(lines[:4000], trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=unknown, show_progress=False))
    for s in specials:
        (t.add_special_tokens if s.special else t.add_tokens)([s])
    return t


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def bytelevel(**options):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **options)


def special(text, **options):
    return AddedToken(text, special=True, normalized=False, **options)


def write(name, t):
    whole, short = hashlib.sha256(), bytearray()
    for text in lines:
        ids = t.encode(text, add_special_tokens=False).ids
        packed = struct.pack(f"<{len(ids)+1}I", len(ids), *ids)
        whole.update(packed)
        short += struct.pack("<H", zlib.crc32(packed) & 0xFFFF)
    open(name + ".ids", "wb").write(whole.digest() + short)


chat = [special("<|im_start|>"), special("<|im_end|>"), special("<|endoftext|>")]
made = {
    "gpt2": train("gpt2", bytelevel(), chat),
    "llama3": train("llama3", split(LLAMA3), chat, ignore_merges=True),
    "qwen2": train("qwen2", split(QWEN2), chat + [AddedToken("<tool_call>", special=False, normalized=False), AddedToken("<né>", special=False, normalized=True)], normalizer=normalizers.NFC()),
    "smollm2": train("smollm2", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytelevel()]), chat),
    # What real models have less often: few bytes with tokens, runs of digits, spaces around added tokens, a space before the text.
    "unknown": train("unknown", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), bytelevel()]), chat, alphabet=[], unk_token="<unk>", fuse_unk=True),
    "dropped": train("dropped", pre_tokenizers.ByteLevel(add_prefix_space=True), [special("<|im_start|>", rstrip=True), special("<|im_end|>", lstrip=True)], alphabet=[]),
}
for name in ["unknown", "dropped"]:  # trained on all of the bytes of the lines: take some away
    t = made[name]
    state = json.loads(t.to_str())
    gone = {c for c in state["model"]["vocab"] if len(c) == 1 and c > "Ġ"} | {"0"}
    keep = lambda token: not any(c in token for c in gone)
    state["model"]["merges"] = [m for m in state["model"]["merges"] if keep(m[0]) and keep(m[1])]
    vocab = sorted((i, v) for v, i in state["model"]["vocab"].items() if keep(v) or v == "<unk>")
    state["model"]["vocab"] = {v: i for i, (_, v) in enumerate(vocab)}
    for i, a in enumerate(a for a in state["added_tokens"]):
        a["id"] = state["model"]["vocab"].get(a["content"], len(vocab) + i)
    made[name] = Tokenizer.from_str(json.dumps(state))
made["llama3"].post_processor = processors.Sequence(
    [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|im_start|> $A <|im_end|>", special_tokens=[(s, made["llama3"].token_to_id(s)) for s in ("<|im_start|>", "<|im_end|>")])]
)
decoded = []
words = Words(5)
for name, t in made.items():
    json.dump(json.loads(t.to_str()), open(name + ".json", "w"), ensure_ascii=False, separators=(",", ":"))
    write(name, t)
    for _ in range(40):
        ids = [words.below(t.get_vocab_size()) for _ in range(1 + words.below(12))]
        decoded.append({"name": name, "ids": ids, "all": t.decode(ids, skip_special_tokens=False), "text": t.decode(ids)})
json.dump(decoded, open("decoded.json", "w"), ensure_ascii=False, separators=(",", ":"))

if len(sys.argv) > 1:
    from gguf import GGUFReader

    fields = GGUFReader(sys.argv[1]).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens, types = get("tokens"), get("token_type")
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in get("merges")]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytelevel()])
    t.add_special_tokens([special(s) for s, kind in zip(tokens, types) if kind == 3])
    write("smollm2-135m", t)
