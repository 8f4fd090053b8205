"""Integrity and confidentiality of bundles, RFC 9172 and 9173."""
