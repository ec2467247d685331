"""Clients that others wrote, driven against the engine: one table of lines or calls for each client.

Where ``DOCKET_TEST_DOCKER_HOST`` names a real Docker, the same table runs there too, and what the two print, ids and
times aside, must be the same.
"""
