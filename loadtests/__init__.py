"""Proving: how much a public service holds, before the day on which everybody comes at once."""
