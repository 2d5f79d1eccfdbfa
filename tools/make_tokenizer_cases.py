#!/usr/bin/env python3
"""Writes Tests/Fixtures/tokenizers/constructs.json: small tokenizers that differ in one construct,
with random texts and what the `tokenizers` library makes of them.

    pip install tokenizers && python3 tools/make_tokenizer_cases.py

Each entry overrides members of a base tokenizer, so that the file stays small. Characters are
limited to those of Unicode 14, which every supported PCRE2 knows.
"""
import copy
import json
import os
import random

from tokenizers import Tokenizer

FOLDER = os.path.join(os.path.dirname(__file__), "..", "Tests", "Fixtures", "tokenizers")
rng = random.Random(11)
POOL = (
    list(" \t\n\r\x0b\x1c\x85\xa0\u180e\u2003\u2028\u3000\u200d\ufeff")
    + list("aAbBzZ'sStTrRlLdDſK09½²Ⅷ१.,!?-_/\\<>()[]{}#$^&+=~")
    + list("éñßıİǅʰЖд한글中字カ々😀👍🏽☃️\u0301\u0327\u0323\u1100\u1161\u11a8\u212b\u0344\u0958\u1e9b")
    + ["'s", "'LL", "  ", "   ", "▁", "hello", " the", "ing", "1234567", "\r\n", "<x>", "<y>", "qzq",
       "zqhello", "e\u0301字", "\u212bЖ", "<s>", "</s>"])
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def text():
    length = rng.choice([1, 2, 3, 5, 8, 13, 25])
    pool = rng.sample(POOL, 4) if rng.random() < 0.4 else POOL
    return "".join(rng.choice(pool) for _ in range(length))


def sentence_piece():
    """A small vocabulary of the SentencePiece kind: characters, bytes, a few merges."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens += list("▁ abdehilnorstxyzABé字")
    merges = [("▁", "▁"), ("h", "e"), ("l", "l"), ("▁", "t"), ("he", "ll"), ("▁t", "he"), ("i", "n"),
              ("hell", "o"), ("▁▁", "▁▁"), ("a", "b"), ("ab", "ab"), ("b", "a")]
    tokens += ["".join(pair) for pair in merges]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)},
                  "merges": [list(pair) for pair in merges]}}


BASES = {"spm": sentence_piece(),
         "tiny-granite": json.load(open(os.path.join(FOLDER, "tiny-granite", "tokenizer.json")))}
entries = []


def emit(name, base, count=12, model=None, added=(), **members):
    config = copy.deepcopy(BASES[base])
    config.update(members)
    config["model"].update(model or {})
    config["added_tokens"] += list(added)
    tokenizer = Tokenizer.from_str(json.dumps(config))
    cases, decodes = [], []
    for _ in range(count):
        sample = text()
        ids = tokenizer.encode(sample, add_special_tokens=False).ids
        case = {"text": sample, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
        special = tokenizer.encode(sample, add_special_tokens=True).ids
        if special != ids:
            case["ids_with_special"] = special
        cases.append(case)
    known = sorted(tokenizer.get_vocab().values())
    for _ in range(count // 2):
        ids = [rng.choice(known) for _ in range(rng.choice([1, 2, 4, 9]))]
        decodes.append({"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    entries.append({"name": name, "base": base, "set": members, "model": model or {},
                    "added": list(added), "cases": cases, "decodes": decodes})


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}, BYTES]}


for behavior in ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"]:
    for invert in (False, True):
        for kind, pattern in [("text", {"String": " "}), ("expression", {"Regex": "\\s|\\p{P}"})]:
            emit(f"{behavior} {invert} {kind}", "tiny-granite", 8, pre_tokenizer=split(pattern, behavior, invert))
for pattern in [
        "a*", "^.|.$", "\\b", "\\B", "(?i)s|T", "[^\\S\\n]+", "[\\w-]+", "\\w+", "\\h+", "\\D{2}", "z{,2}",
        "(?<=a)b|(?<!\\s)\\s", "[\\x{41}-\\x5A]+", "\\u0061|\\v|\\t", "(a|b)+", "(?>\\s+)a|.", "\\p{^L}",
        "\\P{L}+", "[\\]\\[\\-^]+", "a{2}|{", "\\s+$", "$", "\\p{Han}+|\\p{Lu}", "(?i:ß|k)",
        "\\Aa|\\s\\z|\\Z", "[\\s\\S]", "\\s++a|\\d?+."]:
    emit("pattern " + pattern, "tiny-granite", 10, pre_tokenizer=split({"Regex": pattern}))
for single in (True, False):
    emit(f"digits {single}", "tiny-granite", pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": single},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}]})
for scheme in ("always", "first", "never"):
    for cut in (True, False):
        part = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}
        emit(f"metaspace {scheme} {cut}", "spm", normalizer=None, pre_tokenizer=part, decoder=part)
emit("sentence piece", "spm", 40)
for fuse in (True, False):
    emit(f"unknown {fuse}", "spm", model={"byte_fallback": False, "fuse_unk": fuse})
emit("NFC", "tiny-granite", 40, normalizer={"type": "NFC"})
emit("NFD", "tiny-granite", 20, normalizer={"type": "NFD"})
emit("normalizers", "tiny-granite", normalizer={"type": "Sequence", "normalizers": [
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"}, {"type": "NFC"},
    {"type": "Prepend", "prepend": " "}]})
emit("no decoder", "tiny-granite", decoder=None)
emit("strip", "spm", decoder={"type": "Sequence", "decoders": [
    {"type": "Strip", "content": "▁", "start": 1, "stop": 0}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": "h", "start": 2, "stop": 0}]})
flags = [("<x>", {"lstrip": True}), ("<y>", {"rstrip": True}), ("<x><y>", {"lstrip": True, "rstrip": True}),
         ("qzq", {"single_word": True}), ("e\u0301字", {"normalized": True}),
         ("\u212bЖ", {"normalized": True, "lstrip": True}),
         ("zqhello", {"special": True, "single_word": True, "rstrip": True})]
plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
emit("added tokens", "tiny-granite", 80, normalizer={"type": "NFC"},
     added=[{"id": 2048 + i, "content": content, **plain, **flag} for i, (content, flag) in enumerate(flags)])
emit("template", "tiny-granite", 4, post_processor={"type": "Sequence", "processors": [BYTES, {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "E", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"B": {"id": "B", "ids": [2046, 1], "tokens": ["a", "b"]},
                       "E": {"id": "E", "ids": [2047], "tokens": ["e"]}}}]})

with open(os.path.join(FOLDER, "constructs.json"), "w") as file:
    file.write('{"spm": ' + json.dumps(BASES["spm"], separators=(",", ":")) + ',\n"entries": [\n')
    file.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]}\n")
print(len(entries), "entries")
