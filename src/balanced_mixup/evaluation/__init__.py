"""From predictions to numbers that can be trusted: scores, intervals, calibration, comparison."""
