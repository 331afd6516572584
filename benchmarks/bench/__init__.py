"""How fast is the shipped application, and against what? What does the engine cost?

Reading order: contenders, measure, report, sweeping, seam, cli.
"""
