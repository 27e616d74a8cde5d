"""The measured path: sockets, kernel stamps and HTTP framing in one loop of one thread."""
