"""Monitoring of a running daemon: counters, status file, HTTP endpoint, and the service manager."""
