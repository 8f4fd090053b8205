"""What RFC 9171, 9172, 9758 and 5326 say of some hundred bundles and segments, as a table in hex.

`table.toml` is for any language and says what its fields mean. `python -m tests.interop.conformance
--send udp://HOST:1113` plays it against any implementation.
"""
