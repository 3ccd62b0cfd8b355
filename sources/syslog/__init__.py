"""Syslog over UDP, TCP and TLS."""
