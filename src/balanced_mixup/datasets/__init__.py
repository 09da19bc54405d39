"""Published data sets: their descriptions, and the conversion of their raw files to a prepared folder."""
