"""Measures the curvature of the loss around a network: eigenvalues and traces of its Hessian, and sharpness."""
