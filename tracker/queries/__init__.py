"""Answer questions about fills and alerts from what is journalled; see ANSWERS.md for the shapes."""
