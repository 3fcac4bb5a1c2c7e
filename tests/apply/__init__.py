"""Networks on and off small models, against formulas written out in float64."""
