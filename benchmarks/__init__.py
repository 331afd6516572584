"""Instruments around the package: speed, reproduction of published figures, studies of pruners and samplers."""
