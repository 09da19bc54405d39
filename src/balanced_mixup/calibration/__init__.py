"""Calibration: temperature, class priors, thresholds."""
