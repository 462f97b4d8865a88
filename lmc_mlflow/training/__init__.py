"""How are networks trained, checked and resumed?"""
