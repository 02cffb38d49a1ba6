"""Runs a suite: plan, train, evaluate, measure, log, report."""
