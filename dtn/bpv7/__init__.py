"""Bundles and their blocks on the wire, RFC 9171."""
