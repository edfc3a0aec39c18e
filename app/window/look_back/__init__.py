"""The workspace Look back: all runs, their comparison, and a replay of each in the same views as when it ran."""
