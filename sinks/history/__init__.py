"""The full history of every log, each raw offset in exactly one committed file."""
