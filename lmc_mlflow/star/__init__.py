"""How does one network come to lie on low segments with many others (Sonthalia et al., Starlight)?"""
