"""From the canonical model to the bodies of the Docker Engine API: pure functions, one module a part of the body."""
