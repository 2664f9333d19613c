"""Many servers as one: every server knows every client, over NATS."""
