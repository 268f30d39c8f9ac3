// The TypeScript SDK v1 (@modelcontextprotocol/sdk): node sdk_v1.mjs '{"url"| "command","args","env"; "orders"}'

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
    CreateMessageRequestSchema,
    ElicitRequestSchema,
    LoggingMessageNotificationSchema
} from '@modelcontextprotocol/sdk/types.js';
import { ELICITED, SAMPLED, walk } from './walk.mjs';

const target = JSON.parse(process.argv[2]);
const logs = [];
const client = new Client(
    { name: 'typescript-v1', version: '1' },
    { capabilities: { elicitation: {}, sampling: {} } }
);
client.setRequestHandler(ElicitRequestSchema, async () => ELICITED);
client.setRequestHandler(CreateMessageRequestSchema, async () => SAMPLED);
client.setNotificationHandler(LoggingMessageNotificationSchema, note => {
    logs.push(note.params.data);
});

const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, env: target.env });
await client.connect(transport);
await client.setLoggingLevel('info');
// v1 takes (params, resultSchema, options) where v2 takes (params, options)
const shared = {
    listTools: () => client.listTools(),
    callTool: (params, options) => client.callTool(params, undefined, options),
    readResource: params => client.readResource(params),
    getPrompt: params => client.getPrompt(params),
    complete: params => client.complete(params)
};
const protocol = target.url ? transport.protocolVersion : '2025-11-25'; // v1 keeps it to itself on stdio
await walk(shared, protocol, logs, target.orders);
await client.close();
