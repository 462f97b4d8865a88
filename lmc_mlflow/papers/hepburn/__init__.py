"""Tables and claims of Hepburn et al."""
