"""The application: command line, desktop window, guardian and launcher of processes."""
