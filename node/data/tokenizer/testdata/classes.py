"""Prints the character classes of the reference (PyPI's tokenizers 0.23) as ../classes.go has them: for each class pairs of the
distance from the end of the last range to the next and the length of that, in base 36.

    python -m venv v && v/bin/pip install tokenizers==0.23.3 && v/bin/python classes.py
"""
from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, Split

characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def removed(regex):
    split = Split(Regex(regex), "removed")
    return [ord(c) for c in characters if not split.pre_tokenize_str(c)]


def numeric():
    digits = Digits(individual_digits=True)
    return [ord(c) for c in characters if len(digits.pre_tokenize_str("a" + c)) == 2]


def base36(n):
    text = ""
    while n or not text:
        text, n = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36] + text, n // 36
    return text


def ranges(codes):
    out, end = [], 0
    while codes:
        n = 1
        while n < len(codes) and codes[n] == codes[0] + n:
            n += 1
        out += [base36(codes[0] - end), base36(n)]
        end, codes = codes[0] + n, codes[n:]
    return out


for name, codes in [("letters", removed(r"\p{L}")), ("numbers", removed(r"\p{N}")), ("numerics", numeric()), ("spaces", removed(r"\s"))]:
    lines, line = [], ""
    for word in ranges(codes):
        if len(line) + len(word) > 120:
            lines, line = lines + [line], ""
        line += word + " "
    print(f"\t{name} = `" + "\n".join(lines + [line.strip()]) + "`")
