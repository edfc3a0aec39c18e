"""The desktop window: it shows what run folders, session folders and sessions tell, and sends commands; nothing depends on it."""
