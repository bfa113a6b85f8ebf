#!/usr/bin/env python3
"""How many token requests will N replicas make?

Replicas share no state: each fetches each of its tokens once, and again ahead of expiry. This
replays that through a rollout, a long quiet stretch and an outage of the token endpoint, and prints
what a capacity plan needs: the steady rate, the worst seconds, and how many tokens ran out.

Reproducible: the same arguments give the same numbers. `--table` prints the table in
docs/kubernetes.md; `--check FILE` fails where that file holds another one.
"""

import argparse
import collections
import heapq
import pathlib
import random
import sys

# replicas, identities (distinct tokens), life in seconds, outage in seconds
SCENARIOS = [
    (2, 1, 120, 60),
    (3, 10, 120, 60),
    (3, 10, 120, 90),
    (3, 10, 3600, 600),
    (6, 50, 120, 60),
    (6, 50, 3600, 600),
    (20, 5, 120, 60),
    (6, 1000, 600, 60),
]


# What the proxy does (src/oauth): a token is refreshed when this share of its life has passed, and
# used until a tenth of the life, ten seconds at most, is left.
REFRESH = (0.32, 0.36)
# After a failure a replica asks nothing for a pause that doubles from 1 s to 60 s, of which half is
# jitter, but never for longer than a tenth of what is left of a token, nor than 6 s where there is
# none. Then one attempt goes ahead, and where it succeeds, all others.
FIRST_PAUSE, LONGEST_PAUSE, COLD_PAUSE, SHORTEST_PAUSE = 1, 60, 6, 0.05


def simulate(replicas, identities, life, outage, *, rollout, seed=1):
    """One client with `identities` tokens on each replica; answers take no time.

    Replicas start one after the other within `rollout` seconds. After ten lives the token endpoint
    is down for `outage` seconds.
    """
    rng = random.Random(seed)
    outage_from = 10 * life
    outage_to = outage_from + outage
    end = outage_to + 10 * life

    per_second = collections.Counter()
    ran_out = 0
    for replica in range(replicas):
        start = rollout * replica / replicas
        due = [(start, identity) for identity in range(identities)]
        usable_until = {}
        shut_since, pause, share, failures = 0.0, 0.0, 1.0, 0
        while due:
            now, identity = heapq.heappop(due)
            if now >= end:
                break
            # How long one waits depends on what there is to lose by waiting.
            left = usable_until.get(identity, 0) - now
            patience = min(max(left / 10, SHORTEST_PAUSE), LONGEST_PAUSE) if left > 0 else COLD_PAUSE
            shut_until = shut_since + min(pause, patience) * share
            if now < shut_until:
                heapq.heappush(due, (shut_until, identity))
                continue
            per_second[int(now)] += 1
            if outage_from <= now < outage_to:
                pause, share = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures), rng.uniform(0.5, 1)
                failures += 1
                shut_since = now
                heapq.heappush(due, (now + max(min(pause, patience) * share, SHORTEST_PAUSE), identity))
                continue
            pause, failures = 0.0, 0
            if now > usable_until.get(identity, now):
                ran_out += 1
            usable_until[identity] = now + life - min(life / 10, 10)
            heapq.heappush(due, (now + life * rng.uniform(*REFRESH), identity))

    def mean(seconds):
        return sum(per_second[s] for s in seconds) / len(seconds)

    steady = range(5 * life, 10 * life)
    return {
        "formula": replicas * identities / (life * sum(REFRESH) / 2),
        "steady": mean(steady),
        "steady_worst": max(per_second[s] for s in steady),
        "rollout_worst": max(per_second[s] for s in range(int(rollout) + 1)),
        "outage_worst": max(per_second[s] for s in range(outage_from, outage_to)),
        "recovery_worst": max(per_second[s] for s in range(outage_to, outage_to + 2 * LONGEST_PAUSE)),
        "ran_out": ran_out,
        "tokens": replicas * identities,
    }


def table(rollout):
    yield "| replicas | identities | life | steady rate (formula) | worst second: steady | at a rollout | outage | in it | after it | tokens that ran out |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for replicas, identities, life, outage in SCENARIOS:
        r = simulate(replicas, identities, life, outage, rollout=rollout)
        yield (
            f"| {replicas} | {identities} | {life} s | {r['steady']:.2f}/s ({r['formula']:.2f}/s) "
            f"| {r['steady_worst']} | {r['rollout_worst']} | {outage} s | {r['outage_worst']} "
            f"| {r['recovery_worst']} | {r['ran_out']} of {r['tokens']} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int)
    parser.add_argument("--identities", type=int)
    parser.add_argument("--life", type=int, default=120, help="seconds (default: %(default)s)")
    parser.add_argument("--outage", type=int, default=60, help="seconds (default: %(default)s)")
    parser.add_argument("--rollout", type=float, default=30, help="seconds between the first and the last replica's start (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="print the table of the documentation")
    parser.add_argument("--check", metavar="FILE", type=pathlib.Path, help="fail unless FILE holds that table")
    arguments = parser.parse_args()

    if arguments.check:
        missing = [line for line in table(arguments.rollout) if line not in arguments.check.read_text(encoding="utf-8")]
        for line in missing:
            print(f"{arguments.check}: not there: {line}")
        return 1 if missing else 0
    if arguments.table:
        print(*table(arguments.rollout), sep="\n")
        return 0
    if not (arguments.replicas and arguments.identities):
        parser.error("--replicas and --identities are needed, or --table")
    result = simulate(
        arguments.replicas, arguments.identities, arguments.life, arguments.outage, rollout=arguments.rollout
    )
    for key, value in result.items():
        print(f"{key:14} {value:.3f}" if isinstance(value, float) else f"{key:14} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
