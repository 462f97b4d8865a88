"""Which images does each side see?"""
