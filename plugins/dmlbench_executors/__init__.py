"""Executors that send trials to other machines, on engines that others keep."""
