"""Views of plans and reports: text, HTML, Markdown, frames, the terminal; all made from one set of rows."""
