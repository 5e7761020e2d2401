"""Prometheus metrics of a service that runs in many processes.

`instruments` has the package's own metrics, `slots` the files in which all metrics are kept, `exporter` the program
that serves them.
"""
