"""Byte-level conversations: each file is a chapter of the protocol."""
