"""Engines: what turns a model into an endpoint, by starting a server or by finding one."""
