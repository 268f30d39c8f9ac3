"""A web and notes server over streamable HTTP: pages by strangers, and a notebook.

    python examples/webnotes/server.py --port 8809      http://127.0.0.1:8809/mcp

Loopback only. Pages come from a fixed set, nothing is fetched; notes last as long as the process.
"""

from __future__ import annotations

import argparse
from itertools import count
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field
from webnotes_pages import PAGES

READ_WEB = ToolAnnotations(read_only_hint=True, open_world_hint=True)
READ_OWN = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADD = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
MAX_NOTES = 1000


class FetchedPage(BaseModel):
    """A page. Its text is what a stranger wrote."""

    url: str
    title: str
    text: str


class Hit(BaseModel):
    url: str
    title: str


class Hits(BaseModel):
    pages: list[Hit]


class Note(BaseModel):
    note_id: int
    title: str
    text: str


class Notes(BaseModel):
    notes: list[Note]


server = MCPServer(
    "webnotes",
    title="Web and notes",
    version="1.0.0",
    instructions="search_pages finds pages, fetch_page reads one. Notes are the user's own.",
    log_level="WARNING",
)
_notes: list[Note] = []
_ids = count(1)


@server.tool(title="Search pages", annotations=READ_WEB)
def search_pages(
    query: Annotated[str, Field(description="Words to look for in titles and texts", min_length=1)],
) -> Hits:
    """Search the web for pages that contain every word."""
    words = query.lower().split()
    found = [
        Hit(url=url, title=page.title)
        for url, page in PAGES.items()
        if all(word in f"{url} {page.title} {page.text}".lower() for word in words)
    ]
    return Hits(pages=found)


@server.tool(title="Read a page", annotations=READ_WEB)
def fetch_page(url: Annotated[str, Field(description="Address of the page", min_length=1)]) -> FetchedPage:
    """Fetch a web page and return its readable text."""
    page = PAGES.get(url.strip())
    if page is None:
        raise ToolError("404: there is no such page. search_pages lists what there is.")
    return FetchedPage(url=url, title=page.title, text=page.text)


@server.tool(title="Save a note", annotations=ADD)
def save_note(
    title: Annotated[str, Field(min_length=1, max_length=200)], text: Annotated[str, Field(max_length=10_000)]
) -> Note:
    """Save a note in the user's notebook."""
    if len(_notes) >= MAX_NOTES:
        raise ToolError(f"The notebook is full ({MAX_NOTES} notes).")
    note = Note(note_id=next(_ids), title=title, text=text)
    _notes.append(note)
    return note


@server.tool(title="List notes", annotations=READ_OWN)
def list_notes() -> Notes:
    """List the notes in the user's notebook, oldest first."""
    return Notes(notes=_notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8809)
    arguments = parser.parse_args()
    server.run("streamable-http", host="127.0.0.1", port=arguments.port)


if __name__ == "__main__":
    main()
