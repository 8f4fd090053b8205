"""Addresses of LTP over UDP, and the link of a scenario as either side sees it."""

from __future__ import annotations

import pytest

from roundtrip.drive.udp import PORT, host_and_port, udp_link
from roundtrip.errors import BadConfig
from roundtrip.modem import Side
from roundtrip.scenario_file import check_scenario

SCENARIO = check_scenario(
    {
        "link": {
            "uplink": {"rate_bps": 8_000, "one_way_delay_ms": 20, "mtu_bytes": 200},
            "downlink": {"rate_bps": 16_000, "one_way_delay_ms": 30, "mtu_bytes": 300},
        },
        "workload": {"questions": ["?"], "count": 1},
    },
    "test",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ground.example:2000", ("ground.example", 2000)),
        ("127.0.0.1", ("127.0.0.1", PORT)),
        ("[::1]:2000", ("::1", 2000)),
        ("[::1]", ("::1", PORT)),
        (":0", ("", 0)),
        ("", ("", PORT)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text, key="--link") == expected


def test_the_usual_port_is_that_of_ltp() -> None:
    """RFC 7122, section 3.2."""
    assert host_and_port("x", key="--link")[1] == 1113


@pytest.mark.parametrize(
    "text", ["x:y", "x:70000", "x:1/path", "x:1?query", "x:1#part", "user@x:1", "[::1", "1:2:3"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match=r"HOST:PORT, or \[IPv6\]:PORT"):
        host_and_port(text, key="--listen")


def test_each_side_sends_at_its_own_rate() -> None:
    up, down = (udp_link(SCENARIO.link, side, ":1") for side in (Side.GROUND, Side.NODE))
    assert (up.tx_rate_bps, up.rx_rate_bps, up.one_way_ns, up.mtu_bytes) == (
        8_000, 16_000, 20_000_000, 200,
    )  # fmt: skip
    assert (down.tx_rate_bps, down.rx_rate_bps, down.one_way_ns, down.mtu_bytes) == (
        16_000, 8_000, 30_000_000, 300,
    )  # fmt: skip
