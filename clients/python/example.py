"""Work with the help-desk behind the gateway, using the official Python client (`pip install "mcp>=2.3,<3"`).

python clients/python/example.py                                     the gateway of `make serve`
python clients/python/example.py --url http://127.0.0.1:9000/mcp     another one
python clients/python/example.py --era legacy                        with the handshake of 2025
python clients/python/example.py --stdio agentflow serve --stdio --config examples/agentflow.yaml
"""

from __future__ import annotations

import argparse
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

ERAS = {"auto": "auto", "legacy": "legacy", "2026": "2026-07-28"}


async def work(server: str | StdioServerParameters, mode: str) -> None:
    async with Client(server, mode=mode) as client:
        print("protocol", client.protocol_version)

        tools = (await client.list_tools()).tools
        print("tools", ", ".join(tool.name for tool in tools))

        found: Any = (await client.call_tool("helpdesk__find_customer", {"query": "Ada Lindqvist"})).structured_content
        customer = found["customers"][0]
        print("customer", customer["name"], customer["email"])  # the address is a token, not an address

        # The token goes back in; the help-desk receives the real address and finds the customer by it.
        ticket: Any = (
            await client.call_tool(
                "helpdesk__create_ticket",
                {"customer_email": customer["email"], "subject": "Desk lamp", "body": "Where is it?"},
            )
        ).structured_content
        print("ticket", ticket["ticket_id"], ticket["status"], "for customer", ticket["customer_id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8808/mcp")
    parser.add_argument("--era", choices=sorted(ERAS), default="auto")
    parser.add_argument("--stdio", nargs=argparse.REMAINDER, metavar="COMMAND")
    given = parser.parse_args()
    server: str | StdioServerParameters = given.url
    if given.stdio:
        server = StdioServerParameters(command=given.stdio[0], args=given.stdio[1:])
    anyio.run(work, server, ERAS[given.era])


if __name__ == "__main__":
    main()
