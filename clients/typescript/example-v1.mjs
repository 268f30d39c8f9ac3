// The same with version 1 of the TypeScript SDK.
//
//   npm install @modelcontextprotocol/sdk
//   node example-v1.mjs [url | --stdio COMMAND ARGUMENTS…]

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [first = 'http://127.0.0.1:8808/mcp', command, ...args] = process.argv.slice(2);
const transport =
    first === '--stdio'
        ? new StdioClientTransport({ command, args })
        : new StreamableHTTPClientTransport(new URL(first));

const client = new Client({ name: 'example-v1', version: '1.0.0' });
await client.connect(transport);

const { tools } = await client.listTools();
console.log('tools', tools.map(tool => tool.name).join(', '));

const found = await client.callTool({ name: 'helpdesk__find_customer', arguments: { query: 'Ada Lindqvist' } });
const customer = found.structuredContent.customers[0];
console.log('customer', customer.name, customer.email); // the address is a token, not an address

const opened = await client.callTool({
    name: 'helpdesk__create_ticket',
    arguments: { customer_email: customer.email, subject: 'Desk lamp', body: 'Where is it?' }
});
const ticket = opened.structuredContent;
console.log('ticket', ticket.ticket_id, ticket.status, 'for customer', ticket.customer_id);

await client.close();
