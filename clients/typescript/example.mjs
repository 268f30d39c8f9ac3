// Work with the help-desk behind the gateway, using the official TypeScript client v2.
//
//   npm install @modelcontextprotocol/client
//   node example.mjs                                   the gateway of `make serve`
//   node example.mjs http://127.0.0.1:9000/mcp         another one
//   node example.mjs --stdio agentflow serve --stdio --config examples/agentflow.yaml

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [first = 'http://127.0.0.1:8808/mcp', command, ...args] = process.argv.slice(2);
const transport =
    first === '--stdio'
        ? new StdioClientTransport({ command, args })
        : new StreamableHTTPClientTransport(new URL(first));

// 'auto' speaks 2026-07-28 where the server does; leave it out for 2025-11-25.
const client = new Client({ name: 'example', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(transport);
console.log('protocol', client.getNegotiatedProtocolVersion());

const { tools } = await client.listTools();
console.log('tools', tools.map(tool => tool.name).join(', '));

const found = await client.callTool({ name: 'helpdesk__find_customer', arguments: { query: 'Ada Lindqvist' } });
const customer = found.structuredContent.customers[0];
console.log('customer', customer.name, customer.email); // the address is a token, not an address

// The token goes back in; the help-desk receives the real address and finds the customer by it.
const opened = await client.callTool({
    name: 'helpdesk__create_ticket',
    arguments: { customer_email: customer.email, subject: 'Desk lamp', body: 'Where is it?' }
});
const ticket = opened.structuredContent;
console.log('ticket', ticket.ticket_id, ticket.status, 'for customer', ticket.customer_id);

await client.close();
