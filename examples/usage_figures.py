#!/usr/bin/env python3
"""Figures of examples/usage.csv, reckoned a second time and in another language, to check what the tools say. Prints JSON.

Usage: usage_figures.py SUPPLY.toml USAGE.csv        (Python 3.11 or later, nothing else)
Rows     A row counts if it has as many cells as the header, a day that exists, a model, whole numbers of tokens not below zero,
         and not more cached tokens than input tokens, of which they are a part. The others are left out; their lines are told.
Cost     (input - cached) * input price + cached * cached price (or input price) + output * output price, for a million tokens.
Ranks    A percentile is the smallest value that so many of a hundred values don't exceed (nearest rank).
Lists    The dearest first, then by name; days in their order. Shares are of the total cost.
Savings  other_model: for each feature and model, the cheapest other model of the same tier, and the cheapest of the tier below,
         if it has every capability, a window for the longest request and room for the longest answer, and costs less.
         caching: a prompt seen before on the same day, for the same feature and model, is cached as a whole, at a cached price.
         batching: for each feature, the batch discount of each model that has one.
         shorter_context: for each feature of at least 20 rows, inputs above its 90th percentile are cut to it; cached input stays
         as far as it fits. A measure that saves nothing is left out; the 20 that save most count, the largest first.
Together Each measure on what those before it leave; it counts with at most what it saves alone, and not at all if less than 0,
         nor if its risk is high: a lower tier, or batches where the median latency of the feature is below ten seconds.
Rounding Half up, to six decimals; only what is printed is rounded."""
import csv, datetime, decimal, json, sys, tomllib
from collections import defaultdict
from decimal import Decimal as D

decimal.getcontext().prec, TIERS = 60, ["small", "medium", "large"]
def fixed(amount, places=6):
    return str(D(amount).quantize(D(1).scaleb(-places), decimal.ROUND_HALF_UP))
def rank(values, percent):
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]
def whole(text):
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)
def read(path):
    rows, skipped = [], []
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.reader(file)
        header = next(table)
        for cells in table:
            try:
                row = dict(zip(header, cells, strict=True))
                row["day"] = datetime.date.fromisoformat(row["timestamp"][:10]).isoformat()
                for name in ("input_tokens", "output_tokens", "cached_input_tokens", "latency_ms"):
                    row[name] = whole(row[name])
                if not row["model"] or row["cached_input_tokens"] > row["input_tokens"]:
                    raise ValueError("model or cached_input_tokens")
                rows.append(row)
            except ValueError:
                skipped.append(table.line_num)
    return rows, skipped
def cost(model, fresh, cached, output, batched=False):
    price = {kind: D(model.get(f"{kind}_usd_per_million", model["input_usd_per_million"])) for kind in ("input", "cached_input", "output")}
    full = (fresh * price["input"] + cached * price["cached_input"] + output * price["output"]) / 1_000_000
    return full * (1 - D(model["batch_discount"])) if batched and "batch_discount" in model else full
def pays(line):
    return cost(line["at"], line["fresh"], line["cached"], line["output"], line["batched"])
def grouped(rows, key, total):
    groups = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    sums = [(name, sum(row["cost"] for row in group), group) for name, group in groups.items()]
    sums.sort(key=lambda entry: entry[0] if key == "day" else (-entry[1], entry[0]))
    return [{key: name, "requests": len(group), "input_tokens": sum(row["input_tokens"] for row in group),
             "output_tokens": sum(row["output_tokens"] for row in group), "cost_usd": fixed(spent), "cost_usd_rounded": fixed(spent, 2),
             "share_percent": fixed(100 * spent / total, 2)} for name, spent, group in sums]
def measures(rows, models):
    """Each measure: its name, feature, models, whether its risk is high, and what it makes of a row (None: nothing)."""
    for feature, name in sorted({(row["feature"], row["model"]) for row in rows}):
        own, old = [row for row in rows if (row["feature"], row["model"]) == (feature, name)], models[name]
        sums = [sum(row[key] for row in own) for key in ("fresh", "cached", "output")]
        window, answer = max(row["input_tokens"] + row["output_tokens"] for row in own), max(row["output_tokens"] for row in own)
        for below in (0, 1):
            able = [new for new in models.values() if new is not old and TIERS.index(new["tier"]) + below == TIERS.index(old["tier"])
                    and set(new["capabilities"]) >= set(old["capabilities"]) and new["context_window"] >= window
                    and new.get("max_output_tokens", answer) >= answer and cost(new, *sums) < cost(old, *sums)]
            if able:
                new = min(able, key=lambda new: (cost(new, *sums), new["model"]))
                yield "other_model", feature, name, new["model"], below == 1, lambda row, f=feature, o=old, n=new: (
                    {**row, "at": n} if row["feature"] == f and row["at"] is o else None)
    yield "caching", None, None, None, False, lambda row: (
        {**row, "fresh": 0, "cached": row["fresh"] + row["cached"]} if row["again"] and "cached_input_usd_per_million" in row["at"] else None)
    features = [(name, [row for row in rows if row["feature"] == name]) for name in sorted({row["feature"] for row in rows})]
    for feature, own in features:
        yield "batching", feature, None, None, rank([row["latency_ms"] for row in own], 50) < 10_000, lambda row, f=feature: (
            {**row, "batched": True} if row["feature"] == f and "batch_discount" in row["at"] else None)
    for feature, own in features:
        most = rank([row["input_tokens"] for row in own], 90)
        if len(own) >= 20:
            yield "shorter_context", feature, None, None, False, lambda row, f=feature, m=most: (
                {**row, "cached": min(row["cached"], m), "fresh": min(row["fresh"], m - min(row["cached"], m))} if row["feature"] == f else None)
def main(supply, usage):
    with open(supply, "rb") as file:
        models = {model["model"]: model for model in tomllib.load(file)["model"]}
    rows, skipped = read(usage)
    seen = set()
    for row in rows:
        key = (row["model"], row["feature"], row["day"], row["prompt_hash"])
        row.update(at=models[row["model"]], fresh=row["input_tokens"] - row["cached_input_tokens"], cached=row["cached_input_tokens"],
                   output=row["output_tokens"], batched=False, again=key in seen)
        row["cost"] = pays(row)
        seen.add(key)
    total = sum(row["cost"] for row in rows)
    tried = [(sum(row["cost"] - pays(change(row) or row) for row in rows), *named, change) for *named, change in measures(rows, models)]
    tried = sorted((entry for entry in tried if entry[0] > 0), key=lambda entry: -entry[0])[:20]
    now, counts = rows, [D(0)] * len(tried)
    for at, (alone, *_, high, change) in enumerate(tried):
        after = [change(row) or row for row in now]
        saves = sum(pays(row) for row in now) - sum(pays(row) for row in after)
        if saves > 0 and not high:
            now, counts[at] = after, min(saves, alone)
    combined = sum(counts, D(0))
    ranks = {key: {f"p{p}": rank([row[key] for row in rows], p) for p in (50, 90, 99)} for key in ("input_tokens", "output_tokens", "latency_ms")}
    totals = {"requests": len(rows), **{key: sum(row[key] for row in rows) for key in ("input_tokens", "output_tokens", "cached_input_tokens")},
              "cost_usd": fixed(total), "cost_usd_rounded": fixed(total, 2)}
    strategies = [{"id": id, "feature": feature, "from": old, "to": new, "saves_usd": fixed(saves), "saves_usd_rounded": fixed(saves, 2),
                   "saves_percent": fixed(100 * saves / total, 2), "in_combined": count > 0, "counts_usd": fixed(count)}
                  for count, (saves, id, feature, old, new, *_) in zip(counts, tried)]
    print(json.dumps({"rows": len(rows), "skipped_lines": skipped, "totals": totals, "by_model": grouped(rows, "model", total),
                      "by_feature": grouped(rows, "feature", total), "by_day": grouped(rows, "day", total), "percentiles": ranks,
                      "baseline_usd": fixed(total), "strategies": strategies, "combined_saves_usd": fixed(combined),
                      "combined_saves_usd_rounded": fixed(combined, 2)}))
main(*sys.argv[1:])
