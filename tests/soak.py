"""Whether everything is tried (`make soak`), or a sample of it (`make long`)."""

import os

SOAK = os.environ.get("TREEDOCK_SOAK") == "1"
