"""What the machine could do at best with the bytes that were read.

A row cannot be faster than the slowest of three: the disk moving the bytes that were actually read,
memory moving the bytes that a token touches, arithmetic doing the products.  The three can overlap,
so the limit is their maximum, not their sum.
"""


def products(facts, row):
    """8-bit operations for each token: a multiply and an add for every weight it meets."""
    weights = facts["multiplied"]
    weights += facts["head"] if row.kind == "decode" else facts["head"] / row.tokens
    return 2 * weights


def limit(row, facts, peaks, read_bytes_per_token, disk_bytes_per_second):
    """Tokens per second, and what sets it.  Attention's own products are left out."""
    times = {}
    if read_bytes_per_token and disk_bytes_per_second:
        times["disk"] = read_bytes_per_token / disk_bytes_per_second
    if row.kind == "decode":
        times["memory"] = facts["touched_bytes"] / peaks["memory_bytes_per_second"]
        peak = peaks["vector_ops_per_second"]
    else:
        peak = peaks["integer_ops_per_second"]
    if peak:
        times["arithmetic"] = products(facts, row) / peak
    if not times:
        return None
    name = max(times, key=times.get)
    return {"tokens_per_second": 1 / times[name], "set_by": name, "seconds_per_token": times}
