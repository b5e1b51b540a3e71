"""Result rows: their schema, where they are stored, where they come from."""
