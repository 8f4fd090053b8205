"""`python -m tests.interop.conformance --send udp://HOST:1113`: plays the table, says what is seen.

Exit status 1: something that must be accepted or rejected demonstrably was not, or the receiver
stopped answering; 2: it never answered.
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatch
from urllib.parse import urlsplit

from tests.interop.conformance.peer import Peer
from tests.interop.conformance.play import WRONG, Dead, Result, judge, last_line, play
from tests.interop.conformance.table import rows

PORT = 1113
NOTE = """\
unseen: LTP tells that a block came, not what became of the bundle in it. Where the receiver sends
the reports of delivery and deletion that the bundles ask for, or cancels sessions whose bundle it
refuses, that is seen. Cross-check such rows in its log, or with its decoder and the table's hex."""


def address(text: str) -> tuple[str, int]:
    """HOST:PORT or [IPv6]:PORT, perhaps behind udp://."""
    parts = urlsplit(f"//{text.removeprefix('udp://')}")
    return parts.hostname or "", PORT if parts.port is None else parts.port


def main() -> int:
    """Play the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.interop.conformance",
        description="Play a table of bundles and LTP segments to an implementation: it is node "
        "ipn:2.1 and LTP engine 2, and sends what it has for engine 1 to --listen.",
    )
    parser.add_argument("--send", required=True, metavar="udp://HOST:PORT", type=address)
    parser.add_argument("--listen", default=":0", metavar="HOST:PORT", type=address)
    parser.add_argument("--wait", default=0.5, metavar="SECONDS", type=float)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="ids of rows, with * and ?")
    parser.add_argument("--keys", action="store_true", help="the receiver has the table's keys")
    options = parser.parse_args()
    table = rows()
    probe = next(row.data for row in table if row.id == "plain")
    chosen = [row for row in table if fnmatch(row.id, options.only)]
    peer = Peer(options.send, options.listen, wait_s=options.wait)
    answer = peer.deliver(probe)
    if answer != "acknowledged":
        print(f"no row played: a correct bundle is answered by {answer}", file=sys.stderr)
        return 2
    results: list[Result] = []
    died = ""
    try:
        play(peer, chosen, probe, results, keys=options.keys)
    except Dead as dead:
        died = str(dead)
    peer.listen(2 * options.wait)
    peer.close()
    for result in results:
        judge(peer, result)
        row = result.row
        print(f"{result.judged:8}{row.kind:8} {row.id:29} {row.verdict:7} {result.seen}")
        if result.judged == WRONG:
            print(f"{'':17}RFC {row.rfc}: {row.why}")
    print(f"\n{NOTE}\n")
    if died:
        print(f"DEAD: {died}; {len(chosen) - len(results)} rows were not played")
    print(last_line(results))
    return int(bool(died) or any(result.judged == WRONG for result in results))


if __name__ == "__main__":
    sys.exit(main())
