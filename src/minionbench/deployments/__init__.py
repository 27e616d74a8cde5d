"""Deployments: generators of calls that turn a request into an answer."""
