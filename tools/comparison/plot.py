"""The picture of a comparison: a pair of bars a row, on a logarithmic scale.

Plain SVG with a style sheet that follows the reader's light or dark mode; no scripts, no fonts.
"""
import math
from xml.sax.saxutils import escape

from .report import number
from .rows import OURS

WIDTH, LEFT, RIGHT = 860, 190, 190
BAR, GAP, BETWEEN, TOP, BOTTOM = 14, 3, 18, 64, 40
STYLE = """
  text { font: 13px -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .ours { fill: #0969da; }
  .peer0 { fill: #bc4c00; }
  .peer1 { fill: #8250df; }
  .limit { stroke: #1f2328; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .ours { fill: #4493f8; }
    .peer0 { fill: #db6d28; }
    .peer1 { fill: #ab7df8; }
    .limit { stroke: #f0f6fc; }
  }
"""


def decades(values):
    """Powers of ten that hold all values."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def speed(found):
    return found.get("tokens_per_second") if found and "error" not in found else None


def draw(rows, sides, caption):
    peers = [side for side in sides if side != OURS and any(side in row["peers"] for row in rows)]
    values = [value for row in rows
              for value in [speed(row["ours"]), (row["ours"] or {}).get("limit_tokens_per_second")]
              + [speed(row["peers"].get(side)) for side in peers] if value]
    if not values:
        return None
    low, high = decades(values)
    span = WIDTH - LEFT - RIGHT
    step = (1 + len(peers)) * (BAR + GAP) + BETWEEN
    height = TOP + step * len(rows) + BOTTOM
    bottom = TOP + step * len(rows)

    def across(value):
        # The axis begins a decade's tenth early, so that the least bar can be seen.
        return LEFT + span * (math.log10(value) - low + 0.1) / (high - low + 0.1)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(caption)}">',
             f"<style>{STYLE}</style>",
             f'<text class="title" x="12" y="24">{escape(caption)}</text>']
    at = 12.0
    for place, side in enumerate(["FlashMoE"] + peers):
        colour = "ours" if place == 0 else f"peer{place - 1}"
        parts.append(f'<rect class="{colour}" x="{at}" y="36" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="quiet" x="{at + 18}" y="46">{escape(side)}</text>')
        at += 40 + 7 * len(side)
    parts.append(f'<line class="limit" x1="{at + 6}" x2="{at + 6}" y1="35" y2="49"/>')
    parts.append(f'<text class="quiet" x="{at + 14}" y="46">limit of disk, memory and arithmetic'
                 "</text>")
    for power in range(low, high + 1):
        x = across(10.0 ** power)
        label = f"{10 ** power:,}" if power >= 0 else f"{10.0 ** power:g}"
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
                     f"{label}</text>")
    parts.append(f'<text class="quiet" x="{LEFT + span / 2:.0f}" y="{bottom + 33}" '
                 'text-anchor="middle">tokens per second, logarithmic</text>')
    for index, row in enumerate(rows):
        top = TOP + step * index
        middle = top + (step - BETWEEN) / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">'
                     f'{escape(row["title"])}</text>')
        bars = [("ours", row["ours"])]
        bars += [(f"peer{place}", row["peers"].get(side)) for place, side in enumerate(peers)]
        for place, (colour, found) in enumerate(bars):
            y = top + place * (BAR + GAP)
            value = speed(found)
            if value is None:
                reason = (found or {}).get("error", "not run")
                parts.append(f'<text class="quiet" x="{LEFT + 4}" y="{y + 11}">{escape(reason)}'
                             "</text>")
                continue
            end = across(value)
            parts.append(f'<rect class="{colour}" x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" '
                         f'height="{BAR}" rx="2"/>')
            text = number(value)
            if found.get("ratio"):
                text += f"  (FlashMoE {number(found['ratio'])} ×)"
            beyond = (row["ours"] or {}).get("limit_tokens_per_second") if place == 0 else None
            start = max(end, across(beyond)) if beyond else end
            parts.append(f'<text class="quiet" x="{start + 6:.1f}" y="{y + 11}">{escape(text)}'
                         "</text>")
            if beyond:
                x = across(beyond)
                parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" '
                             f'y2="{y + BAR + 2}"/>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
