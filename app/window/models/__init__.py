"""What the window shows, apart from how: plain data, and threads that read it. Nothing here waits in the window's thread."""
