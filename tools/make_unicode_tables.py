#!/usr/bin/env python3
"""Writes Sources/Tokenization/Normalization/UnicodeTables.swift.

    pip install tokenizers && python3 tools/make_unicode_tables.py

Canonical decompositions and combining classes as the `tokenizers` library knows them: its tables
are older than Python's, and ids have to agree with what a model was trained on. Python's own
database is the source; whatever the library does not do is left out.
"""
import os
import unicodedata as unicode

from tokenizers import normalizers

nfc, nfd = normalizers.NFC(), normalizers.NFD()
OUT = os.path.join(os.path.dirname(__file__), "..", "Sources", "Tokenization", "Normalization",
                   "UnicodeTables.swift")


def known_class(code):
    """The combining class, or 0 where the library does not reorder this mark."""
    value, mark = unicode.combining(chr(code)), chr(code)
    for before in ("\u0315", "\u0345", "\u0301", "\u0334", "\u0327"):
        text = "a" + before + mark
        if nfd.normalize_str(text) != unicode.normalize("NFD", text):
            return 0
    return value


def rows(values, per_line):
    lines = []
    for start in range(0, len(values), per_line):
        lines.append("    " + " ".join(f"0x{v:X}," for v in values[start:start + per_line]))
    return "\n".join(lines)


classes, pairs = [], []
for code in range(0x110000):
    if 0xD800 <= code < 0xE000 or 0xAC00 <= code < 0xD7A4:
        continue
    char = chr(code)
    value = known_class(code) if unicode.combining(char) else 0
    if value:
        if classes and classes[-1][1] == code - 1 and classes[-1][2] == value:
            classes[-1][1] = code
        else:
            classes.append([code, code, value])
    mapping = unicode.decomposition(char)
    if mapping and not mapping.startswith("<") and nfd.normalize_str(char) != char:
        parts = [int(part, 16) for part in mapping.split()]
        composes = len(parts) == 2 and nfc.normalize_str(nfd.normalize_str(char)) == char
        pairs += [code | (0x80000000 if composes else 0), parts[0], parts[1] if len(parts) > 1 else 0]

flat = [item for start, end, value in classes for item in (start, (end - start) << 8 | value)]
with open(OUT, "w") as file:
    file.write(f"""// Written by tools/make_unicode_tables.py (Unicode {unicode.unidata_version}, cut to what the
// `tokenizers` library knows). Do not edit.

enum UnicodeTables {{
  /// Triples, ascending: character, first and second half of its canonical decomposition (0: none).
  /// The top bit of the character says that the two halves compose to it again.
  static let decompositions: [UInt32] = [
{rows(pairs, 9)}
  ]

  /// Pairs, ascending: first character of a range, (length − 1) << 8 | canonical combining class.
  static let combiningClasses: [UInt32] = [
{rows(flat, 10)}
  ]
}}
""")
print(len(pairs) // 3, "decompositions,", len(classes), "ranges of combining classes")
