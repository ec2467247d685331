"""Compose files: each rule by a table, and whole files against what Docker Compose prints for them."""
