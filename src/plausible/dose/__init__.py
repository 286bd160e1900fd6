"""From plausible contours and a dose to dose-volume histograms, their bands, and the risk of missing a constraint."""
