"""The shortest server and client."""
