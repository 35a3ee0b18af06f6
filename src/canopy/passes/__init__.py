"""Passes over the tile IR: functions from a kernel to a new kernel."""
