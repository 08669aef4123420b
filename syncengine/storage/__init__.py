"""The only package that talks to storage. Clients are imported when a URL asks for them."""
