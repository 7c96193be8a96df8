"""The terminal screen: what `tracker watch` shows, and how it hears of it."""
