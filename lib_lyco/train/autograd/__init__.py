"""Forward and backward passes of trained layers, cheaper than what autograd makes of the formulas."""
