"""The models of a server: versions watched, loaded, warmed and run, whatever the protocol."""
