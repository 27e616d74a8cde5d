"""Protocols: how a small model beside a document and a large one far from it answer together."""
